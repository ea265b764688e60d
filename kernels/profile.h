/* Where time goes on a queue that runs its calls at once: how often each operation was called, how
 * long it took, and at what rate products ran. */
#ifndef REGARD_KERNELS_PROFILE_H
#define REGARD_KERNELS_PROFILE_H

#include "kernels/ops.h"

#include <stdio.h>

struct profile;
/* From now on the queue's operations are timed; before anything is created on it, so that matrices'
 * sizes are known.  STATUS_INPUT on a device, which has tools of its own for this. */
status profile_begin(struct queue *queue, struct profile **out);
/* What was counted since begin or the last clear, the longest first, beside the time on the clock.
 */
void profile_print(const struct profile *profile, const char *title, FILE *out);
void profile_clear(struct profile *profile);
/* The queue is as it was before.  NULL is fine. */
void profile_end(struct profile *profile);

#endif
