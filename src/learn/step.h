/* One optimizer step over a batch, whatever its loss. */
#ifndef REGARD_LEARN_STEP_H
#define REGARD_LEARN_STEP_H

#include "src/learn/loss.h"

struct step_metrics {
    double loss, gradient_norm, kl, clip_fraction, entropy;
    /* lag_truncated: the weights' mean and that of their squares; the share that was cut; the
     * largest before it was cut. */
    double importance, importance_squares, truncated, importance_most;
    double accuracy;        /* of a reward model's pairs */
    double alignment;       /* of interaction: L_att, or what stands in its place */
    double ratio_deviation; /* largest |logp_new - logp_old| */
    double tokens_computed; /* by the passes; ... */
    double tokens_pairs;    /* ... that every history and reply by itself would have cost */
    bool skipped;           /* the gradient was not finite, or longer than
                               guard.gradient_norm_max: nothing was changed */
};

/* All learners together: every microbatch of this learner is a leaf of the gradient's sum. */
status learner_step(struct learner *learner, const struct loss *loss,
                    const struct learn_batch *batch, double lr, struct step_metrics *out);

#endif
