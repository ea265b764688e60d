/* From terms to advantages: what every learner computes alike from the whole batch. */
#ifndef REGARD_LEARN_CREDIT_H
#define REGARD_LEARN_CREDIT_H

#include "src/learn/batch_item.h"
#include "src/learn/settings.h"
#include "src/reward/running.h"

/* Adds the batch to the running statistics, scales the rewards by them, makes returns and
 * advantages: sets every item's scaled, span.value, target and dropped, and a term's divisor each.
 * The spans of a reply lie together, replies in any order.  An advantage that is not finite is an
 * error that names its reply. */
status credit_assign(const struct learn_settings *settings, struct running_statistics *statistics,
                     struct batch_item *items, int64_t count, double divisors[TERM_MAX]);

#endif
