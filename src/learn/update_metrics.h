/* What an update did, in numbers that every run logs (docs/reward.md, Controls). */
#ifndef REGARD_LEARN_UPDATE_METRICS_H
#define REGARD_LEARN_UPDATE_METRICS_H

#include "src/learn/audit.h"
#include "src/learn/batch_item.h"
#include "src/learn/statistic_metrics.h"
#include "src/learn/step.h"
#include "src/rollout/experience_tokens.h"

enum { BLOCK_DEPTHS_LOGGED = 3 };

/* Means over the batch's replies, unless said. */
struct update_metrics {
    struct step_metrics policy, critic; /* the last epoch's */
    bool skipped;                       /* a step of it, or all: nothing was changed */
    int64_t broken; /* spans of replies for which all of it was, without a step: batch_item.h */
    /* The mismatch of sampler and trainer: the largest |log-probability of the one - of the other|
     * in the first epoch, before anything changed.  0 at pipeline.lag 0. */
    double first_ratio_deviation;
    double reward, reward_scaled;             /* raw, and as the advantages have it */
    double terms[TERM_MAX], scaled[TERM_MAX]; /* one a term of the reward settings */
    double
        milliseconds[TERM_MAX]; /* of given terms: what their sources took, all actors together */
    double within_share[TERM_MAX], reward_within_share;
    double salient_share, reply_length, end_rate, distinct_2, token_entropy;
    double salient_empty;                     /* turns without a salient token */
    double history_dropped;                   /* tokens of a history that history.max_tokens cut */
    double histories_pruned, histories_short; /* turns whose history was pruned; lost messages whole
                                               * because pruning could not make room enough */
    /* rollout.interrupt: the replies that were cut, and means over these: reward and terms, raw. */
    int64_t interrupted;
    double reward_interrupted, terms_interrupted[TERM_MAX], reply_length_interrupted;
    /* task: reasoning: spans a reply, their correlation with G over the batch (0 where either does
     * not vary), replies without an answer. */
    double blocks, return_blocks_correlation, answer_missing;
    /* cot.depth_lambda: spans a reply in no sub-block, in one, in more; replies that have a tag
     * without a partner. */
    double blocks_by_depth[BLOCK_DEPTHS_LOGGED], sub_unbalanced;
    int64_t forced;       /* tokens that cot.reason_tokens put into replies */
    double answer_forced; /* replies with such */
    double kl_behaviour;  /* a token */
    double explained_variance, advantage_deviation; /* over spans */
    struct statistic_metrics statistics;            /* of attention */
    struct experience_tokens rollout;               /* of all dialogues */
    /* attention.speakers: means over the replies, so many, to a user with a name beside others with
     * names: of that user, of the others. */
    int64_t speaker_replies;
    double speaker_mass[2], speaker_coverage[2];
    int64_t turns, spans, tokens;          /* of the batch: replies, their spans, their tokens */
    int64_t learned_turns, learned_tokens; /* of it, those that the policy learns from */
    int64_t groups_dropped;                /* by group.filter */
    double overlong;                       /* what reward.overlong takes off */
    struct audit_report audit;
};

/* Fills all but what the steps give, from the items of a whole batch after credit_assign. */
status update_metrics_fill(const struct reward_settings *settings, const struct batch_item *items,
                           int64_t count, const double divisors[TERM_MAX],
                           struct update_metrics *out);

#endif
