/* The sizes of a T5: v1.0, v1.1, Flan, ByT5, mT5.
 * In comments on shapes: n history tokens, m reply tokens (or rows of a decode step), d = d_model,
 * i = heads * d_kv, f = d_ff, w = f, or 2f when gated. */
#ifndef REGARD_MODEL_T5_SHAPE_H
#define REGARD_MODEL_T5_SHAPE_H

#include "src/model/shape.h"

struct t5_shape {
    struct model_shape common; /* width: d_model; layers: the decoder's; start: decoder_start */
    int64_t d_kv, d_ff, encoder_layers;
    int64_t buckets, max_distance; /* of relative positions */
    bool gated;                    /* gated GELU (tanh), else ReLU */
    bool tied;                     /* no lm_head of its own: shared.weight */
    bool scale_logits;             /* decoder output times d_model^-0.5 before the head */
    float eps;
    int64_t summary_slots; /* queries of learned slots; 0: none */
};

extern const struct model_family family_t5;
extern const struct shape_row t5_shape_rows[];

const struct t5_shape *t5_shape(const struct model_shape *shape);
status t5_shape_check(const struct model_shape *shape);
void t5_shape_from_settings(struct model_shape *shape, const char *model_type);
void t5_shape_without_replies(struct model_shape *shape);

#endif
