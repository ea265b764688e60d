/* The statistics of attention as metrics of an update. */
#ifndef REGARD_LEARN_STATISTIC_METRICS_H
#define REGARD_LEARN_STATISTIC_METRICS_H

#include "src/learn/exchange.h"
#include "src/rollout/experience.h"

enum {
    STATISTIC_METRICS_MAX = 256, /* those beyond are not reported */
    STATISTIC_TURNS_BACK = 8     /* of statistics that have a number a turn */
};

/* Means over all learners' turns that a statistic applies to. */
struct statistic_metrics {
    struct statistic_metric {
        char name[64];
        double value;
    } list[STATISTIC_METRICS_MAX];
    int64_t count;
};

/* By all learners together, each with its slice in dialogue order; sizes: the layers and heads that
 * attention is captured of.  Experience of another table is refused. */
status statistic_metrics_fill(const struct learner_exchange *exchange,
                              const struct statistic_table *table,
                              const struct statistic_sizes *sizes,
                              struct experience *const *experiences, int64_t count,
                              struct statistic_metrics *out);

#endif
