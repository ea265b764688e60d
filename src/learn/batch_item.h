/* What learners send each other of every reward of a batch, so that all of them compute the same
 * advantages: fixed size, begins with its key. */
#ifndef REGARD_LEARN_BATCH_ITEM_H
#define REGARD_LEARN_BATCH_ITEM_H

#include "src/reward/settings.h"
#include "src/reward/span.h"

struct batch_item {
    struct turn_key key;
    struct span span; /* the tokens that the reward is of; credit.c sets its value: the advantage */
    double terms[TERM_MAX]; /* raw */
    double kl_reward;       /* what kl.in: reward takes off */
    double value;           /* the critic's, of the history and the spans before */
    /* of the whole reply, in each of its spans */
    int64_t reply_tokens, visible, salient;
    int64_t dropped_tokens; /* of its history, by history.max_tokens */
    bool pruned, whole;     /* by history.prune: tokens; whole messages, for want of room */
    int64_t forced;         /* of the reply's tokens, those that were put there */
    double token_entropy, distinct_2;
    double kl_sum; /* over its tokens, of logp - logp_ref */
    int32_t spans; /* of the reply */
    bool chosen, ended, interrupted, answered;
    /* attention.speakers, where the asking user and another have names: mass and coverage of the
     * asking one, then of the others. */
    bool speakers;
    double speaker_mass[2], speaker_coverage[2];
    bool unbalanced; /* task: reasoning: a tag of sub-blocks has no partner */
    bool answer;     /* task: reasoning: the span is the answer's block */
    int32_t depth;   /* the sub-blocks that it lies in */
    bool broken;     /* a number of it is not finite, or its reward beyond guard.reward_max */
    /* set by credit.c */
    double scaled;  /* the reward that the return is made of, before kl_reward */
    double target;  /* the critic's */
    double return_; /* G from the span on */
    bool dropped;   /* group.filter: the policy does not learn from it */
};

/* What a span's rewards are divided by: cot.return mean: the number of its reply's, else 1. */
double batch_item_shares(const struct reward_settings *settings, const struct batch_item *item);
/* The reward of a span that its return is made of, before kl_reward is taken off: its terms over
 * the divisors, over the shares. */
double batch_item_reward(const struct reward_settings *settings, const struct batch_item *item,
                         const double divisors[TERM_MAX]);

/* One item a reply out of one a span: replies [at most count], in the items' order, in which a
 * reply's spans lie together from the first on.  Terms are reward_terms_merge's, scaled and
 * kl_reward the sum; the rest is the first span's.  Returns how many there are. */
int64_t batch_replies(const struct reward_settings *settings, const struct batch_item *items,
                      int64_t count, struct batch_item *replies);

#endif
