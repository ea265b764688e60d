/* Figures within histories; see figures.h. */
#include "src/probe/figures.h"

#include "src/base/memory.h"
#include "src/fit/within.h"

#include <math.h>
#include <stdlib.h>

/* total: squares within histories; sum, squares and number of the values. */
static double within_share(const double *total)
{
    const double all = total[2] - total[1] * total[1] / total[3];
    /* What is left of a constant is rounding. */
    return all > 1e-12 * total[2] ? total[0] / all : NAN;
}

static double mean_of(const double *value, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += value[i];
    return sum / (double)count;
}

static double squares_off(const double *value, int64_t count)
{
    const double mean = mean_of(value, count);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (value[i] - mean) * (value[i] - mean);
    return sum;
}

struct source_figures source_figures(const struct probe_replies *replies,
                                     const struct bootstrap *bootstrap, const double *value)
{
    const size_t dialogues = (size_t)bootstrap->dialogues;
    double *share = memory_allocate(dialogues * 4 * sizeof *share);
    double *length = memory_allocate(dialogues * 2 * sizeof *length);
    const double mean = replies->count ? mean_of(value, replies->count) : 0;
    struct source_figures figures = {.varied = 0};
    for (int64_t h = 0; h < replies->history_count; h++) {
        const int64_t first = replies->first[h], n = replies->first[h + 1] - first;
        const int64_t d = replies->dialogue[h];
        figures.varied += within_differ(value + first, n);
        if (n) share[d * 4] += squares_off(value + first, n);
        for (int64_t i = 0; i < n; i++) {
            /* Off the mean of all, so that large values with small differences keep them. */
            const double off = value[first + i] - mean;
            share[d * 4 + 1] += off;
            share[d * 4 + 2] += off * off;
            share[d * 4 + 3] += 1;
        }
        if (!within_differ(value + first, n)) continue;
        const double r = within_rank_correlation(value + first, replies->length + first,
                                                 replies->length + first, n, false);
        if (!isfinite(r)) continue;
        length[d * 2] += r;
        length[d * 2 + 1] += 1;
    }
    figures.within = bootstrap_figure(bootstrap, share, 4, within_share);
    figures.length = bootstrap_figure(bootstrap, length, 2, figure_ratio);
    free(share);
    free(length);
    return figures;
}

bool metric_known(const struct probe_replies *replies, const double *metric, int64_t history)
{
    for (int64_t i = replies->first[history]; i < replies->first[history + 1]; i++)
        if (!isfinite(metric[i])) return false;
    return replies->first[history + 1] > replies->first[history];
}

/* The metric of the replies that the value is greatest of. */
static double best_of(const double *value, const double *metric, int64_t count)
{
    double best = value[0], sum = 0;
    int64_t ties = 0;
    for (int64_t i = 1; i < count; i++) best = fmax(best, value[i]);
    for (int64_t i = 0; i < count; i++)
        if (value[i] == best) {
            sum += metric[i];
            ties++;
        }
    return sum / (double)ties;
}

enum { PAIR_CORRELATION, PAIR_WITHOUT, PAIR_RIGHT, PAIR_BEST, PAIR_RANDOM, PAIR_GAIN, PAIR_SUMS };

static void sum_add(double *sums, int64_t dialogue, double value)
{
    sums[dialogue * 2] += value;
    sums[dialogue * 2 + 1] += 1;
}

struct pair_figures pair_figures(const struct probe_replies *replies,
                                 const struct bootstrap *bootstrap, const double *value,
                                 const double *metric, const bool *only)
{
    const size_t dialogues = (size_t)bootstrap->dialogues;
    double *sums[PAIR_SUMS];
    struct figure out[PAIR_SUMS];
    struct pair_figures figures = {.distinct = 0};
    for (int p = 0; p < PAIR_SUMS; p++) sums[p] = memory_allocate(dialogues * 2 * sizeof **sums);
    for (int64_t h = 0; h < replies->history_count; h++) {
        const int64_t first = replies->first[h], n = replies->first[h + 1] - first;
        const int64_t d = replies->dialogue[h];
        const double *x = value + first, *y = metric + first, *length = replies->length + first;
        if ((only && !only[h]) || !metric_known(replies, metric, h)) continue;
        const double best = best_of(x, y, n), random = mean_of(y, n);
        sum_add(sums[PAIR_BEST], d, best);
        sum_add(sums[PAIR_RANDOM], d, random);
        sum_add(sums[PAIR_GAIN], d, best - random);
        if (!within_differ(y, n)) continue;
        figures.distinct++;
        figures.dialogues += sums[PAIR_CORRELATION][d * 2 + 1] == 0;
        const double with = within_rank_correlation(x, y, length, n, false);
        const double without = within_rank_correlation(x, y, length, n, true);
        sum_add(sums[PAIR_CORRELATION], d, with);
        if (isfinite(without)) sum_add(sums[PAIR_WITHOUT], d, without);
        within_pairs(x, y, n, &sums[PAIR_RIGHT][d * 2], &sums[PAIR_RIGHT][d * 2 + 1]);
    }
    for (size_t d = 0; d < dialogues; d++) figures.pairs += (int64_t)sums[PAIR_RIGHT][d * 2 + 1];
    for (int p = 0; p < PAIR_SUMS; p++) {
        out[p] = bootstrap_figure(bootstrap, sums[p], 2, figure_ratio);
        free(sums[p]);
    }
    figures.correlation = out[PAIR_CORRELATION];
    figures.without_length = out[PAIR_WITHOUT];
    figures.pairs_right = out[PAIR_RIGHT];
    figures.best = out[PAIR_BEST];
    figures.random = out[PAIR_RANDOM];
    figures.gain = out[PAIR_GAIN];
    return figures;
}

void within_standardised(const struct probe_replies *replies, const double *value,
                         const double *metric, double *out)
{
    double squares = 0, freedom = 0;
    for (int64_t h = 0; h < replies->history_count; h++) {
        const int64_t first = replies->first[h], n = replies->first[h + 1] - first;
        if (!metric_known(replies, metric, h)) continue;
        squares += squares_off(value + first, n);
        freedom += (double)(n - 1);
    }
    const double deviation = squares > 0 && freedom > 0 ? sqrt(squares / freedom) : 1;
    for (int64_t h = 0; h < replies->history_count; h++) {
        const int64_t first = replies->first[h], n = replies->first[h + 1] - first;
        const bool known = metric_known(replies, metric, h);
        const double mean = known ? mean_of(value + first, n) : 0;
        for (int64_t i = first; !known && i < first + n; i++) out[i] = NAN;
        for (int64_t i = first; known && i < first + n; i++) out[i] = (value[i] - mean) / deviation;
    }
}

struct figure history_mean(const struct bootstrap *bootstrap, const double *value,
                           const int64_t *dialogue, int64_t count)
{
    double *sums = memory_allocate((size_t)bootstrap->dialogues * 2 * sizeof *sums);
    for (int64_t i = 0; i < count; i++) sum_add(sums, dialogue[i], value[i]);
    const struct figure figure = bootstrap_figure(bootstrap, sums, 2, figure_ratio);
    free(sums);
    return figure;
}
