/* How learners exchange: collective calls, in one order on all of them.  src/learn knows how many
 * learners there are but not how they talk; mpi/exchange.c does. */
#ifndef REGARD_LEARN_EXCHANGE_H
#define REGARD_LEARN_EXCHANGE_H

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Learner l of L owns floats [slice_floats(l, size, L), slice_floats(l + 1, size, L)) of every
 * vector (src/base/slices.h).  Pointers to floats are the device's. */
struct learner_exchange {
    void *context;
    int rank, count; /* of the learners */
    /* A sum of every learner's gradient [size], sent in pieces while the backward pass goes on:
     * reduce_ready says that the floats from `offset` on are final, with offsets falling to 0.
     * They may be sent at once, so nothing queued afterwards may touch them. */
    status (*reduce_begin)(void *context, float *gradient, int64_t size);
    void (*reduce_ready)(void *context, int64_t offset);
    /* After reduce_ready(0): this learner's slice holds the sum over learners, by MPI in the fixed
     * binary tree, by NCCL in NCCL's order; the rest of the gradient holds nothing.  An error of
     * reduce_ready is returned here. */
    status (*reduce_finish)(void *context);
    /* NULL: nobody asks.  An update's last step is about to be taken and gathered: what is final of
     * the values goes on its way, from begin to end each time; first this learner's slice. */
    void (*values_ready)(void *context, const float *values, int64_t begin, int64_t end);
    /* Every learner's slice of values [size] to every learner. */
    status (*gather_values)(void *context, float *values, int64_t size);
    /* All learners hold the same hash of their weights of `what`, or learner 0 gets an error that
     * names those that hold another.  NULL: there are no others. */
    status (*compare)(void *context, const char *what, uint64_t hash);
    /* All learners' bytes in rank order; the caller frees *all. */
    status (*gather)(void *context, const void *mine, size_t bytes, void **all, size_t *total);
};

/* A learner alone. */
void learner_exchange_alone(struct learner_exchange *exchange);

#endif
