/* Large vectors between learners by MPI: the upper levels of the gradient tree, which leave each
 * learner the sum of its slice, and every slice to every learner.  Vectors are the queue's; MPI
 * takes them as they are where it can, else through pinned host memory, a chunk at a time. */
#ifndef REGARD_MPI_VALUES_H
#define REGARD_MPI_VALUES_H

#include "kernels/ops.h"
#include "mpi/transport.h"

enum { STAGING_FLOATS = 1 << 22 }; /* a chunk: what a partner gets at once */

struct staging {
    struct queue *queue;
    bool direct;     /* MPI reads and writes the queue's memory itself */
    float *out, *in; /* pinned, a chunk each; NULL when direct */
    float *theirs;   /* device, a chunk */
};

/* Who wants to know which of the values are whole. */
struct values_watch {
    void (*ready)(void *context, const float *values, int64_t begin, int64_t end);
    void *context;
};

/* No memory is taken where the learner is alone. */
status staging_open(struct staging *staging, const struct world *world, struct queue *queue);
void staging_close(struct staging *staging);

/* Recursive halving, the nearest partner first: each element's sum is the fixed binary tree's,
 * ((g0 + g1) + (g2 + g3)) + ..., in the learner that owns it (slice_floats).  The rest of the
 * gradient holds nothing afterwards.  size (1 - 1/L) floats leave each learner. */
status learners_reduce(struct world *world, struct staging *staging, float *gradient, int64_t size);
/* The same way back: values [size] are whole on all learners.  watch, NULL: nobody: is told of what
 * comes. */
status learners_gather_values(struct world *world, struct staging *staging, float *values,
                              int64_t size, const struct values_watch *watch);

#endif
