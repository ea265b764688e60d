/* A loss that a learner can take an optimizer step of: one file a loss, loss_NAME.c. */
#ifndef REGARD_LEARN_LOSS_H
#define REGARD_LEARN_LOSS_H

#include "src/learn/learner.h"

/* Sums that a microbatch contributes; added over microbatches in ascending order. */
struct partial {
    double loss, kl, clipped, entropy;
    /* lag_truncated: weights and their squares, a token of the batch; the share that was cut; the
     * largest before it was cut, not a sum. */
    double importance, importance_squares, truncated, importance_most;
    double accuracy;        /* of pairs */
    double alignment;       /* of interaction: what its weight is on */
    double deviation;       /* the largest, not a sum */
    double computed, pairs; /* tokens that passes computed; that pairs one by one would have cost */
};

struct loss {
    const char *name;
    bool of_critic;   /* it trains the critic, not the policy */
    bool of_pairs;    /* it decides between two replies */
    int64_t together; /* so many turns are one: chunks have all of them or none; 0: as 1 */
    /* Some of a microbatch's turns: forward, backward into the leaf (a gradient that is added to),
     * and what they contribute. */
    status (*chunk)(struct learner *learner, const struct learn_batch *batch,
                    const struct learn_turn *turns, int64_t count, float *leaf,
                    struct partial *partial);
    /* After the parameters have changed: what is made of them is made again. */
    status (*refresh)(struct learner *learner);
};

static inline int64_t loss_together(const struct loss *loss)
{
    return loss->together ? loss->together : 1;
}

/* The clipped surrogate with the KL penalty, over the batch's reply tokens (docs/reward.md). */
extern const struct loss loss_ppo;
/* Mean over turns of (V - target)^2. */
extern const struct loss loss_critic;
/* Supervised: mean over tokens of -logp at temperature 1, smoothed by sft.label_smoothing. */
extern const struct loss loss_sft;

/* Reward models, whose batches are pairs of turns, the right one first: a turn's history is the
 * whole sequence (src/task/reward_sequence.h), and its reply is empty.  Means over pairs; see
 * preference.h. */
extern const struct loss loss_bradley_terry, loss_logistic;
/* The same of a sequence with both replies a turn, whose target says which is preferred: a
 * teacher's.
 */
extern const struct loss loss_pair;
/* bradley_terry and, where the learner has an aligner, its part (docs/reward.md). */
extern const struct loss loss_interaction;

/* A refresh where a step is a whole update. */
status loss_update_refresh(struct learner *learner);

/* Sum of -logp over the replies at temperature 1, without learning. */
status loss_sft_held_out(struct learner *learner, const struct learn_turn *turns, int64_t count,
                         double *sum, int64_t *tokens);

#endif
