/* Where the reward that a policy climbs and the quality it stands for part. */
#ifndef REGARD_PAGE_PARTING_H
#define REGARD_PAGE_PARTING_H

#include "src/page/run_record.h"

/* The step of the first audit that said so (metric audit_alarm); NaN: none did. */
double parting_by_audit(const struct run_record *run);

/* By a held-out metric, eval_NAME: the first evaluation by which the mean reward of training since
 * the evaluation before is higher than that before the second evaluation, while the metric is worse
 * than at the first; by more than twice the error of the change where the evaluation has one
 * (eval_NAME_change_error, of the same dialogues at both), otherwise, where the two have errors, by
 * more than twice that of the difference, the two taken as independent.  NaN: there is no such
 * evaluation. */
double parting_by_metric(const struct run_record *run, const char *metric);

/* Held-out metrics that say how good replies are: none of the reward or its terms, no lengths. */
bool parting_is_quality(const struct run_record *run, const char *metric);
/* The one that parting is looked for by where nobody chose another; NULL: there is none. */
const char *parting_quality(const struct run_record *run);

#endif
