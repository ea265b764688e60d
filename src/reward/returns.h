/* Weights of turns and returns G(t) (docs/reward.md, Turns, returns, advantages). */
#ifndef REGARD_REWARD_RETURNS_H
#define REGARD_REWARD_RETURNS_H

#include "src/reward/settings.h"

struct return_item {
    struct turn_key key;
    double reward; /* R(t), scaled, KL taken off */
    bool chosen;   /* rollout.continue best: the candidate that was gone on with; in a dialogue's
                    * last turn the best one.  One a turn.  Unused with `each`. */
    double result; /* G(t) */
};

/* lambda(t), t from 1: turns.lambda, its last value going on; 1 when empty. */
double turn_lambda(const struct reward_settings *settings, int64_t turn);
/* next[i]: the item whose G(t+1) enters item i's return, or -1 at the end: the same candidate
 * with `each`, the chosen one with `best`; always -1 in task single_turn.  Items are `stride`
 * bytes apart and begin with their key; chosen is a bool at `chosen_offset`. */
status turn_successors(const struct reward_settings *settings, const void *items, size_t stride,
                       size_t chosen_offset, int64_t count, int64_t *next);
/* Fills result: lambda(t) R(t) + discount G(t+1); R(t) in task single_turn. */
status returns_compute(const struct reward_settings *settings, struct return_item *items,
                       int64_t count);
/* kl.in reward: kl.coef times the sum over a turn's tokens of k1 = logp - logp_ref or
 * k3 = exp(-k1) - 1 + k1, with the behaviour's logp; taken off the scaled reward. */
double reward_kl(const struct reward_settings *settings, const float *logp, const float *logp_ref,
                 int64_t count);

#endif
