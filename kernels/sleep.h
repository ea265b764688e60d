/* A timed stub of a device: its operations compute nothing, and whoever waits for them waits as
 * long as a device of given rates would take (cost.h).  It is for measuring schedules: how ranks
 * wait for each other, on a machine that has not as many processors as ranks.
 *
 * The device is one that works while the host does: an operation begins when it is queued or when
 * the one before it ends, whichever is later; synchronize and mark_wait sleep until what they wait
 * for has ended.  Where the system wakes a sleeper late, what is queued next counts as queued that
 * much earlier, at most LATENESS seconds.
 *
 * Memory is real, and zeros where nobody has written: uploads, copies and `advance` are carried
 * out.  Sampled ids are taken at random from the vocabulary's second quarter, where tokenizers have
 * no special ones, so that no reply ends before its last step; every row of logits is uniform, in
 * sampling and in the loss alike.  All other results are zeros. */
#ifndef REGARD_KERNELS_SLEEP_H
#define REGARD_KERNELS_SLEEP_H

#include "kernels/ops.h"

status sleep_queue_create(const struct cost_rates *rates, size_t real_bytes, struct queue **out);
bool queue_is_sleep(const struct queue *q);
/* Seconds that the device has worked so far. */
double sleep_queue_worked(const struct queue *q);

#endif
