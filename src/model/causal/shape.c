#include "src/model/causal/shape.h"

#include <string.h>

#define AT(member) offsetof(struct causal_shape, member)

/* Bounds keep every count of elements far below 2^63.  Where settings do not say, a Llama of these
 * sizes; what a config.json does not say is in folder.c. */
const struct shape_row causal_shape_rows[] = {
    {"vocabulary", AT(common.vocabulary), SHAPE_INTEGER, 2, 1 << 24, "vocab_size", 32000},
    {"kind", AT(kind), SHAPE_INTEGER, 0, CAUSAL_KINDS - 1, NULL, 0},
    {"d_model", AT(common.width), SHAPE_INTEGER, 1, 1 << 16, "hidden_size", 4096},
    {"d_kv", AT(head_dim), SHAPE_INTEGER, 2, 1 << 12, NULL, 128},
    {"d_ff", AT(d_ff), SHAPE_INTEGER, 1, 1 << 20, "intermediate_size", 11008},
    {"heads", AT(common.heads), SHAPE_INTEGER, 1, 1 << 10, "num_attention_heads", 32},
    {"kv_heads", AT(kv_heads), SHAPE_INTEGER, 1, 1 << 10, NULL, 32},
    {"decoder_layers", AT(common.layers), SHAPE_INTEGER, 1, 1 << 10, "num_hidden_layers", 32},
    {"context", AT(context), SHAPE_INTEGER, 1, 1 << 24, "max_position_embeddings", 2048},
    {"window", AT(window), SHAPE_INTEGER, 0, 1 << 24, NULL, 0},
    {"begin", AT(begin), SHAPE_INTEGER, -1, 1 << 24, NULL, -1},
    {"tied", AT(tied), SHAPE_FLAG, 0, 1, NULL, 0},
    {"eps", AT(eps), SHAPE_REAL, 0, 1, "rms_norm_eps", 1e-6},
    {"rope_theta", AT(rope_theta), SHAPE_REAL, 0, 1e12, NULL, 10000},
    {"rope_kind", AT(rope_kind), SHAPE_INTEGER, 0, ROPE_KINDS - 1, NULL, 0},
    {"rope_factor", AT(rope_factor), SHAPE_REAL, 0, 1e6, NULL, 1},
    {"rope_low_factor", AT(rope_low_factor), SHAPE_REAL, 0, 1e6, NULL, 1},
    {"rope_high_factor", AT(rope_high_factor), SHAPE_REAL, 0, 1e6, NULL, 4},
    {"rope_original_context", AT(rope_original_context), SHAPE_INTEGER, 1, 1 << 24, NULL, 8192},
    {"pad", AT(common.pad), SHAPE_ID, 0, 0, NULL, 0},
    {"end", AT(common.end), SHAPE_ID, 0, 0, NULL, 1},
    {"more_ends", AT(common.more_ends), SHAPE_INTEGER, 0, SHAPE_MORE_ENDS, NULL, 0},
    {"end_2", AT(common.more_end[0]), SHAPE_ID, 0, 0, NULL, 0},
    {"end_3", AT(common.more_end[1]), SHAPE_ID, 0, 0, NULL, 0},
    {"end_4", AT(common.more_end[2]), SHAPE_ID, 0, 0, NULL, 0},
    {0}};

const struct causal_shape *causal_shape(const struct model_shape *shape)
{
    return (const struct causal_shape *)shape;
}

bool causal_has_bias(const struct causal_shape *shape)
{
    return shape->kind == CAUSAL_QWEN2;
}

bool causal_has_qk_norm(const struct causal_shape *shape)
{
    return shape->kind == CAUSAL_QWEN3;
}

int64_t causal_sequence_max(const struct model_shape *shape)
{
    const struct causal_shape *s = causal_shape(shape);
    return s->window && s->window < s->context ? s->window : s->context;
}

status causal_shape_check(const struct model_shape *shape)
{
    const struct causal_shape *s = causal_shape(shape);
    if (shape->heads % s->kv_heads)
        FAIL(STATUS_INPUT,
             "the model's shape: %lld heads cannot share %lld kv_heads: no multiple of them",
             (long long)shape->heads, (long long)s->kv_heads);
    if (s->head_dim % 2)
        FAIL(STATUS_INPUT,
             "the model's shape: d_kv is %lld; rotary positions need an even head width",
             (long long)s->head_dim);
    if (s->rope_kind == ROPE_LLAMA3 && !(s->rope_high_factor > s->rope_low_factor))
        FAIL(STATUS_INPUT, "the model's shape: rope_high_factor %g is not above rope_low_factor %g",
             (double)s->rope_high_factor, (double)s->rope_low_factor);
    return NULL;
}

void causal_shape_from_settings(struct model_shape *shape, const char *model_type)
{
    struct causal_shape *s = (struct causal_shape *)shape;
    s->kind = !strcmp(model_type, "mistral") ? CAUSAL_MISTRAL
              : !strcmp(model_type, "qwen2") ? CAUSAL_QWEN2
              : !strcmp(model_type, "qwen3") ? CAUSAL_QWEN3
                                             : CAUSAL_LLAMA;
}

/* All layers read the history: only the head goes. */
void causal_shape_without_replies(struct model_shape *shape)
{
    shape->headless = true;
}
