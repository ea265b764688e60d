/* One optimizer step over a batch, whatever its loss: what learner.c's losses share. */
#ifndef REGARD_LEARN_STEP_H
#define REGARD_LEARN_STEP_H

#include "src/learn/learner.h"

/* Sums that a microbatch contributes; added over microbatches in ascending order. */
struct partial {
    double loss, kl, clipped, entropy, deviation;
};

/* One chunk of a microbatch: forward, backward into the leaf, its share of the metrics. */
typedef status chunk_function(struct learner *l, const struct learn_batch *batch,
                              const struct learn_turn *turns, int64_t n, float *leaf,
                              struct partial *partial);

/* Room for the per-token arrays of a pass of m reply tokens. */
status tokens_reserve(struct learner *l, int64_t m);

/* One optimizer step over the whole batch: every microbatch of this learner is a leaf. */
status learner_step_run(struct learner *l, const struct learn_batch *batch, chunk_function *chunk,
                        struct gradient_tree *tree, struct optimizer *optimizer,
                        struct parameters *parameters, double lr, struct step_metrics *out);

#endif
