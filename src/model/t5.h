/* T5: shape, forward, backward and incremental decoding over packed sequences. */
#ifndef REGARD_MODEL_T5_H
#define REGARD_MODEL_T5_H

#include "src/model/parameters.h"

struct t5_shape {
    int64_t vocabulary, d_model, d_kv, d_ff, heads;
    int64_t encoder_layers, decoder_layers; /* decoder_layers 0: an encoder alone (critic) */
    int64_t buckets, max_distance;
    bool gated;        /* gated GELU (tanh), else ReLU */
    bool tied;         /* no lm_head of its own: shared.weight */
    bool scale_logits; /* decoder output times d_model^-0.5 before the head */
    float eps;
    int32_t pad, end, decoder_start;
};

struct t5;

/* The table of parameters that a model of this shape has, values NULL; the caller frees list. */
status t5_lay_out(const struct t5_shape *shape, struct parameters *out);
/* Parameters allocated, zero. with_gradients: matrices are packed for backward too. */
status t5_create(struct queue *queue, const struct t5_shape *shape, bool with_gradients,
                 struct t5 **out);
void t5_destroy(struct t5 *model);
const struct t5_shape *t5_shape(const struct t5 *model);
struct parameters *t5_parameters(struct t5 *model);
/* T5's initialization (Transformers' _init_weights, factor 1) from a seed. */
status t5_initialize(struct t5 *model, int64_t seed);

/* Which weights a model holds: those after so many updates and so many optimizer steps of the next
 * one.  With stochastic rounding the matrices' bits are a function of parameters, seed and version
 * alone: what learns, what samples and what was resumed round alike. */
struct t5_version {
    int64_t update, step;
};
struct t5_version t5_version(const struct t5 *model);
/* From the next refresh on matrices are rounded to bf16 stochastically. */
void t5_round_stochastically(struct t5 *model, int64_t seed);
/* After the parameters changed: packs the matrices anew.  The version stays; is the next step's; is
 * that of so many updates. */
status t5_refresh(struct t5 *model);
status t5_refresh_step(struct t5 *model);
status t5_refresh_update(struct t5 *model, int64_t update);
/* Weights after so many updates, of another model of this shape, in the same layout on this queue's
 * device, for a model that only reads: matrices are packed from there, the rest (norms, relative
 * positions, the embedding) is copied.  Queued, not waited for.  The matrices in
 * t5_parameters(to)->values keep what they held: only operations may use `to` after this, not
 * refresh, hash, export or a checkpoint. */
void t5_take_values(struct t5 *to, const float *values, int64_t update);
struct queue *t5_queue(struct t5 *model);

/* A teacher-forced batch, host arrays.  Reply r belongs to history reply_history[r]
 * (ascending); its decoder input is decoder_start and its tokens less the last. */
struct t5_batch {
    int64_t histories;
    const int32_t *history_begin; /* [histories + 1] into history_tokens */
    const int32_t *history_tokens;
    int64_t replies;            /* 0: only the encoder runs */
    const int32_t *reply_begin; /* [replies + 1] into reply_tokens */
    const int32_t *reply_tokens;
    const int32_t *reply_history; /* [replies] */
};

/* What a forward pass keeps for t5_backward: nothing; all activations; or each layer's input
 * alone, for a backward pass that runs each layer again: less memory, a third more work, the
 * same bits. */
enum t5_keep { T5_KEEP_NOTHING, T5_KEEP_ALL, T5_KEEP_INPUTS };

/* What a forward pass leaves on the device, valid until the run's next forward. */
struct t5_run;
status t5_run_create(struct t5 *model, struct t5_run **out);
void t5_run_destroy(struct t5_run *run);
/* The largest batch that a run is to take: none of its passes is beyond any of these. */
struct t5_limits {
    int64_t histories, history_tokens, longest_history;
    int64_t replies, reply_tokens, longest_reply; /* 0: only the encoder runs */
    int64_t capture_layers;
    enum t5_keep keep;
};
/* All of a run's memory at once, by the largest batch: no pass within the limits allocates after
 * it (but for attention maps and t5_run_logits).  What the last forward pass left is lost. */
status t5_run_reserve(struct t5_run *run, const struct t5_limits *limits);
/* Up to what the head reads.  capture_layers: 0, or how many of the last decoder layers add their
 * cross-attention into t5_run_capture. */
status t5_forward(struct t5_run *run, const struct t5_batch *batch, enum t5_keep keep,
                  int64_t capture_layers);
const real *t5_run_encoder_output(const struct t5_run *run);   /* [history tokens, d_model] */
const int32_t *t5_run_targets(const struct t5_run *run);       /* [reply tokens], device */
const int32_t *t5_run_history_begin(const struct t5_run *run); /* [histories + 1], device */
const float *t5_run_capture(const struct t5_run *run, int64_t *stride); /* [reply tokens, stride] */
/* The head, t5_run_head_rows reply tokens at a time at most, so that the logits of all need not
 * exist: forward gives the logits [rows, vocabulary] of tokens [first, first + rows), which are
 * there until the next call; dlogits is a place for their gradients (theirs where `real` is fp32);
 * backward takes those and adds the head's gradient.  Backward calls stand before t5_backward, in
 * the order of the tokens, with any number of rows. */
