/* Collective calls between the GPUs of several ranks: a back end may have them beside its table of
 * operations (CUDA's are NCCL's, kernels/cuda/nccl.cu).  Nothing here waits: a call begins
 * something, `poll` says how far it got, and the caller has the clock.  A call that failed, or took
 * too long, leaves `abort` as the only one allowed.  One thread; one call under way at a time,
 * begun only when poll said RUNNING or DONE of the one before. */
#ifndef REGARD_KERNELS_COLLECTIVE_H
#define REGARD_KERNELS_COLLECTIVE_H

#include "kernels/ops.h"

enum { COLLECTIVE_ID_BYTES = 128, COLLECTIVE_DEVICE_BYTES = 32 };

/* This rank's end of a communicator. */
struct collective;

/* Floats [begin, begin + count) of a vector, and the rank that they go to or come from. */
struct collective_range {
    int64_t begin, count;
    int root;
};

enum collective_progress {
    COLLECTIVE_ISSUING, /* nothing of it may be relied on */
    COLLECTIVE_RUNNING, /* ordered on the device: the next call may begin */
    COLLECTIVE_DONE
};

struct collectives {
    /* Rank 0's, for all the others' begin. */
    status (*identify)(char id[COLLECTIVE_ID_BYTES]);
    /* The queue's GPU: two ranks of one machine with the same name share it. */
    status (*device_name)(struct queue *q, char name[COLLECTIVE_DEVICE_BYTES]);
    /* All ranks of a communicator, with one id: DONE once all are there. */
    status (*begin)(struct queue *q, const char id[COLLECTIVE_ID_BYTES], int rank, int ranks,
                    struct collective **out);
    /* Each range becomes the sum over ranks in its root, in the back end's order of addition; the
     * others' is left alone.  Runs beside the queue, after what the queue holds now; what is queued
     * afterwards must leave the ranges alone until DONE. */
    status (*reduce)(struct collective *c, float *values, const struct collective_range *ranges,
                     int count);
    /* Each range becomes the root's. */
    status (*broadcast)(struct collective *c, float *values, const struct collective_range *ranges,
                        int count);
    status (*poll)(struct collective *c, enum collective_progress *progress);
    /* The end, by all ranks, when everything is DONE: DONE again, then destroy. */
    status (*finish)(struct collective *c);
    void (*destroy)(struct collective *c);
    /* Ends what is under way, of this rank alone, and destroys. */
    void (*abort)(struct collective *c);
};

/* Those of the queue's back end, NULL where it has none. */
const struct collectives *collectives_of(const struct queue *q);

#endif
