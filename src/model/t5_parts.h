/* What the files of T5 share and nobody else sees: weights by layer, activations by layer,
 * workspaces that grow, and the pieces of a layer that teacher forcing and incremental
 * decoding both run (which is why their numbers agree bit for bit).
 * Sizes in shapes: n history tokens, m reply tokens (or rows of a decode step), d = d_model,
 * i = heads * d_kv, f = d_ff, w = f, or 2f when gated. */
#ifndef REGARD_MODEL_T5_PARTS_H
#define REGARD_MODEL_T5_PARTS_H

#include "src/model/buffer.h"
#include "src/model/model.h"

enum t5_matrix_name { SELF_QKV, SELF_O, CROSS_Q, CROSS_KV, CROSS_O, FF_WI, FF_WO, T5_MATRICES };
enum t5_norm_name { NORM_SELF, NORM_CROSS, NORM_FF, T5_NORMS };

/* A weight [n, k] at `offset` floats of the parameters; n 0: the layer has none. */
struct t5_matrix {
    int64_t offset, n, k;
    struct packed_matrix *packed;
};

struct t5_layer {
    struct t5_matrix matrix[T5_MATRICES];
    int64_t norm[T5_NORMS]; /* offsets of the weights [d] */
};

struct t5_stack {
    bool decoder;
    int64_t layers;
    struct t5_layer *layer;
    int64_t relative_bias; /* offset of [buckets, heads], of block 0, used by all */
    int64_t final_norm;
};

struct model {
    struct queue *queue;
    struct model_shape shape;
    bool with_gradients;
    bool stochastic; /* rounding, keyed by seed and version */
    int64_t seed;
    struct model_version version;
    struct parameters parameters;
    int64_t shared;        /* offset of the embedding [vocabulary, d] */
    struct t5_matrix head; /* lm_head, or the embedding again when tied */
    struct t5_stack encoder, decoder;
    /* The critic's head; n 0 otherwise. */
    struct t5_matrix value_weight, value_bias; /* [1, d], [1, 1] */
};

/* model_create, and the critic's head behind the parameters when value_head. */
status t5_create_parts(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                       bool value_head, struct model **out);

/* Pieces cut off one buffer: first with base NULL to count bytes, then to place them. */
struct t5_cut {
    char *base;
    size_t used, real_bytes;
};
struct t5_cut t5_cut_begin(const struct queue *queue, void *base);
real *t5_cut_reals(struct t5_cut *cut, int64_t count);
float *t5_cut_floats(struct t5_cut *cut, int64_t count);
int32_t *t5_cut_ints(struct t5_cut *cut, int64_t count);

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
/* Places for the layers of a stack in slots[layers]: x_in and x_out; then the rest.  cross_rows: n,
 * 0 when the caller holds the keys and values itself.  The last does both. */
void t5_inputs_cut(struct t5_cut *cut, const struct model_shape *shape, int64_t layers,
                   int64_t rows, enum model_keep keep, struct t5_activations *slots);
void t5_layers_cut(struct t5_cut *cut, const struct model_shape *shape, bool decoder,
                   int64_t layers, int64_t rows, int64_t cross_rows, enum model_keep keep,
                   struct t5_activations *slots);
void t5_activations_cut(struct t5_cut *cut, const struct model_shape *shape, bool decoder,
                        int64_t layers, int64_t rows, int64_t cross_rows, enum model_keep keep,
                        struct t5_activations *slots);

/* The pieces of a layer, rows at a time; the attention itself stands between them. */
void t5_layer_self_project(struct model *model, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows);
void t5_layer_self_close(struct model *model, const struct t5_layer *layer,
                         const struct t5_activations *a, int64_t rows);
void t5_layer_cross_project(struct model *model, const struct t5_layer *layer,
                            const struct t5_activations *a, int64_t rows);
void t5_layer_cross_close(struct model *model, const struct t5_layer *layer,
                          const struct t5_activations *a, int64_t rows);
/* The feed-forward part up to `inner`; the whole of it. */
void t5_layer_inner(struct model *model, const struct t5_layer *layer,
                    const struct t5_activations *a, int64_t rows);
void t5_layer_feed_forward(struct model *model, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows);
/* Final norm and scaling, what the head reads: normed [rows, d], scaled [rows, d] (may be normed);
 * and the head too. */
void t5_head_input(struct model *model, const real *x, real *normed, float *inverse, real *scaled,
                   int64_t rows);
void t5_head(struct model *model, const real *x, real *normed, float *inverse, real *scaled,
             float *logits, int64_t rows);
void t5_relative_bias(struct model *model, const struct t5_stack *stack, float *bias, int64_t span);

struct model_run {
    struct model *model;
    bool keep_maps, done;
    enum model_keep kept;
    int64_t histories, history_tokens, longest_history; /* n */
    int64_t replies, reply_tokens, longest_reply;       /* m */
    int64_t first_reply_tokens, first_history_tokens;
    bool all_read; /* every history has a reply */
    int64_t capture_layers;
    int64_t head_rows;   /* rows of the head at a time; 0: as many as LOGITS_BYTES allow */
    int64_t head_undone; /* rows whose gradient has gone back through the head */
    struct buffer integers, floats, backward, all_logits;
    struct host_buffer image; /* of the integers, while they are uploaded */
    /* In `integers`. */
    int32_t *history_begin, *history_ids;       /* [histories + 1], [n] */
    int32_t *reply_begin, *input_ids, *targets; /* [replies + 1], [m], [m] */
    int32_t *cross_begin, *cross_end;           /* [replies] key range of the reply's history */
    /* In `floats`. */
    struct t5_activations *encoder, *decoder; /* [layers] on the host */
    float *encoder_bias, *decoder_bias;       /* [heads, 2 span - 1] */
    float *encoder_inverse, *decoder_inverse; /* [n], [m] */
    real *encoder_output, *decoder_output;    /* [n, d], [m, d] before the scaling */
    real *scaled;                             /* [m, d] what the head reads */
    float *logits;                            /* [model_run_head_rows, vocabulary] */
    real *dlogits;                            /* the same place where `real` is fp32 */
    float *capture;                           /* [m, longest_history] */
    float *maps;                              /* [layers, heads, m, longest_history] */
};

/* Measures a batch, makes room for it and uploads its integers. */
status t5_run_begin(struct model_run *run, const struct model_batch *batch, enum model_keep keep,
                    int64_t capture_layers);
/* One layer of the pass.  again: for a backward pass that needs the layer's activations and has
 * kept its input alone; not x_out, which is there, and captures nothing. */
void t5_run_encoder_layer(struct model_run *run, int64_t index, bool again);
void t5_run_decoder_layer(struct model_run *run, int64_t index, bool again);
/* Room for the backward pass of the present batch; dscaled [m, d]: where the head's backward pass
 * leaves the gradient of `scaled`. */
status t5_backward_reserve(struct model_run *run, real **dscaled);

/* The attentions of a teacher-forced pass, as forward and backward both call them. */
struct attention t5_run_self_attention(const struct model_run *run, bool decoder,
                                       const struct t5_activations *a);
struct attention t5_run_cross_attention(const struct model_run *run,
                                        const struct t5_activations *a);

#endif
