/* Attention of a reply's tokens over the question and the blocks before their own, and what is read
 * off it (docs/reward.md, Chain of thought). */
#ifndef REGARD_ROLLOUT_BLOCK_ROWS_H
#define REGARD_ROLLOUT_BLOCK_ROWS_H

#include "src/rollout/capture.h"

/* Captured rows of a scoring pass, on the host: sums over the layers and heads that are read. */
struct captured_rows {
    const float *history; /* [tokens, history_stride] over the history; of a causal model it goes on
                           * over the reply's tokens so far */
    const float *reply;   /* [tokens, reply_stride] of an encoder-decoder over its own inputs so
                           * far, the first of which is the start token; NULL: a causal model's */
    int64_t history_stride, reply_stride;
};

struct block_rows {
    struct capture capture;
    struct buffer rows, places, out;
};
void block_rows_create(struct block_rows *b, struct queue *queue);
void block_rows_destroy(struct block_rows *b);
/* Room for any reply that the settings allow. */
status block_rows_reserve(struct block_rows *b, const struct rollout_settings *settings);
/* Of a reply with blocks whose first token has row `first`: sets its statistics' entropy,
 * entropy_floored and salient_mass.  counter: the reply's. */
status block_rows_read(struct block_rows *b, const struct rollout_settings *settings,
                       const struct captured_rows *rows, int64_t first, const struct prompt *prompt,
                       const uint32_t counter[3], struct reply *reply);

#endif
