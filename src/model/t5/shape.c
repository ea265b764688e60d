#include "src/model/t5/shape.h"

#define AT(member) offsetof(struct t5_shape, member)

/* Bounds keep every count of elements far below 2^63.  What is absent takes Transformers' defaults
 * of T5Config; num_decoder_layers and decoder_start_token_id have defaults of their own (folder.c).
 */
const struct shape_row t5_shape_rows[] = {
    {"vocabulary", AT(common.vocabulary), SHAPE_INTEGER, 2, 1 << 24, "vocab_size", 32128},
    {"d_model", AT(common.width), SHAPE_INTEGER, 1, 1 << 16, "d_model", 512},
    {"d_kv", AT(d_kv), SHAPE_INTEGER, 1, 1 << 12, "d_kv", 64},
    {"d_ff", AT(d_ff), SHAPE_INTEGER, 1, 1 << 20, "d_ff", 2048},
    {"heads", AT(common.heads), SHAPE_INTEGER, 1, 1 << 10, "num_heads", 8},
    {"encoder_layers", AT(encoder_layers), SHAPE_INTEGER, 1, 1 << 10, "num_layers", 6},
    {"decoder_layers", AT(common.layers), SHAPE_INTEGER, 0, 1 << 10, NULL, 6},
    {"buckets", AT(buckets), SHAPE_INTEGER, 4, 1 << 12, "relative_attention_num_buckets", 32},
    {"max_distance", AT(max_distance), SHAPE_INTEGER, 1, 1 << 20, "relative_attention_max_distance",
     128},
    {"gated", AT(gated), SHAPE_FLAG, 0, 1, NULL, 0},
    {"tied", AT(tied), SHAPE_FLAG, 0, 1, NULL, 1},
    {"scale_logits", AT(scale_logits), SHAPE_FLAG, 0, 1, NULL, 1},
    {"eps", AT(eps), SHAPE_REAL, 0, 1, "layer_norm_epsilon", 1e-6},
    {"pad", AT(common.pad), SHAPE_ID, 0, 0, "pad_token_id", 0},
    {"end", AT(common.end), SHAPE_ID, 0, 0, "eos_token_id", 1},
    {"decoder_start", AT(common.start), SHAPE_ID, 0, 0, NULL, 0},
    {"summary_slots", AT(summary_slots), SHAPE_LATER, 0, 64, NULL, 0},
    {0}};

const struct t5_shape *t5_shape(const struct model_shape *shape)
{
    return (const struct t5_shape *)shape;
}

status t5_shape_check(const struct model_shape *shape)
{
    const struct t5_shape *s = t5_shape(shape);
    if (s->max_distance <= s->buckets / 2)
        FAIL(STATUS_INPUT, "the model's shape: max_distance %lld is not above half of %lld buckets",
             (long long)s->max_distance, (long long)s->buckets);
    return NULL;
}

/* Settings say whether the head is tied; v1.0, whose head is, scales its input. */
void t5_shape_from_settings(struct model_shape *shape, const char *model_type)
{
    struct t5_shape *s = (struct t5_shape *)shape;
    (void)model_type;
    s->scale_logits = s->tied;
    shape->start = shape->pad;
}

void t5_shape_without_replies(struct model_shape *shape)
{
    shape->layers = 0;
}
