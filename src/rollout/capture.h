/* The device side of the attention summary for a set of prompts and replies: masks, floors,
 * counters, and the call that reduces captured rows.  Shared by generation and scoring. */
#ifndef REGARD_ROLLOUT_CAPTURE_H
#define REGARD_ROLLOUT_CAPTURE_H

#include "src/rollout/prompt.h"
#include "src/rollout/results.h"

struct capture {
    struct queue *queue;
    bool causal; /* rows go on over the reply's own tokens */
    bool heads;  /* every head's statistics are read: the last four arrays are there */
    struct buffer inputs;
    struct host_buffer image; /* of the inputs */
    /* In `inputs`. */
    uint8_t *visible, *salient, *turn_of, *special; /* per history token */
    uint8_t *speaker;   /* likewise: twice its speaker's number from 0, 1 more of a salient one;
                         * STATISTICS_NO_SPEAKER */
    float *floor;       /* [replies] */
    uint32_t *counter;  /* [replies, 3] */
    int32_t *token;     /* per history token */
    float *in_v, *sink; /* masks, per history token */
    float *uniform;     /* log|V| of each prompt; 0 below 2 tokens */
    int64_t turns;      /* of the prompts */
};

/* Prompts packed in order, and replies to them. */
struct capture_batch {
    const struct prompt *prompts;
    int64_t prompt_count;
    const int32_t *prompt_of; /* [replies] into prompts */
    const uint32_t *counters; /* [replies, 3] */
    int64_t replies;
};

void capture_create(struct capture *capture, struct queue *queue, bool causal, bool heads);
void capture_destroy(struct capture *capture);
/* Room for so many history tokens and replies. */
status capture_reserve(struct capture *capture, int64_t tokens, int64_t replies);
/* How many turns the prompts have at most, at least 1. */
int64_t capture_turns(const struct capture_batch *batch);
/* Tokens of the longest prompt. */
int64_t capture_longest(const struct capture_batch *batch);
/* Uploads what belongs to a batch, laid out for `tokens` and `replies`, at least the batch's. */
status capture_begin(struct capture *capture, const struct rollout_settings *settings,
                     const struct capture_batch *batch, int64_t tokens, int64_t replies);
/* What the operation does for the configuration's form of the floor. */
enum row_floor row_floor_of(enum floor_form form);
/* Sets the summary's masks, floors and control. */
void capture_inputs(const struct capture *capture, const struct rollout_settings *settings,
                    struct attention_summary *summary);
/* Reduces captured rows into the results.  rows: capture, capture_stride, weight, history_of_row,
 * key_begin, key_end, step, at and their number are set. */
void capture_reduce(const struct capture *capture, const struct rollout_settings *settings,
                    const struct results *results, const struct attention_summary *rows);

#endif
