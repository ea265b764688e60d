/* T5: shape, forward, backward and incremental decoding over packed sequences. */
#ifndef REGARD_MODEL_MODEL_H
#define REGARD_MODEL_MODEL_H

#include "src/model/parameters.h"

struct model_shape {
    int64_t vocabulary, d_model, d_kv, d_ff, heads;
    int64_t encoder_layers, decoder_layers; /* decoder_layers 0: an encoder alone (critic) */
    int64_t buckets, max_distance;
    bool gated;        /* gated GELU (tanh), else ReLU */
    bool tied;         /* no lm_head of its own: shared.weight */
    bool scale_logits; /* decoder output times d_model^-0.5 before the head */
    float eps;
    int32_t pad, end, decoder_start;
};

struct model;

/* The table of parameters that a model of this shape has, values NULL; the caller frees list. */
status model_lay_out(const struct model_shape *shape, struct parameters *out);
/* Parameters allocated, zero. with_gradients: matrices are packed for backward too. */
status model_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                    struct model **out);
void model_destroy(struct model *model);
const struct model_shape *model_shape(const struct model *model);
struct parameters *model_parameters(struct model *model);
/* T5's initialization (Transformers' _init_weights, factor 1) from a seed. */
status model_initialize(struct model *model, int64_t seed);

/* Which weights a model holds: those after so many updates and so many optimizer steps of the next
 * one.  With stochastic rounding the matrices' bits are a function of parameters, seed and version
 * alone: what learns, what samples and what was resumed round alike. */
struct model_version {
    int64_t update, step;
};
struct model_version model_version(const struct model *model);
/* From the next refresh on matrices are rounded to bf16 stochastically. */
void model_round_stochastically(struct model *model, int64_t seed);
/* After the parameters changed: packs the matrices anew.  The version stays; is the next step's; is
 * that of so many updates. */
status model_refresh(struct model *model);
status model_refresh_step(struct model *model);
status model_refresh_update(struct model *model, int64_t update);
/* Weights after so many updates, of another model of this shape, in the same layout on this queue's
 * device, for a model that only reads: matrices are packed from there, the rest (norms, relative
 * positions, the embedding) is copied.  Queued, not waited for.  The matrices in
 * model_parameters(to)->values keep what they held: only operations may use `to` after this, not
 * refresh, hash, export or a checkpoint. */
void model_take_values(struct model *to, const float *values, int64_t update);
struct queue *model_queue(struct model *model);

/* A teacher-forced batch, host arrays.  Reply r belongs to history reply_history[r]
 * (ascending); its decoder input is decoder_start and its tokens less the last. */
struct model_batch {
    int64_t histories;
    const int32_t *history_begin; /* [histories + 1] into history_tokens */
    const int32_t *history_tokens;
    int64_t replies;            /* 0: only the encoder runs */
    const int32_t *reply_begin; /* [replies + 1] into reply_tokens */
    const int32_t *reply_tokens;
    const int32_t *reply_history; /* [replies] */
};

/* What a forward pass keeps for model_backward: nothing; all activations; or each layer's input
 * alone, for a backward pass that runs each layer again: less memory, a third more work, the
 * same bits. */
enum model_keep { MODEL_KEEP_NOTHING, MODEL_KEEP_ALL, MODEL_KEEP_INPUTS };

/* What a forward pass leaves on the device, valid until the run's next forward. */
struct model_run;
status model_run_create(struct model *model, struct model_run **out);
void model_run_destroy(struct model_run *run);
/* The largest batch that a run is to take: none of its passes is beyond any of these. */
struct model_limits {
    int64_t histories, history_tokens, longest_history;
    int64_t replies, reply_tokens, longest_reply; /* 0: only the encoder runs */
    int64_t capture_layers;
    enum model_keep keep;
};
/* All of a run's memory at once, by the largest batch: no pass within the limits allocates after
 * it (but for attention maps and model_run_logits).  What the last forward pass left is lost. */
status model_run_reserve(struct model_run *run, const struct model_limits *limits);
/* Up to what the head reads.  capture_layers: 0, or how many of the last decoder layers add their
 * cross-attention into model_run_capture. */
status model_forward(struct model_run *run, const struct model_batch *batch, enum model_keep keep,
                     int64_t capture_layers);
const real *model_run_encoder_output(const struct model_run *run);   /* [history tokens, d_model] */
const int32_t *model_run_targets(const struct model_run *run);       /* [reply tokens], device */
const int32_t *model_run_history_begin(const struct model_run *run); /* [histories + 1], device */
const float *model_run_capture(const struct model_run *run,
                               int64_t *stride); /* [reply tokens, stride] */
/* The head, model_run_head_rows reply tokens at a time at most, so that the logits of all need not
 * exist: forward gives the logits [rows, vocabulary] of tokens [first, first + rows), which are
 * there until the next call; dlogits is a place for their gradients (theirs where `real` is fp32);
 * backward takes those and adds the head's gradient.  Backward calls stand before model_backward,
 * in the order of the tokens, with any number of rows. */
