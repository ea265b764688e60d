/* A reply with what was read off while it was generated or scored. */
#ifndef REGARD_ROLLOUT_REPLY_H
#define REGARD_ROLLOUT_REPLY_H

#include "src/capture/statistics.h"
#include "src/reward/terms.h"
#include "src/rollout/prompt.h"

/* Reasoning in blocks; owned.  count 0: the reply has none. */
struct reply_blocks {
    int32_t *begin; /* [count] ascending from 0 */
    uint8_t *marks; /* a token's, of enum block_mark */
    int32_t count;
    bool answered;   /* the last block is the answer's */
    bool unbalanced; /* a tag of sub-blocks has no partner */
};

/* All arrays [count], owned. */
struct reply {
    int32_t *tokens;
    float *logp;           /* full softmax at rollout.temperature */
    float *token_entropy;  /* of that softmax */
    float *self_certainty; /* of that softmax: KL(uniform || it); NULL: it was not asked for */
    float *received; /* [history] rollout_settings.received: attention that its tokens got from the
                      * policy; NULL: not asked for, or the reply was not sampled */
    struct statistics statistics;
    int64_t count;
    bool ended;       /* the end token was sampled (and is the last token) */
    bool interrupted; /* it was cut at its row's limit */
    struct reply_blocks blocks;
};

/* Zeroed arrays of these sizes; tokens too.  self_certainty: whether there is that one. */
void reply_allocate(struct reply *reply, const struct statistic_table *table,
                    const struct statistic_sizes *sizes, bool self_certainty, int64_t count);
void reply_free(struct reply *reply);
/* Blocks of a reply that has none. */
void reply_blocks_copy(struct reply *reply, const struct reply_blocks *blocks);

/* The raw reward terms of a reply, among which the given ones are there already; key names it in
 * errors.  Those of a reply with blocks are merged from its blocks', among which given ones are the
 * last one's. */
status reply_terms(const struct reward_settings *reward, struct turn_key key,
                   const struct prompt *prompt, const struct reply *reply, double terms[TERM_MAX]);
/* The same of a reply with blocks; theirs go to `blocks`, TERM_MAX each, `stride` bytes apart,
 * where the given ones are already. */
status reply_block_terms(const struct reward_settings *reward, struct turn_key key,
                         const struct prompt *prompt, const struct reply *reply,
                         double terms[TERM_MAX], double *blocks, size_t stride);

#endif
