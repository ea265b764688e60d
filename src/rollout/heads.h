/* The device side of every head's statistics (struct head_statistics in kernels/ops.h): rows that
 * are kept until a token is sampled, sums of a reply's rows, and what says whose they are.  One row
 * a layer and head for each reply and each row of a step, never one for each token. */
#ifndef REGARD_ROLLOUT_HEADS_H
#define REGARD_ROLLOUT_HEADS_H

#include "src/model/decoder.h"
#include "src/rollout/capture.h"

struct heads {
    struct queue *queue;
    const struct model_shape *shape;
    bool on;                         /* the table of statistics has rows of heads */
    struct buffer rows, kept, ended; /* of replies, of rows, of replies */
    struct buffer history, first;    /* of replies: whose it is; its first token's entry */
    struct buffer next, reply;       /* of tokens that are there already */
    struct head_statistics call;
    int64_t replies;
};

void heads_create(struct heads *heads, struct queue *queue, const struct model_shape *shape,
                  const struct statistic_table *table);
void heads_destroy(struct heads *heads);
/* Room for so many replies to histories of at most `longest` tokens; `rows` of them in a step, 0:
 * they are there already.  Nothing where no heads are read, as all calls here. */
status heads_reserve(struct heads *heads, int64_t replies, int64_t rows, int64_t longest);
/* Sets up the call for replies to histories history[replies] (host, until synchronize). */
status heads_begin(struct heads *heads, const struct capture *capture,
                   const struct results *results, const int32_t *history, int64_t replies);
/* Then for a decoder's rows at their places, or for given replies (host, until synchronize): of
 * token t next[t] and the reply it is of, of reply r its first token's number. */
void heads_of_decoder(struct heads *heads, struct model_decoder *decoder,
                      const struct result_places *at);
status heads_of_given(struct heads *heads, const int32_t *next, const int32_t *reply,
                      int64_t tokens, const int32_t *first);
/* For steps' attention; NULL: nothing is read. */
const struct head_statistics *heads_call(const struct heads *heads);
/* After a step's sampling, of so many rows whose tokens are next [rows]. */
void heads_sampled(const struct heads *heads, const int32_t *next, int64_t rows);
/* Rows of later steps are no part of the reply's sum. */
void heads_cut(const struct heads *heads, int64_t reply);
/* After all steps. */
void heads_finish(const struct heads *heads);

#endif
