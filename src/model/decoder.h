/* Incremental decoding: histories are read once, rows (candidates) share their history's keys and
 * values; of a causal model histories share what they begin with, and what was read is kept for
 * later batches.  The logits and the captured attention of a step are those of the teacher-forced
 * pass, bit for bit. */
#ifndef REGARD_MODEL_DECODER_H
#define REGARD_MODEL_DECODER_H

#include "src/model/batch.h"
#include "src/model/model.h"

struct model_decoder;
status model_decoder_create(struct model *model, struct model_decoder **out);
void model_decoder_destroy(struct model_decoder *decoder);
/* Room for batches within the limits: they will allocate nothing.  A batch beyond them makes room
 * itself.  On queues with graphs the limits only grow, rounded by size_bucket where that is worth
 * it, and strides are theirs, not the batch's, so that addresses and arguments repeat. */
status model_decoder_reserve(struct model_decoder *decoder,
                             const struct model_decoder_limits *limits);
/* Of a causal model: from the next batch on keys and values of so many tokens are kept, at least
 * those of one batch; 0: twice those. */
void model_decoder_cache(struct model_decoder *decoder, int64_t tokens);
/* Reads the histories of a batch (its replies are not looked at) and sets up `rows` rows, all at
 * step 0 with the shape's start id, or of a causal model the history's last token, as input;
 * row_history [rows] host.  max_steps: so many steps at most. */
status model_decoder_begin(struct model_decoder *decoder, const struct model_batch *batch,
                           int64_t rows, const int32_t *row_history, int64_t max_steps,
                           int64_t capture_layers);
/* From now on steps read these off every layer's attention over the histories; the struct is read
 * when a step is, and its member layer is not looked at.  NULL: nothing. */
void model_decoder_read_heads(struct model_decoder *decoder,
                              const struct head_statistics *statistics);
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
int32_t *model_decoder_input(struct model_decoder *decoder); /* [rows] next input */
/* [rows] steps done before the last step call. */
const int32_t *model_decoder_step_of_row(struct model_decoder *decoder);
/* [rows] device each: its number when the decoding began; its history. */
const int32_t *model_decoder_slot_of_row(struct model_decoder *decoder);
const int32_t *model_decoder_history_of_row(struct model_decoder *decoder);
/* Device [histories] each: token ranges of the histories as begin packed them. */
const int32_t *model_decoder_key_begin(struct model_decoder *decoder);
const int32_t *model_decoder_key_end(struct model_decoder *decoder);
/* Keeps the rows named (ascending, host) and drops the others, without waiting for the device. */
status model_decoder_keep(struct model_decoder *decoder, const int32_t *rows, int64_t count);
/* After the steps: the row that was number `slot` when the decoding began sampled these tokens
 * (host).  A history that goes on with them finds what was computed, until the next batches need
 * the room or the weights change. */
void model_decoder_retain(struct model_decoder *decoder, int64_t slot, const int32_t *tokens,
                          int64_t count);
/* Since the decoder was created. */
struct model_decoder_counts model_decoder_counts(const struct model_decoder *decoder);
int64_t model_decoder_rows(const struct model_decoder *decoder);
int64_t model_decoder_steps(const struct model_decoder *decoder); /* counted since begin */

#endif
