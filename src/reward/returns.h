/* Weights of turns and returns G(t) (docs/reward.md, Turns, returns, advantages). */
#ifndef REGARD_REWARD_RETURNS_H
#define REGARD_REWARD_RETURNS_H

#include "src/reward/settings.h"

struct return_item {
    struct turn_key key;
    double reward; /* R of the span, scaled, KL taken off */
    bool chosen;   /* rollout.continue best: the candidate that was gone on with; in a dialogue's
                    * last turn the best one.  One a turn.  Unused with `each`. */
    double result; /* G(t) */
    bool answer;   /* the block of reasoning that holds the answer */
    int32_t depth; /* of another block: how many sub-blocks it lies in */
};

/* lambda(t), t from 1: turns.lambda, its last value going on; 1 when empty or in task
 * single_turn. */
double turn_lambda(const struct reward_settings *settings, int64_t turn);
/* The same of a span: the answer's block has cot.lambda_final times that, another one the
 * cot.depth_lambda of its depth. */
double span_lambda(const struct reward_settings *settings, int64_t turn, bool answer,
                   int32_t depth);
/* next[i]: the item whose return enters item i's, or -1 at the end: the reply's next span; after
 * its last one the first of the next turn's reply, of the same candidate with `each`, of the chosen
 * one with `best`; no turn follows another in task single_turn.  Items are `stride`
 * bytes apart and begin with their key; chosen is a bool at `chosen_offset`. */
status turn_successors(const struct reward_settings *settings, const void *items, size_t stride,
                       size_t chosen_offset, int64_t count, int64_t *next);
/* Fills result: span_lambda R + discount times what follows. */
status returns_compute(const struct reward_settings *settings, struct return_item *items,
                       int64_t count);
/* kl.in reward: kl.coef times the sum over a turn's tokens of k1 = logp - logp_ref or
 * k3 = exp(-k1) - 1 + k1, each at most kl.clamp, with the behaviour's logp; taken off the scaled
 * reward. */
double reward_kl(const struct reward_settings *settings, const float *logp, const float *logp_ref,
                 int64_t count);

#endif
