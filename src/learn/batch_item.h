/* What learners send each other of every reward of a batch, so that all of them compute the same
 * advantages: fixed size, begins with its key. */
#ifndef REGARD_LEARN_BATCH_ITEM_H
#define REGARD_LEARN_BATCH_ITEM_H

#include "src/reward/span.h"
#include "src/reward/term.h"

struct batch_item {
    struct turn_key key;
    struct span span; /* the tokens that the reward is of; credit.c sets its value: the advantage */
    /* of the reply */
    int64_t reply_tokens, visible, salient;
    double terms[TERM_MAX]; /* raw */
    double kl_reward;       /* what kl.in: reward takes off */
    double value;           /* the critic's, of the history */
    double token_entropy, distinct_2;
    double kl_sum; /* over its tokens, of logp - logp_ref */
    bool chosen, ended;
    /* set by credit.c */
    double scaled; /* the reward that the return is made of, before kl_reward */
    double target; /* the critic's */
};

#endif
