/* The pieces of a decoder-only layer, which teacher forcing, prefill and decoding all run (which is
 * why their numbers agree bit for bit); the attention itself stands between them.  All are given
 * the layer's activations and how many rows they have. */
#ifndef REGARD_MODEL_CAUSAL_LAYER_H
#define REGARD_MODEL_CAUSAL_LAYER_H

#include "src/model/causal/state.h"

/* Places for the layers' inputs and outputs in slots[layers]; ... */
void causal_place_inputs(struct workspace *workspace, const struct causal_shape *shape,
                         int64_t rows, enum model_keep keep, struct causal_activations *slots);
/* ... then the rest. */
void causal_place_layers(struct workspace *workspace, const struct causal_shape *shape,
                         int64_t rows, enum model_keep keep, struct causal_activations *slots);

/* The same activations from row `first` on. */
struct causal_activations causal_rows_from(const struct causal *causal,
                                           const struct causal_activations *a, int64_t first);

/* x_in, normed, to q, k and v, rotated to position [rows] (device). */
void causal_layer_project(struct causal *causal, const struct causal_layer *layer,
                          const struct causal_activations *a, const int32_t *position,
                          int64_t rows);
/* Where q, k and v of a stand, for attention within these rows: q, k, v and their strides, heads,
 * kv_heads, head_dim, scale, causal, out and lse are set. */
struct attention causal_attention(const struct causal *causal, const struct causal_activations *a);
/* x_mid = x_in + attention projected; then the feed-forward part up to inner; ... */
void causal_layer_inner(struct causal *causal, const struct causal_layer *layer,
                        const struct causal_activations *a, int64_t rows);
/* ... and x_out = x_mid + inner projected. */
void causal_layer_close(struct causal *causal, const struct causal_layer *layer,
                        const struct causal_activations *a, int64_t rows);

/* y [rows, width] = the norm of x with the weight at offset `weight`; inverse [rows] may be NULL.
 */
void causal_norm(struct causal *causal, real *y, float *inverse, const real *x, int64_t weight,
                 int64_t rows);

#endif
