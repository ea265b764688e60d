/* What a decoder holds, for the files of src/model alone. */
#ifndef REGARD_MODEL_DECODER_STATE_H
#define REGARD_MODEL_DECODER_STATE_H

#include "src/model/batch.h"
#include "src/model/buffer.h"
#include "src/model/model_state.h"
#include "src/model/workspace.h"

/* Host images of the rows' integers: one may still be read by an upload while the other is
 * filled. */
enum { DECODER_IMAGES = 2 };

/* A family's own struct begins with it.  Every row owns a slot of the keys and values that belong
 * to replies. */
struct model_decoder {
    struct model *model;
    struct model_decoder_limits limits; /* what everything below is placed for */
    int64_t layout;
    int64_t cache_tokens; /* asked for, see model_decoder_cache */
    int64_t histories, rows, max_steps, steps, capture_layers;
    const struct head_statistics *statistics; /* see model_decoder_read_heads */
    int64_t segments; /* what the family's arguments depend on beside limits and rows */
    struct model_decoder_counts counts;
    struct buffer activations, captured, integers;
    float *logits;  /* [rows, vocabulary] */
    float *capture; /* [rows, decoder_capture_stride], or NULL */
    /* In `integers`, and in the host's images of it; limits.rows of each unless said otherwise;
     * then the family's. */
    int32_t *history_begin; /* [histories + 1] */
    int32_t *slot, *history, *step;
    int32_t *query_begin;   /* [rows + 1]: a row a segment */
    int32_t *moves;         /* where a row's input goes, see model_decoder_keep */
    int32_t *input, *moved; /* [rows], [2 rows] */
    struct host_buffer image[DECODER_IMAGES];
    int image_next;
    /* The host's: which slot and history a row has; where histories stand. */
    int32_t *host_slot, *host_history, *host_begin;
};

int64_t decoder_capture_stride(const struct model_decoder *decoder);
/* Makes room in the buffer for what place_all places, and places it; another layout where it
 * moves. */
status decoder_place_in(struct model_decoder *decoder, struct buffer *buffer,
                        void (*place_all)(struct model_decoder *, struct workspace *));

#endif
