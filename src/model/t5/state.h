/* What a T5, its runs and its decoders hold.  Sizes in comments: see shape.h. */
#ifndef REGARD_MODEL_T5_STATE_H
#define REGARD_MODEL_T5_STATE_H

#include "src/model/decoder_state.h"
#include "src/model/model_state.h"
#include "src/model/run_state.h"
#include "src/model/t5/shape.h"

enum t5_linear_name { SELF_QKV, SELF_O, CROSS_Q, CROSS_KV, CROSS_O, FF_WI, FF_WO, T5_LINEARS };
enum t5_norm_name { NORM_SELF, NORM_CROSS, NORM_FF, T5_NORMS };

struct t5_layer {
    struct linear linear[T5_LINEARS]; /* n 0: the layer has none */
    int64_t norm[T5_NORMS];           /* offsets of the weights [d] */
};

struct t5_stack {
    bool decoder;
    int64_t layers;
    struct t5_layer *layer;
    int64_t relative_bias; /* offset of [buckets, heads], of block 0, used by all */
    int64_t final_norm;
};

struct t5 {
    struct model common;
    const struct t5_shape *shape;
    struct t5_stack encoder, decoder;
    int64_t summary_queries; /* offset of [shape->summary_slots, d] */
};

/* One layer's activations.  MODEL_KEEP_ALL: a place for each; MODEL_KEEP_INPUTS: layers share all
 * but x_in and x_out; otherwise they share all, and x_in, x_self, x_cross and x_out are the same
 * rows.  A layer's x_out is the next one's x_in. */
struct t5_activations {
    real *x_in;                                       /* [m, d] */
    real *norm_self, *norm_cross, *norm_ff;           /* [m, d] */
    float *inverse_self, *inverse_cross, *inverse_ff; /* [m] */
    real *qkv;                                        /* [m, 3i] */
    real *self_out, *cross_out;                       /* [m, i] */
    float *self_lse, *cross_lse;                      /* [m, heads] (NULL when not kept) */
    real *x_self;                                     /* [m, d] */
    real *cross_q, *cross_kv;                         /* [m, i], [n, 2i] */
    real *x_cross;                                    /* [m, d] (x_self in the encoder) */
    real *wi, *inner; /* [m, 2f] before the gate, NULL without one; [m, f] */
    real *x_out;      /* [m, d] */
};

/* Gradients of activations, reused by every layer. */
struct t5_gradients {
    real *dx, *dnorm;                     /* [rows, d], rows the larger of n and m; dx: of the
                                           * residual stream throughout */
    real *dout, *dqkv;                    /* [rows, i], [rows, 3i] */
    real *dinner, *dwi;                   /* [rows, f], [rows, w] */
    real *dcross_kv, *dencoder;           /* [n, 2i], [n, d] */
    float *dencoder_bias, *ddecoder_bias; /* [heads, 2 span - 1] */
    size_t bias_bytes[2];
};

/* A history's slots: rows [row, row + slots) are of the turns from first_turn on: the mean of one
 * each, or learned queries over all. */
struct t5_summary {
    int64_t history, row, first_turn, turns, slots;
};

/* Learned slots (pool.h): K queries a summary. */
struct t5_pool {
    int32_t *query;                             /* [summaries K] which of the K */
    int32_t *query_begin, *key_begin, *key_end; /* [summaries + 1], of keys [summaries] */
    int32_t *row;                               /* [2 cut_tokens] 0, 1, .. and again */
    real *q, *out, *dout, *dq;                  /* [summaries K, d] */
    real *dkv;                                  /* [2, cut_tokens, d] */
    float *lse, *dturns;                        /* [summaries K, heads], [cut_tokens, d] */
};

struct t5_run {
    /* hidden: the encoder's output; hidden_begin: the histories' tokens.  Behind these the n rows
     * of the encoder hold the turns that summaries are of (summary.h). */
    struct model_run common;
    struct t5_summary *summaries; /* [summary_count] on the host */
    int64_t summary_count, cut_turns, cut_tokens, encoder_segments;
    struct t5_pool pool;
    /* In `integers` of the run. */
    int32_t *history_ids;                     /* [n] */
    int32_t *encoder_begin;                   /* [encoder_segments + 1] into the n rows */
    int32_t *cut_begin;                       /* [cut_turns + 1] into the turns' rows */
    int32_t *reply_begin, *input_ids;         /* [replies + 1], [m] */
    int32_t *cross_begin, *cross_end;         /* [replies] key range of the reply's history */
    struct t5_activations *encoder, *decoder; /* [layers] on the host */
    float *encoder_bias, *decoder_bias;       /* [heads, 2 span - 1] */
    float *encoder_inverse, *decoder_inverse; /* [n], [m] of the final norms */
    real *decoder_output;                     /* [m, d] before the scaling */
    struct t5_gradients gradients;            /* placed where activations are kept */
};

/* Rows of one history that stand side by side are one segment of cross-attention; the last segments
 * may be empty. */
struct t5_decoder {
    struct model_decoder common;
    struct model_run *run;        /* the histories' pass */
    struct t5_activations *layer; /* [layers] on the host, all the same place */
    float *bias;                  /* [heads, 2 limits.steps - 1] */
    real *normed, *scaled;        /* [rows, d] */
    struct buffer caches;
    real *cross_kv; /* [layers, limits.history_tokens, 2i] */
    real *cache;    /* [layers, slots, limits.steps, 2i] keys, then values */
    /* In `integers` of the decoder. */
    int32_t *self_key_begin, *self_key_end;   /* [rows]: a row's own keys */
    int32_t *cross_query_begin;               /* [segments + 1] */
    int32_t *cross_key_begin, *cross_key_end; /* [segments]: the history's keys */
};

static inline struct t5 *t5_of(struct model *model)
{
    return (struct t5 *)model;
}

static inline struct t5_run *t5_run_of(struct model_run *run)
{
    return (struct t5_run *)run;
}

static inline struct t5_decoder *t5_decoder_of(struct model_decoder *decoder)
{
    return (struct t5_decoder *)decoder;
}

#endif
