/* What a run holds, for the files of src/model alone.  n history tokens (of a causal model those
 * that are computed: forest.h), m reply tokens. */
#ifndef REGARD_MODEL_RUN_STATE_H
#define REGARD_MODEL_RUN_STATE_H

#include "src/model/attention_watch.h"
#include "src/model/batch.h"
#include "src/model/buffer.h"
#include "src/model/model_state.h"
#include "src/model/workspace.h"

/* A family's own struct begins with it. */
struct model_run {
    struct model *model;
    bool keep_maps, capture_self;
    bool states_only; /* see model_run_read_states: so many layers, and no head */
    int64_t state_layers;
    const struct head_statistics *statistics; /* see model_run_read_heads */
    const struct attention_watch *watch;      /* see model_run_watch; or NULL */
    bool done;                                /* a forward pass has filled it */
    enum model_keep keep;
    int64_t histories, history_tokens, longest_history; /* n */
    int64_t replies, reply_tokens, longest_reply;       /* m */
    int64_t first_reply_tokens; /* of the first reply, whose attention maps can be read ... */
    int64_t first_keys;         /* ... over so many keys */
    int64_t hidden_rows;        /* of `hidden`: n, or one a history of a causal model */
    int64_t captured_keys;      /* the most that a row of `capture` has */
    bool all_read;              /* every history has a reply */
    int64_t capture_layers;
    int64_t head_row_limit;     /* rows of the head at a time; 0: as many as LOGITS_BYTES allow */
    int64_t head_backward_rows; /* whose gradient has gone back through the head */
    struct buffer integers, workspace, all_logits;
    struct host_buffer image; /* of the integers, while they are uploaded */
    /* In `integers`, before the family's. */
    int32_t *hidden_begin; /* [histories + 1] which rows of `hidden` stand for a history */
    int32_t *targets;      /* [m] */
    /* In `workspace`, placed by the family. */
    real *hidden;     /* [hidden_rows, width]; a causal model has it without replies alone */
    real *head_input; /* [m, width] */
    /* In `workspace`, placed by the run. */
    real *dhead_input;   /* [m, width], where activations are kept */
    float *logits;       /* [model_run_head_rows, vocabulary] */
    real *dlogits;       /* the same place where `real` is fp32 */
    float *capture;      /* [m, captured_keys] */
    float *self_capture; /* [m, longest_reply], of an encoder-decoder where it is asked for */
    float *maps;         /* [layers, heads, m, captured_keys] */
};

/* The layers that a pass computes of a stack that has `layers`. */
static inline int64_t run_layers(const struct model_run *run, int64_t layers)
{
    return run->states_only ? run->state_layers : layers;
}

/* The number from the last of a watched layer, -1: nobody watches it. */
static inline int64_t watched_layer(const struct model_run *run, int64_t index, int64_t layers)
{
    const int64_t layer = layers - 1 - index;
    return run->watch && layer < run->watch->layers ? layer : -1;
}

/* For backward passes: gradients from `offset` on are final; watermark may be NULL. */
static inline void watermark_ready(const struct model_watermark *watermark, int64_t offset)
{
    if (watermark && watermark->ready) watermark->ready(watermark->context, offset);
}

#endif
