/* See statistic_metrics.h. */
#include "src/learn/statistic_metrics.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>

/* values [turns, columns] in dialogue order, NaN where a column does not apply. */
static void column_mean(const double *values, int64_t turns, int64_t columns, int64_t column,
                        struct statistic_metrics *out)
{
    int64_t present = 0;
    double mean = 0;
    for (int64_t i = 0; i < turns; i++) present += !isnan(values[i * columns + column]);
    if (!present) return;
    const double share = 1.0 / (double)present;
    for (int64_t i = 0; i < turns; i++)
        if (!isnan(values[i * columns + column])) mean += share * values[i * columns + column];
    out->list[out->count++].value = mean;
}

/* Each turn's columns; the caller frees *values. */
static status columns_read(const struct statistic_table *table, const struct statistic_sizes *sizes,
                           struct experience *const *experiences, int64_t count, double **values,
                           size_t *bytes)
{
    const int64_t columns = statistics_columns(table, sizes);
    int64_t turns = 0;
    for (int64_t e = 0; e < count; e++) {
        if (experiences[e]->format.statistics != table)
            FAIL(STATUS_INTERNAL, "dialogue %lld has other statistics than are averaged here",
                 (long long)experiences[e]->dialogue);
        turns += experiences[e]->turn_count;
    }
    *bytes = (size_t)(turns * columns) * sizeof **values;
    double *at = *values = memory_allocate(*bytes + sizeof **values);
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, at += columns)
            statistics_means(&experiences[e]->turns[k].statistics, sizes, at);
    return NULL;
}

status statistic_metrics_fill(const struct learner_exchange *exchange,
                              const struct statistic_table *table,
                              const struct statistic_sizes *sizes,
                              struct experience *const *experiences, int64_t count,
                              struct statistic_metrics *out)
{
    struct statistic_sizes reported = *sizes;
    reported.turns = STATISTIC_TURNS_BACK;
    double *mine = NULL;
    void *all = NULL;
    size_t bytes_mine = 0, bytes = 0;
    out->count = 0;
    TRY(columns_read(table, &reported, experiences, count, &mine, &bytes_mine));
    status s = exchange->gather(exchange->context, mine, bytes_mine, &all, &bytes);
    const int64_t columns = statistics_columns(table, &reported);
    const int64_t turns = columns ? (int64_t)(bytes / sizeof(double)) / columns : 0;
    for (int64_t c = 0; !s && c < columns && out->count < STATISTIC_METRICS_MAX; c++) {
        statistics_column_name(table, &reported, c, out->list[out->count].name);
        column_mean(all, turns, columns, c, out);
    }
    free(all);
    free(mine);
    return s;
}
