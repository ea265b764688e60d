/* What held-out pairs say of a reward model, by name: in metrics.jsonl and in eval's file. */
#ifndef REGARD_MPI_REWARD_METRICS_H
#define REGARD_MPI_REWARD_METRICS_H

#include "src/learn/preference.h"
#include "src/report/metric_list.h"

/* pairs, accuracy, nll, ece, length_correlation, longer_accuracy, score, score_deviation, and of
 * each bin of confidence that is not empty bin_50_count, bin_50_confidence, bin_50_accuracy, named
 * after the percentage that it begins at.  prefix: put before each. */
void reward_metrics_list(const struct preference_metrics *measured, const char *prefix,
                         struct metric_list *out);

#endif
