/* A queue that counts and does nothing: what is created and reserved on it tells by its
 * memory_report how much another queue will need, so that no formula of a size is written twice.
 * Its memory can be neither read nor written. */
#ifndef REGARD_KERNELS_PLAN_H
#define REGARD_KERNELS_PLAN_H

#include "kernels/ops.h"

/* like: the queue whose memory is to be planned, whose element, weights and graphs it has; not
 * used after the plan's own end. */
status plan_queue_create(struct queue *like, struct queue **out);
/* Whether models on it have no values: this queue, and sleep.h's estimates. */
bool queue_is_plan(const struct queue *q);
/* What the plan came to, by kind, with what the back end takes for itself. */
void plan_bytes(struct queue *plan, size_t bytes[MEMORY_KINDS]);

#endif
