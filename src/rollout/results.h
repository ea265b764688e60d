/* What generation and scoring leave for every token of their replies: arrays of one block on the
 * device, which operations write, and its copy in pinned host memory, which replies are made of. */
#ifndef REGARD_ROLLOUT_RESULTS_H
#define REGARD_ROLLOUT_RESULTS_H

#include "src/model/buffer.h"
#include "src/rollout/reply.h"

enum { SUMMARY_TOP = 4 }; /* history positions kept a token */

enum result {
    RESULT_TOKEN,
    RESULT_LOGP,
    RESULT_TOKEN_ENTROPY,
    RESULT_ENTROPY,
    RESULT_FLOORED,
    RESULT_MASS,
    RESULT_SPECIAL,
    RESULT_TURN_MASS,    /* [entries, turns] */
    RESULT_TOP_POSITION, /* [entries, SUMMARY_TOP], as the next */
    RESULT_TOP_WEIGHT,
    RESULTS
};

struct results {
    struct queue *queue;
    struct buffer device;
    struct host_buffer host;
    int64_t entries, turns; /* what the block is cut for */
    void *of[RESULTS];      /* on the device, 4 bytes a number */
};

void results_create(struct results *results, struct queue *queue);
void results_destroy(struct results *results);
/* Room for so many tokens and turns. */
status results_reserve(struct results *results, int64_t entries, int64_t turns);
/* The same, and all of it zero. */
status results_begin(struct results *results, int64_t entries, int64_t turns);
/* Copies the block to the host and waits for it. */
status results_read(struct results *results);
/* After results_read: the tokens of the entries. */
const int32_t *results_tokens(const struct results *results);
/* After results_read: a reply of `count` tokens from those of entry `first` on; its turns: the
 * first `turns` columns. */
void results_reply(const struct results *results, int64_t first, int64_t count, int64_t turns,
                   struct reply *reply);

#endif
