/* The pieces of a T5 layer, which teacher forcing and incremental decoding both run (which is why
 * their numbers agree bit for bit); the attention itself stands between them.  All are given the
 * layer's activations and how many rows they have. */
#ifndef REGARD_MODEL_T5_LAYER_H
#define REGARD_MODEL_T5_LAYER_H

#include "src/model/t5/state.h"

/* Places for the layers of a stack in slots[layers]: their inputs x_in and outputs x_out; ... */
void t5_place_inputs(struct workspace *workspace, const struct t5_shape *shape, int64_t layers,
                     int64_t rows, enum model_keep keep, struct t5_activations *slots);
/* ... then the rest.  cross_rows: n, 0 when the caller holds the keys and values itself. */
void t5_place_layers(struct workspace *workspace, const struct t5_shape *shape, bool decoder,
                     int64_t layers, int64_t rows, int64_t cross_rows, enum model_keep keep,
                     struct t5_activations *slots);

/* x_in, normed, to qkv. */
void t5_layer_self_project(struct t5 *t5, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows);
/* x_self = x_in + self_out projected. */
void t5_layer_self_close(struct t5 *t5, const struct t5_layer *layer,
                         const struct t5_activations *a, int64_t rows);
/* x_self, normed, to cross_q. */
void t5_layer_cross_project(struct t5 *t5, const struct t5_layer *layer,
                            const struct t5_activations *a, int64_t rows);
/* x_cross = x_self + cross_out projected. */
void t5_layer_cross_close(struct t5 *t5, const struct t5_layer *layer,
                          const struct t5_activations *a, int64_t rows);
/* x_cross, normed, to inner; then x_out = x_cross + inner projected, too. */
void t5_layer_inner(struct t5 *t5, const struct t5_layer *layer, const struct t5_activations *a,
                    int64_t rows);
void t5_layer_feed_forward(struct t5 *t5, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows);

/* y [rows, d] = the norm of x with the weight at offset `weight`; inverse [rows] may be NULL. */
void t5_norm(struct t5 *t5, real *y, float *inverse, const real *x, int64_t weight, int64_t rows);
/* x [rows, d] through the decoder's final norm to normed, and scaled to what the head reads;
 * scaled is normed where the model does not scale. */
void t5_head_input(struct t5 *t5, const real *x, real *normed, float *inverse, real *scaled,
                   int64_t rows);
/* bias [heads, 2 span - 1]: of relative positions -(span - 1) .. span - 1. */
void t5_relative_bias(struct t5 *t5, const struct t5_stack *stack, float *bias, int64_t span);

#endif