int64_t t5_run_head_rows(const struct t5_run *run);
float *t5_run_head_forward(struct t5_run *run, int64_t first, int64_t rows);
real *t5_run_dlogits(const struct t5_run *run);
status t5_run_head_backward(struct t5_run *run, int64_t first, int64_t rows, const real *dlogits,
                            float *gradients);
/* Another bound of those rows than that of memory, for tests; 0: that one. */
void t5_run_limit_head(struct t5_run *run, int64_t rows);
/* Of every reply token under softmax(logits / temperature), device [reply tokens] each; entropy
 * and lse may be NULL. */
status t5_run_logp(struct t5_run *run, float temperature, float *logp, float *entropy, float *lse);
/* All logits [reply tokens, vocabulary] at once, for fixtures. */
status t5_run_logits(struct t5_run *run, float **logits);
/* Told from inside a backward pass, whose gradients become final from the end of the parameters
 * to their start: nothing that is queued after the call changes gradients at `offset` floats or
 * behind it.  The last call has offset 0.  ready NULL: nobody listens. */
struct t5_watermark {
    void (*ready)(void *context, int64_t offset);
    void *context;
};
/* From the head's input on, if t5_run_head_backward has taken all rows (if none, the encoder
 * alone), plus dencoder [history tokens, d_model], or NULL.  gradients (device, the parameters'
 * layout) are added to; watermark may be NULL. */
status t5_backward(struct t5_run *run, const real *dencoder, float *gradients,
                   const struct t5_watermark *watermark);
/* For fixtures: cross-attention of decoder layer `layer`, head `head`, reply 0, as
 * host [reply tokens, history tokens]; needs a forward with t5_run_keep_maps. */
void t5_run_keep_maps(struct t5_run *run, bool keep);
status t5_run_map(struct t5_run *run, int64_t layer, int64_t head, float *host);

/* Incremental decoding: histories encoded once, rows (candidates) share their history's
 * cross-attention keys and values. */
struct t5_decoder;
status t5_decoder_create(struct t5 *model, struct t5_decoder **out);
void t5_decoder_destroy(struct t5_decoder *decoder);
/* What a batch has at most. */
struct t5_decoder_limits {
    int64_t histories, history_tokens, longest_history; /* of all histories; of one */
    int64_t rows, steps;
    int64_t capture_layers; /* 0: none is ever captured */
};
/* Room for batches within the limits: they will allocate nothing.  A batch beyond them makes room
 * itself.  On queues with graphs the limits only grow, rounded by size_bucket where that is worth
 * it, and strides are theirs, not the batch's, so that addresses and arguments repeat. */
status t5_decoder_reserve(struct t5_decoder *decoder, const struct t5_decoder_limits *limits);
/* Encodes the histories and sets up `rows` rows, all at step 0 with decoder_start as input;
 * row_history [rows] host.  max_steps: so many steps at most. */
status t5_decoder_begin(struct t5_decoder *decoder, int64_t histories, const int32_t *history_begin,
                        const int32_t *history_tokens, int64_t rows, const int32_t *row_history,
                        int64_t max_steps, int64_t capture_layers);
/* One step for all rows: reads the input tokens (device, set by begin, later by the sampler
 * through t5_decoder_input), leaves logits [rows, vocabulary] and capture [rows, stride], and
 * advances the steps: t5_decoder_count, then t5_decoder_calls. */
status t5_decoder_step(struct t5_decoder *decoder);
/* The host's side of a step: counts it.  An error where there is none left. */
status t5_decoder_count(struct t5_decoder *decoder);
/* The device's side, for steps that are recorded once and replayed. */
void t5_decoder_calls(struct t5_decoder *decoder);
/* What the arguments of t5_decoder_calls depend on; without gaps between members. */
struct t5_decoder_shape {
    int64_t layout; /* changes when memory moves or a stride changes */
    int64_t rows, segments, capture_layers;
};
struct t5_decoder_shape t5_decoder_shape(const struct t5_decoder *decoder);
float *t5_decoder_logits(struct t5_decoder *decoder);
const float *t5_decoder_capture(struct t5_decoder *decoder, int64_t *stride);
int32_t *t5_decoder_input(struct t5_decoder *decoder);             /* [rows] next input */
const int32_t *t5_decoder_step_of_row(struct t5_decoder *decoder); /* [rows] steps done before
                                                                    * the last step call */
/* [rows] device each: its number when the decoding began; its history. */
const int32_t *t5_decoder_slot_of_row(struct t5_decoder *decoder);
const int32_t *t5_decoder_history_of_row(struct t5_decoder *decoder);
/* Device [histories] each: token ranges of the histories as begin packed them. */
const int32_t *t5_decoder_key_begin(struct t5_decoder *decoder);
const int32_t *t5_decoder_key_end(struct t5_decoder *decoder);
/* Keeps the rows named (ascending, host) and drops the others, without waiting for the device. */
status t5_decoder_keep(struct t5_decoder *decoder, const int32_t *rows, int64_t count);
int64_t t5_decoder_rows(const struct t5_decoder *decoder);
int64_t t5_decoder_steps(const struct t5_decoder *decoder); /* counted since begin */

#endif