int64_t model_run_head_rows(const struct model_run *run);
float *model_run_head_forward(struct model_run *run, int64_t first, int64_t rows);
real *model_run_dlogits(const struct model_run *run);
status model_run_head_backward(struct model_run *run, int64_t first, int64_t rows,
                               const real *dlogits, float *gradients);
/* Another bound of those rows than that of memory, for tests; 0: that one. */
void model_run_limit_head(struct model_run *run, int64_t rows);
/* Of every reply token under softmax(logits / temperature), device [reply tokens] each; entropy
 * and lse may be NULL. */
status model_run_logp(struct model_run *run, float temperature, float *logp, float *entropy,
                      float *lse);
/* All logits [reply tokens, vocabulary] at once, for fixtures. */
status model_run_logits(struct model_run *run, float **logits);
/* Told from inside a backward pass, whose gradients become final from the end of the parameters
 * to their start: nothing that is queued after the call changes gradients at `offset` floats or
 * behind it.  The last call has offset 0.  ready NULL: nobody listens. */
struct model_watermark {
    void (*ready)(void *context, int64_t offset);
    void *context;
};
/* From the head's input on, if model_run_head_backward has taken all rows (if none, the encoder
 * alone), plus dencoder [history tokens, d_model], or NULL.  gradients (device, the parameters'
 * layout) are added to; watermark may be NULL. */
status model_backward(struct model_run *run, const real *dencoder, float *gradients,
                      const struct model_watermark *watermark);
/* For fixtures: cross-attention of decoder layer `layer`, head `head`, reply 0, as
 * host [reply tokens, history tokens]; needs a forward with model_run_keep_maps. */
void model_run_keep_maps(struct model_run *run, bool keep);
status model_run_map(struct model_run *run, int64_t layer, int64_t head, float *host);

/* Incremental decoding: histories encoded once, rows (candidates) share their history's
 * cross-attention keys and values. */
struct model_decoder;
status model_decoder_create(struct model *model, struct model_decoder **out);
void model_decoder_destroy(struct model_decoder *decoder);
/* What a batch has at most. */
struct model_decoder_limits {
    int64_t histories, history_tokens, longest_history; /* of all histories; of one */
    int64_t rows, steps;
    int64_t capture_layers; /* 0: none is ever captured */
};
/* Room for batches within the limits: they will allocate nothing.  A batch beyond them makes room
 * itself.  On queues with graphs the limits only grow, rounded by size_bucket where that is worth
 * it, and strides are theirs, not the batch's, so that addresses and arguments repeat. */
status model_decoder_reserve(struct model_decoder *decoder,
                             const struct model_decoder_limits *limits);
/* Encodes the histories and sets up `rows` rows, all at step 0 with decoder_start as input;
 * row_history [rows] host.  max_steps: so many steps at most. */
status model_decoder_begin(struct model_decoder *decoder, int64_t histories,
                           const int32_t *history_begin, const int32_t *history_tokens,
                           int64_t rows, const int32_t *row_history, int64_t max_steps,
                           int64_t capture_layers);
/* One step for all rows: reads the input tokens (device, set by begin, later by the sampler
 * through model_decoder_input), leaves logits [rows, vocabulary] and capture [rows, stride], and
 * advances the steps: model_decoder_count, then model_decoder_calls. */
status model_decoder_step(struct model_decoder *decoder);
/* The host's side of a step: counts it.  An error where there is none left. */
status model_decoder_count(struct model_decoder *decoder);
/* The device's side, for steps that are recorded once and replayed. */
void model_decoder_calls(struct model_decoder *decoder);
/* What the arguments of model_decoder_calls depend on; without gaps between members. */
struct model_decoder_shape {
    int64_t layout; /* changes when memory moves or a stride changes */
    int64_t rows, segments, capture_layers;
};
struct model_decoder_shape model_decoder_shape(const struct model_decoder *decoder);
float *model_decoder_logits(struct model_decoder *decoder);
const float *model_decoder_capture(struct model_decoder *decoder, int64_t *stride);
int32_t *model_decoder_input(struct model_decoder *decoder);             /* [rows] next input */
const int32_t *model_decoder_step_of_row(struct model_decoder *decoder); /* [rows] steps done before
                                                                          * the last step call */
/* [rows] device each: its number when the decoding began; its history. */
const int32_t *model_decoder_slot_of_row(struct model_decoder *decoder);
const int32_t *model_decoder_history_of_row(struct model_decoder *decoder);
/* Device [histories] each: token ranges of the histories as begin packed them. */
const int32_t *model_decoder_key_begin(struct model_decoder *decoder);
const int32_t *model_decoder_key_end(struct model_decoder *decoder);
/* Keeps the rows named (ascending, host) and drops the others, without waiting for the device. */
status model_decoder_keep(struct model_decoder *decoder, const int32_t *rows, int64_t count);
int64_t model_decoder_rows(const struct model_decoder *decoder);
int64_t model_decoder_steps(const struct model_decoder *decoder); /* counted since begin */

#endif
