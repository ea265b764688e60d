/* Welford's running deviations of the reward terms. */
#include "src/reward/running.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>

void running_statistic_add(struct running_statistic *s, double value)
{
    s->count += 1;
    double before = value - s->mean;
    s->mean += before / s->count;
    s->m2 += before * (value - s->mean);
}

/* Population deviation; 0 when empty. */
static double running_statistic_deviation(const struct running_statistic *s)
{
    return s->count > 0 ? sqrt(s->m2 / s->count) : 0;
}

/* The candidates' values less their mean, times sqrt(N/(N-1)): without the factor, deviations
 * about a mean of N would be too small by it. */
static void add_within(struct running_statistic *s, const struct running_item *items,
                       const int64_t *order, int64_t n, int64_t term)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += items[order[i]].value[term];
    double mean = sum / (double)n, factor = sqrt((double)n / (double)(n - 1));
    for (int64_t i = 0; i < n; i++)
        running_statistic_add(s, (items[order[i]].value[term] - mean) * factor);
}

status running_add(const struct reward_settings *settings, struct running_statistics *s,
                   const struct running_item *items, int64_t count)
{
    if (count == 0) return NULL;
    int64_t *order = memory_allocate((size_t)count * sizeof *order);
    status failed = turn_order(items, sizeof *items, count, order);
    for (int64_t begin = 0, end; !failed && begin < count; begin = end) {
        end = turn_group_end(items, sizeof *items, count, order, begin);
        for (int64_t t = 0; t < settings->term_count; t++) {
            for (int64_t i = begin; i < end; i++)
                running_statistic_add(&s->plain[t], items[order[i]].value[t]);
            if (end - begin > 1) add_within(&s->within[t], items, order + begin, end - begin, t);
        }
    }
    free(order);
    return failed;
}

void running_divisors(const struct reward_settings *settings, const struct running_statistics *s,
                      double out[TERM_MAX])
{
    const struct running_statistic *of = settings->scale == SCALE_WITHIN ? s->within : s->plain;
    for (int64_t t = 0; t < settings->term_count; t++) {
        double deviation = running_statistic_deviation(&of[t]);
        bool usable = settings->scale != SCALE_NONE && of[t].count >= 2 && deviation >= 1e-8;
        out[t] = usable ? deviation : 1;
    }
}

int64_t running_size(const struct reward_settings *settings)
{
    return RUNNING_TERM_SIZE * settings->term_count;
}

void running_statistic_save(const struct running_statistic *s, double out[3])
{
    out[0] = s->count;
    out[1] = s->mean;
    out[2] = s->m2;
}

status running_statistic_load(struct running_statistic *s, const char *name, const double in[3])
{
    const double count = in[0], mean = in[1], m2 = in[2];
    if (!(count >= 0) || !isfinite(count) || count != floor(count) || !isfinite(mean) ||
        !(m2 >= 0) || !isfinite(m2))
        FAIL(STATUS_INPUT,
             "the running statistics of %s make no sense: count %g, mean %g, sum of squares %g",
             name, count, mean, m2);
    *s = (struct running_statistic){count, mean, m2};
    return NULL;
}

void running_term_save(const struct running_statistics *s, int64_t term,
                       double out[RUNNING_TERM_SIZE])
{
    running_statistic_save(&s->plain[term], out);
    running_statistic_save(&s->within[term], out + 3);
}

status running_term_load(const struct reward_settings *settings, struct running_statistics *s,
                         int64_t term, const double in[RUNNING_TERM_SIZE])
{
    const char *name = reward_term_name(settings, term);
    TRY(running_statistic_load(&s->plain[term], name, in));
    return running_statistic_load(&s->within[term], name, in + 3);
}

void running_save(const struct reward_settings *settings, const struct running_statistics *s,
                  double *out)
{
    for (int64_t t = 0; t < settings->term_count; t++)
        running_term_save(s, t, out + RUNNING_TERM_SIZE * t);
}

status running_load(const struct reward_settings *settings, struct running_statistics *s,
                    const double *in)
{
    for (int64_t t = 0; t < settings->term_count; t++)
        TRY(running_term_load(settings, s, t, in + RUNNING_TERM_SIZE * t));
    return NULL;
}
