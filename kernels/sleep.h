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
/* What is queued from here on takes `pace` times as long. */
void sleep_queue_pace(struct queue *q, double pace);

/* The same device, on which nobody sleeps: its seconds are added up (sleep_queue_worked) in the
 * time that the calls take here, and nothing else takes any.  Models on it have no values
 * (queue_is_plan); copies of more than ESTIMATE_COPIES bytes on the device are not carried out,
 * since lengths and indices are shorter; matrices are as large as CUDA's. */
enum { ESTIMATE_COPIES = 1 << 16 };
status estimate_queue_create(const struct cost_rates *rates, size_t real_bytes, struct queue **out);
bool queue_is_estimate(const struct queue *q);
/* Of its seconds, those of operations that a learner does on its slice of the parameters alone:
 * the optimizer's. */
double estimate_queue_sliced(const struct queue *q);

/* What `sample` asks and tells. */
struct estimate_watch {
    /* What a reply's token `step` is, counted from 0; below 0: any that does not end it. */
    int32_t (*token)(void *context, const uint32_t counter[3], int32_t step);
    /* A step is done: its rows, which one it is of their replies (that of the first row), the
     * device's seconds so far. */
    void (*sampled)(void *context, int64_t rows, int32_t step, double seconds);
    void *context;
};
/* Stays the caller's; NULL: nobody. */
void estimate_queue_watch(struct queue *q, const struct estimate_watch *watch);

#endif
