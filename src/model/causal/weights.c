#include "src/model/causal/weights.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One of the weights [rows, k] that a linear layer has one under the other. */
struct part {
    const char *name; /* behind the layer's prefix */
    int64_t rows;
};

static void linear_append(struct model *model, struct linear *w, const char *prefix,
                          const struct part *parts, int count, int64_t k)
{
    struct parameters *p = &model->parameters;
    parameters_align(p);
    *w = (struct linear){.offset = p->size, .k = k};
    for (int i = 0; i < count; i++) {
        parameters_append(p, 2, parts[i].rows, k, "%s%s.weight", prefix, parts[i].name);
        w->n += parts[i].rows;
    }
    model_add_linear(model, w);
}

static int64_t norm_append(struct parameters *p, const char *prefix, const char *name, int64_t d)
{
    parameters_align(p);
    return parameters_append(p, 1, d, 1, "%s%s.weight", prefix, name);
}

static void layer_append(struct causal *causal, struct causal_layer *layer, int64_t index)
{
    struct model *model = &causal->common;
    struct parameters *p = &model->parameters;
    const struct causal_shape *s = causal->shape;
    const int64_t width = s->common.width, q_rows = s->common.heads * s->head_dim,
                  k_rows = s->kv_heads * s->head_dim;
    const struct part qkv[] = {
        {"self_attn.q_proj", q_rows}, {"self_attn.k_proj", k_rows}, {"self_attn.v_proj", k_rows}};
    const struct part o[] = {{"self_attn.o_proj", width}};
    const struct part gate_up[] = {{"mlp.gate_proj", s->d_ff}, {"mlp.up_proj", s->d_ff}};
    const struct part down[] = {{"mlp.down_proj", width}};
    char prefix[64];
    snprintf(prefix, sizeof prefix, "model.layers.%lld.", (long long)index);
    layer->norm[NORM_ATTENTION] = norm_append(p, prefix, "input_layernorm", width);
    linear_append(model, &layer->linear[CAUSAL_QKV], prefix, qkv, 3, width);
    layer->bias = layer->q_norm = layer->k_norm = -1;
    if (causal_has_bias(s)) {
        parameters_align(p);
        layer->bias = p->size;
        for (int i = 0; i < 3; i++)
            parameters_append(p, 1, qkv[i].rows, 1, "%s%s.bias", prefix, qkv[i].name);
    }
    if (causal_has_qk_norm(s)) {
        layer->q_norm = norm_append(p, prefix, "self_attn.q_norm", s->head_dim);
        layer->k_norm = norm_append(p, prefix, "self_attn.k_norm", s->head_dim);
    }
    linear_append(model, &layer->linear[CAUSAL_O], prefix, o, 1, q_rows);
    layer->norm[NORM_FEED_FORWARD] = norm_append(p, prefix, "post_attention_layernorm", width);
    linear_append(model, &layer->linear[CAUSAL_GATE_UP], prefix, gate_up, 2, width);
    linear_append(model, &layer->linear[CAUSAL_DOWN], prefix, down, 1, s->d_ff);
}

void causal_lay_out(struct model *model)
{
    struct causal *causal = causal_of(model);
    struct parameters *p = &model->parameters;
    const struct causal_shape *s = causal->shape = causal_shape(model->shape);
    const int64_t vocabulary = s->common.vocabulary, width = s->common.width;
    model->embedding = parameters_append(p, 2, vocabulary, width, "model.embed_tokens.weight");
    causal->layer = memory_allocate((size_t)s->common.layers * sizeof *causal->layer);
    for (int64_t i = 0; i < s->common.layers; i++) layer_append(causal, &causal->layer[i], i);
    causal->final_norm = norm_append(p, "model.", "norm", width);
    if (!s->common.headless) {
        parameters_align(p);
        model->head = (struct linear){.offset = model->embedding, .n = vocabulary, .k = width};
        if (!s->tied)
            model->head.offset = parameters_append(p, 2, vocabulary, width, "lm_head.weight");
        model_add_linear(model, &model->head);
    }
    parameters_align(p);
}

/* Llama 3's scaling keeps high frequencies, divides low ones, and mixes those between. */
static double llama3_scaled(const struct causal_shape *s, double frequency)
{
    const double turns = (double)s->rope_original_context * frequency / (2 * acos(-1.0));
    const double low = (double)s->rope_low_factor, high = (double)s->rope_high_factor;
    const double kept = fmin(fmax((turns - low) / (high - low), 0.0), 1.0);
    return kept * frequency + (1 - kept) * frequency / (double)s->rope_factor;
}

/* The frequencies [head_dim / 2] of rotary positions, in radians a position. */
static void causal_rope_frequencies(const struct causal_shape *shape, double *frequency)
{
    const double d = (double)shape->head_dim;
    for (int64_t i = 0; i < shape->head_dim / 2; i++) {
        const double plain = pow((double)shape->rope_theta, -2.0 * (double)i / d);
        frequency[i] = shape->rope_kind == ROPE_LLAMA3   ? llama3_scaled(shape, plain)
                       : shape->rope_kind == ROPE_LINEAR ? plain / (double)shape->rope_factor
                                                         : plain;
    }
}

status causal_create(struct model *model)
{
    struct causal *causal = causal_of(model);
    const struct causal_shape *s = causal->shape;
    struct queue *q = model->queue;
    const int64_t half = s->head_dim / 2;
    const size_t bytes = (size_t)(s->context * s->head_dim) * sizeof(float);
    TRY(q->op->allocate(q, MEMORY_WEIGHTS, bytes, (void **)&causal->rope));
    double *frequency = memory_allocate((size_t)half * sizeof *frequency);
    float *table = memory_allocate(bytes);
    causal_rope_frequencies(s, frequency);
    for (int64_t p = 0; p < s->context; p++)
        for (int64_t i = 0; i < half; i++) {
            table[p * s->head_dim + i] = (float)cos((double)p * frequency[i]);
            table[p * s->head_dim + half + i] = (float)sin((double)p * frequency[i]);
        }
    q->op->upload(q, causal->rope, table, bytes);
    status failed = q->op->synchronize(q);
    free(frequency);
    free(table);
    return failed;
}

void causal_release(struct model *model)
{
    struct causal *causal = causal_of(model);
    if (causal->rope) model->queue->op->release(model->queue, causal->rope);
    free(causal->layer);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcmp(text + length - tail, end);
}

/* Rows of an input of unit mean square keep about that size; what is added to the residual stream
 * (o_proj, down_proj) is smaller by the root of the 2 layers additions, as GPT-2 does it.  Logits
 * vary by about 0.6, so a new model begins near log(vocabulary). */
double causal_initial_deviation(const struct model_shape *shape, const struct parameter *one)
{
    const double width = (double)shape->width, layers = (double)shape->layers;
    if (ends_with(one->name, ".bias")) return -1;
    if (one->rank == 1) return 0;
    if (ends_with(one->name, "embed_tokens.weight") || ends_with(one->name, "lm_head.weight"))
        return 0.64 / sqrt(width);
    const double deviation = 1 / sqrt((double)one->shape[1]);
    if (ends_with(one->name, "o_proj.weight") || ends_with(one->name, "down_proj.weight"))
        return deviation / sqrt(2 * layers);
    return deviation;
}
