/* A T5's teacher-forced pass: the encoder over the histories, the decoder over the replies. */
#ifndef REGARD_MODEL_T5_FORWARD_H
#define REGARD_MODEL_T5_FORWARD_H

#include "src/model/t5/state.h"

void t5_run_create(struct model_run *run);
void t5_run_release(struct model_run *run);
void t5_run_place_integers(struct model_run *run, struct workspace *workspace);
void t5_run_fill_integers(const struct model_run *run, const struct model_batch *batch);
void t5_run_place(struct model_run *run, struct workspace *workspace);
void t5_forward(struct model_run *run);

/* For the backward pass, where inputs alone were kept: a layer's activations, but x_out, which is
 * there; captures nothing. */
void t5_recompute_encoder_layer(struct t5_run *run, int64_t index);
void t5_recompute_decoder_layer(struct t5_run *run, int64_t index);
/* The attentions as forward and backward both call them. */
struct attention t5_self_attention(const struct t5_run *run, bool decoder,
                                   const struct t5_activations *a);
struct attention t5_cross_attention(const struct t5_run *run, const struct t5_activations *a);

#endif
