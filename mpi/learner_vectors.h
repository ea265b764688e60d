/* The flat vectors that checkpoints hold of a learner besides the policy's values: moments, critic,
 * a reference that moved.  Of each a learner saves its slice. */
#ifndef REGARD_MPI_LEARNER_VECTORS_H
#define REGARD_MPI_LEARNER_VECTORS_H

#include "src/learn/learner.h"

enum { LEARNER_VECTORS_MAX = 6 };

/* Of moments a learner has its slice alone, from `begin` on. */
struct learner_vector {
    const char *name;
    float *values; /* device; of what is saved: elements [begin, end) of the optimizer's */
    float *whole;  /* NULL: a learner needs its slice alone; else what is loaded, all of it */
    const struct optimizer *of;
};

/* How many there are. */
int64_t learner_vectors(const struct learner *learner,
                        struct learner_vector out[LEARNER_VECTORS_MAX]);

#endif
