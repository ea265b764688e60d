/* What a learner learns from: turns, in microbatches. */
#ifndef REGARD_LEARN_BATCH_H
#define REGARD_LEARN_BATCH_H

#include <stdbool.h>
#include <stdint.h>

/* A history and a reply to learn from; all arrays the caller's.  What a loss does not need may be
 * NULL. */
struct learn_turn {
    const int32_t *history, *reply;
    int64_t history_count, reply_count;
    const int32_t *cuts; /* [cut_count] of the history: src/model/batch.h */
    int64_t cut_count;
    const float *logp_old; /* [reply_count] the behaviour policy's; PPO */
    float *logp_ref;       /* [reply_count] the reference's; PPO with KL */
    /* [reply_count] with lag_truncated: the policy's that the update began with, which its first
     * epoch writes. */
    float *logp_begun;
    const float *advantage; /* [reply_count] every token's own; PPO */
    const uint8_t *marks;   /* [reply_count] enum block_mark: forced tokens are not learned; NULL */
    double target;          /* of V(history); critic, whose turns are spans (span_turns.h).  pair:
                             * 1, the first of two replies is preferred, or -1; interaction: below
                             * 0, the teacher reads the second turn's reply before the first's */
    bool apart;             /* of a causal model: it shares no rows with other turns */
    int64_t prompt;         /* tokens of the history before the reply; interaction */
    const uint8_t *markers; /* [history_count] 1: not text; interaction */
};

/* This learner's part of a batch: microbatch i holds turns [begin[i], begin[i+1]). */
struct learn_batch {
    struct learn_turn *turns;
    int64_t turn_count;
    const int64_t *begin;          /* [microbatches of this learner + 1] */
    int64_t all_tokens, all_turns; /* of the whole batch, all learners */
    bool begun;                    /* an epoch has been done: logp_begun is there */
};

/* First dialogue of microbatch `microbatch` of `microbatches` in a batch of `dialogues`. */
int64_t microbatch_first(int64_t microbatches, int64_t dialogues, int64_t microbatch);

#endif
