/* Advantages and critic targets of a batch (docs/reward.md, Turns, returns, advantages), in
 * float64, every sum in the order dialogue, turn, candidate.  Deviations are the population's. */
#ifndef REGARD_LEARN_ADVANTAGE_H
#define REGARD_LEARN_ADVANTAGE_H

#include "src/learn/settings.h"
#include "src/reward/running.h"

struct advantage_item {
    struct turn_key key;
    double reward;       /* R of the span, scaled, KL taken off */
    double return_;      /* G(t), of returns_compute */
    double value;        /* V_old before the span; unused by `group` */
    bool chosen, answer; /* as in struct return_item */
    int32_t depth;       /* likewise */
    double advantage;    /* out */
    double target;       /* out: what the critic learns */
    bool dropped;        /* out: group.filter leaves it out; its advantage is 0 */
};

/* Fills advantage and target by the keys advantage, gae.lambda, group.form, group.filter,
 * ppo.whiten, critic.target, turns.* and rollout.continue.  Items may lie in any order. */
status advantage_compute(const struct learn_settings *settings, struct advantage_item *items,
                         int64_t count);

/* 1 - var(target - value) / var(target); 0 when the targets do not vary. */
status critic_explained_variance(const struct advantage_item *items, int64_t count, double *out);
/* Squares about the mean of their dialogue and turn over squares about the batch's mean (what a
 * group advantage can see) of a double `offset` bytes into each item; 0 where it does not vary.
 * Items are `stride` bytes apart and begin with their key. */
status share_within(const void *items, size_t stride, size_t offset, int64_t count, double *out);

#endif
