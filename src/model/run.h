/* Teacher-forced passes of a model over packed batches: forward, head, backward.  A run owns the
 * memory they work in. */
#ifndef REGARD_MODEL_RUN_H
#define REGARD_MODEL_RUN_H

#include "src/model/attention_watch.h"
#include "src/model/batch.h"
#include "src/model/model.h"

/* What a forward pass leaves on the device, valid until the run's next forward. */
struct model_run;
status model_run_create(struct model *model, struct model_run **out);
void model_run_destroy(struct model_run *run);
/* All of a run's memory at once, by the largest batch: no pass within the limits allocates after
 * it (but for attention maps and model_run_logits).  What the last forward pass left is lost. */
status model_run_reserve(struct model_run *run, const struct model_limits *limits);

/* Forward passes read these off every layer's attention of replies over their histories: rows are
 * reply tokens; the member layer is not looked at.  NULL: nothing. */
void model_run_read_heads(struct model_run *run, const struct head_statistics *statistics);

/* Forward passes compute `layers` layers alone, of an encoder-decoder's encoder, which then takes
 * no replies, or of a decoder-only model; the last norm is over what these leave (0: over the
 * embeddings).  There is no head and nothing is kept for backward: model_run_states is what a pass
 * leaves. */
void model_run_read_states(struct model_run *run, int64_t layers);
/* [history tokens, width] of an encoder-decoder; of a decoder-only model [reply tokens, width], a
 * row for the token that each reply token stands behind: the history's last one for the first. */
const real *model_run_states(const struct model_run *run);

/* Up to what the head reads.  capture_layers: 0, or how many of the last layers add their attention
 * over the history into model_run_capture. */
status model_forward(struct model_run *run, const struct model_batch *batch, enum model_keep keep,
                     int64_t capture_layers);
/* Tokens that the last forward pass computed. */
int64_t model_run_tokens(const struct model_run *run);
/* The histories behind the last norm: [history tokens, width]; of a causal model, without replies
 * alone, every history's last token: [histories, width]. */
const real *model_run_hidden(const struct model_run *run);
const int32_t *model_run_targets(const struct model_run *run); /* [reply tokens], device */
const float *model_run_capture(const struct model_run *run,
                               int64_t *stride); /* [reply tokens, stride] */

/* From the next forward pass on an encoder-decoder's decoder adds the attention over its own inputs
 * of the same layers too: [reply tokens, stride], the start token's first.  A decoder-only model's
 * rows go on over the reply as they are: NULL. */
void model_run_capture_self(struct model_run *run, bool capture);
const float *model_run_self_capture(const struct model_run *run, int64_t *stride);

/* For the passes to come; NULL: nobody watches. */
void model_run_watch(struct model_run *run, const struct attention_watch *watch);
/* rows [history tokens] (host): which row of such attention is a token's, in a pass of a batch
 * without replies that is `apart` (of an encoder-decoder, any batch). */
void model_token_rows(const struct model *model, const struct model_batch *batch, int32_t *rows);

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
/* Of every reply token under softmax(logits / temperature), device [reply tokens] each; entropy,
 * self_certainty (struct sampling) and lse may be NULL. */
status model_run_logp(struct model_run *run, float temperature, float *logp, float *entropy,
                      float *self_certainty, float *lse);
/* All logits [reply tokens, vocabulary] at once, for fixtures. */
status model_run_logits(struct model_run *run, float **logits);

/* From the head's input on, if model_run_head_backward has taken all rows (if none, what reads the
 * histories alone), plus dhidden, like model_run_hidden, or NULL.  gradients (device, the
 * parameters' layout) are added to; watermark may be NULL. */
status model_backward(struct model_run *run, const real *dhidden, float *gradients,
                      const struct model_watermark *watermark);

/* For fixtures: attention of layer `layer`, head `head`, reply 0 over its history, as host
 * [reply tokens, history tokens], of a causal model [reply tokens, history and reply tokens - 1];
 * needs a forward with model_run_keep_maps. */
void model_run_keep_maps(struct model_run *run, bool keep);
status model_run_map(struct model_run *run, int64_t layer, int64_t head, float *host);

#endif
