/* The sizes of a decoder-only model: Llama (SmolLM2), Mistral, Qwen2, Qwen3.
 * In comments on shapes: n history rows, m reply rows (or rows of a decode step), d = head_dim,
 * H = heads, K = kv_heads, f = d_ff. */
#ifndef REGARD_MODEL_CAUSAL_SHAPE_H
#define REGARD_MODEL_CAUSAL_SHAPE_H

#include "src/model/shape.h"

enum causal_kind { CAUSAL_LLAMA, CAUSAL_MISTRAL, CAUSAL_QWEN2, CAUSAL_QWEN3, CAUSAL_KINDS };
enum rope_kind { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3, ROPE_KINDS };

struct causal_shape {
    struct model_shape common; /* width: hidden_size; start: not used */
    int64_t kind;              /* enum causal_kind: config.json's model_type */
    int64_t kv_heads, head_dim, d_ff;
    int64_t context; /* positions there are */
    int64_t window;  /* tokens that a query sees, where fewer than the context; 0: all */
    int64_t begin;   /* the id that a text begins with, for the exported folder; -1: none */
    bool tied;       /* no lm_head of its own */
    float eps;
    float rope_theta;
    int64_t rope_kind; /* enum rope_kind */
    float rope_factor; /* linear, llama3 */
    float rope_low_factor, rope_high_factor;
    int64_t rope_original_context; /* llama3 */
};

extern const struct model_family family_causal;
extern const struct shape_row causal_shape_rows[];

const struct causal_shape *causal_shape(const struct model_shape *shape);
/* Biases on q, k and v: Qwen2's.  A norm of each head's q and k: Qwen3's. */
bool causal_has_bias(const struct causal_shape *shape);
bool causal_has_qk_norm(const struct causal_shape *shape);
/* The most tokens a sequence may have: within a window the mask is the causal one. */
int64_t causal_sequence_max(const struct model_shape *shape);
status causal_shape_check(const struct model_shape *shape);
void causal_shape_from_settings(struct model_shape *shape, const char *model_type);
void causal_shape_without_replies(struct model_shape *shape);

#endif
