/* Decoding of a decoder-only model: the pieces of a layer are those of the teacher-forced pass.
 * Keys and values of histories and of replies lie in one store.  A batch's histories are a forest;
 * what of it the store does not hold yet is prefilled, and stays for later batches. */
#ifndef REGARD_MODEL_CAUSAL_DECODE_H
#define REGARD_MODEL_CAUSAL_DECODE_H

#include "src/model/causal/state.h"
#include "src/model/decoder_state.h"
#include "src/model/prefix_cache.h"

/* Rows of nodes that are computed now, parents first, a chunk of rows at a time.  A node that a
 * chunk's end cuts is a segment in each.  Host counts; integers on the device. */
struct causal_prefill {
    int64_t rows, segments, ranges;
    int32_t *ids, *position, *row; /* [rows]; row: of the store */
    int32_t *query_begin;          /* [segments + chunks]: every chunk's own, from 0; ... */
    int32_t *range_begin;          /* ... so are these */
    int32_t *key_begin, *key_end;  /* [ranges] */
    int32_t *zero;                 /* [a chunk's rows] */
};

struct causal_decoder {
    struct model_decoder common;
    struct causal_activations *layer; /* [layers] on the host, all the same place: a step's or a
                                       * chunk's of a prefill */
    real *normed;                     /* [rows, width] */
    struct buffer store;              /* [layers, rows, 2 K d]: keys, then values */
    struct prefix_cache *prefixes;    /* which rows of it hold what */
    int64_t packed;                   /* the model's, when it was filled */
    struct forest forest;             /* of the batch's histories without their last tokens */
    struct causal_prefill prefill;
    struct buffer prefill_integers;
    struct host_buffer prefill_image;
    /* The host's, of the batch. */
    int64_t *node;  /* [forest nodes] in prefixes */
    int64_t *fresh; /* [forest nodes] those that are prefilled */
    int64_t fresh_count;
    int64_t *leaf;         /* [histories] the forest's node where it ends, -1: it has one token */
    int32_t *last_token;   /* [histories] */
    int64_t *own;          /* [slots] first of the rows of its own keys */
    int32_t *slot_history; /* [slots] */
    /* In `integers` of the decoder: the store's row and the position of a row's next token, side
     * by side since they advance together; its ranges of keys, the path's and then its own. */
    int32_t *row, *position;      /* [rows] */
    int32_t *zero;                /* [rows] */
    int32_t *range_begin;         /* [rows + 1] */
    int32_t *key_begin, *key_end; /* [rows, limits.cuts + 2] */
};

static inline struct causal_decoder *causal_decoder_of(struct model_decoder *decoder)
{
    return (struct causal_decoder *)decoder;
}

status causal_decoder_create(struct model_decoder *decoder);
void causal_decoder_release(struct model_decoder *decoder);
void causal_decoder_place(struct model_decoder *decoder, struct workspace *workspace);
void causal_decoder_place_integers(struct model_decoder *decoder, struct workspace *workspace);
void causal_decoder_fill_integers(struct model_decoder *decoder);
status causal_decoder_reserve(struct model_decoder *decoder,
                              const struct model_decoder_limits *limits);
status causal_decoder_begin(struct model_decoder *decoder, const struct model_batch *batch);
void causal_decoder_step(struct model_decoder *decoder);
void causal_decoder_retain(struct model_decoder *decoder, int64_t slot, const int32_t *tokens,
                           int64_t count);

/* Of decode.c, for prefill.c.  Keys and values of `rows` rows, as a layer projected them, into the
 * store's rows `row`; attention over the store. */
int64_t causal_prefill_chunk(const struct model_decoder_limits *limits);
void causal_store_append(struct causal_decoder *decoder, int64_t layer,
                         const struct causal_activations *a, const int32_t *row,
                         const int32_t *zero, int64_t rows);
struct attention causal_store_attention(const struct causal_decoder *decoder, int64_t layer,
                                        const struct causal_activations *a);
/* Of prefill.c: computes keys and values of the fresh nodes.  reserve: room for any within the
 * limits. */
status causal_prefill_reserve(struct causal_decoder *decoder,
                              const struct model_decoder_limits *limits);
status causal_prefill_run(struct causal_decoder *decoder);

#endif
