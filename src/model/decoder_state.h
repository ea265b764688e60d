/* What a decoder holds, for the files of src/model alone. */
#ifndef REGARD_MODEL_DECODER_STATE_H
#define REGARD_MODEL_DECODER_STATE_H

#include "src/model/batch.h"
#include "src/model/buffer.h"
#include "src/model/model_state.h"
#include "src/model/run_state.h"
#include "src/model/workspace.h"

/* Host images of the rows' integers: one may still be read by an upload while the other is
 * filled. */
enum { DECODER_IMAGES = 2 };

/* A family's own struct begins with it.  Every row owns a slot of the caches of its own keys and
 * values; rows of one history that stand side by side are one segment. */
struct model_decoder {
    struct model *model;
    struct model_run *run;              /* the histories' pass */
    struct model_decoder_limits limits; /* what everything below is placed for */
    int64_t layout;
    int64_t histories, rows, max_steps, steps, capture_layers;
    int64_t segments; /* the last ones may be empty */
    struct buffer activations, caches, captured, integers;
    float *logits;  /* [rows, vocabulary] */
    float *capture; /* [rows, limits.longest_history], or NULL */
    /* In `integers`, and in the host's images of it; limits.rows of each unless said otherwise. */
    int32_t *history_begin; /* [histories + 1] */
    int32_t *slot, *history;
    int32_t *step, *self_key_end;               /* side by side: they advance together */
    int32_t *self_query_begin, *self_key_begin; /* [rows + 1], [rows]: a row's own keys */
    int32_t *cross_query_begin;                 /* [segments + 1] */
    int32_t *cross_key_begin, *cross_key_end;   /* [segments]: the history's keys */
    int32_t *moves;         /* where a row's input goes, see model_decoder_keep */
    int32_t *input, *moved; /* [rows], [2 rows] */
    struct host_buffer image[DECODER_IMAGES];
    int image_next;
    /* The host's: which slot and history a row has; where histories stand. */
    int32_t *host_slot, *host_history, *host_begin;
};

#endif
