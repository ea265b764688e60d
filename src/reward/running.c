/* Welford's running deviations of the reward terms. */
#include "src/reward/running.h"

#include <math.h>
#include <stdlib.h>

void running_statistic_add(struct running_statistic *s, double value)
{
    s->count += 1;
    double before = value - s->mean;
    s->mean += before / s->count;
    s->m2 += before * (value - s->mean);
}

double running_statistic_deviation(const struct running_statistic *s)
{
    return s->count > 0 ? sqrt(s->m2 / s->count) : 0;
}

/* The candidates' values less their mean, times sqrt(N/(N-1)): without the factor, deviations
 * about a mean of N would be too small by it. */
static void add_within(struct running_statistic *s, const struct running_item *items,
                       const int64_t *order, int64_t n, enum reward_term term)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += reward_terms_get(&items[order[i]].terms, term);
    double mean = sum / (double)n, factor = sqrt((double)n / (double)(n - 1));
    for (int64_t i = 0; i < n; i++)
        running_statistic_add(s, (reward_terms_get(&items[order[i]].terms, term) - mean) * factor);
}

status running_add(struct running_statistics *s, const struct running_item *items, int64_t count)
{
    if (count == 0) return NULL;
    int64_t *order = malloc((size_t)count * sizeof *order);
    if (!order) FAIL(STATUS_INTERNAL, "out of memory for the order of a batch");
    status failed = turn_order(items, sizeof *items, count, order);
    for (int64_t begin = 0, end; !failed && begin < count; begin = end) {
        end = turn_group_end(items, sizeof *items, count, order, begin);
        for (int t = 0; t < TERM_COUNT; t++) {
            enum reward_term term = (enum reward_term)t;
            for (int64_t i = begin; i < end; i++)
                running_statistic_add(&s->plain[t], reward_terms_get(&items[order[i]].terms, term));
            if (end - begin > 1) add_within(&s->within[t], items, order + begin, end - begin, term);
        }
    }
    free(order);
    return failed;
}

void running_divisors(const struct running_statistics *s, int scale, double out[TERM_COUNT])
{
    const struct running_statistic *of = scale == SCALE_WITHIN ? s->within : s->plain;
    for (int t = 0; t < TERM_COUNT; t++) {
        double deviation = running_statistic_deviation(&of[t]);
        bool usable = scale != SCALE_NONE && of[t].count >= 2 && deviation >= 1e-8;
        out[t] = usable ? deviation : 1;
    }
}

void running_save(const struct running_statistics *s, double out[RUNNING_SIZE])
{
    for (int i = 0; i < 2 * TERM_COUNT; i++) {
        const struct running_statistic *of =
            i < TERM_COUNT ? &s->plain[i] : &s->within[i - TERM_COUNT];
        out[3 * i] = of->count;
        out[3 * i + 1] = of->mean;
        out[3 * i + 2] = of->m2;
    }
}

status running_load(struct running_statistics *s, const double in[RUNNING_SIZE])
{
    for (int i = 0; i < 2 * TERM_COUNT; i++) {
        double count = in[3 * i], mean = in[3 * i + 1], m2 = in[3 * i + 2];
        if (!(count >= 0) || !isfinite(count) || count != floor(count) || !isfinite(mean) ||
            !(m2 >= 0) || !isfinite(m2))
            FAIL(STATUS_INPUT,
                 "the running statistics of %s make no sense: count %g, mean %g, "
                 "sum of squares %g",
                 reward_term_name[i % TERM_COUNT], count, mean, m2);
        struct running_statistic *to = i < TERM_COUNT ? &s->plain[i] : &s->within[i - TERM_COUNT];
        *to = (struct running_statistic){count, mean, m2};
    }
    return NULL;
}
