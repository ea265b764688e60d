#include "src/model/t5/weights.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t norm_append(struct parameters *p, int64_t d, const char *prefix, const char *name)
{
    parameters_align(p);
    return parameters_append(p, 1, d, 1, "%s%s", prefix, name);
}

/* A linear layer of weights [n, k] named prefix + name + ".weight", one under the other. */
static void linear_append(struct model *model, struct linear *w, const char *prefix, int parts,
                          const char *const *names, int64_t n, int64_t k)
{
    struct parameters *p = &model->parameters;
    parameters_align(p);
    *w = (struct linear){.offset = p->size, .n = n * parts, .k = k};
    for (int i = 0; i < parts; i++) parameters_append(p, 2, n, k, "%s%s.weight", prefix, names[i]);
    model_add_linear(model, w);
}

static void layer_append(struct t5 *t5, struct t5_stack *stack, int64_t index, const char *name)
{
    static const char *const qkv[] = {"q", "k", "v"}, *const o[] = {"o"};
    static const char *const gated[] = {"wi_0", "wi_1"}, *const plain[] = {"wi"};
    static const char *const wo[] = {"wo"};
    struct model *model = &t5->common;
    const struct t5_shape *shape = t5->shape;
    struct parameters *p = &model->parameters;
    struct t5_layer *layer = &stack->layer[index];
    const int64_t d = shape->common.width, inner = shape->common.heads * shape->d_kv;
    const long long block = index;
    int sub = 0;
    char prefix[96];
    snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.0.SelfAttention.", name, block);
    linear_append(model, &layer->linear[SELF_QKV], prefix, 3, qkv, inner, d);
    linear_append(model, &layer->linear[SELF_O], prefix, 1, o, d, inner);
    if (index == 0) {
        parameters_align(p);
        stack->relative_bias = parameters_append(p, 2, shape->buckets, shape->common.heads,
                                                 "%srelative_attention_bias.weight", prefix);
    }
    snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.0.", name, block);
    layer->norm[NORM_SELF] = norm_append(p, d, prefix, "layer_norm.weight");
    if (stack->decoder) {
        sub++;
        snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.1.EncDecAttention.", name, block);
        linear_append(model, &layer->linear[CROSS_Q], prefix, 1, qkv, inner, d);
        linear_append(model, &layer->linear[CROSS_KV], prefix, 2, qkv + 1, inner, d);
        linear_append(model, &layer->linear[CROSS_O], prefix, 1, o, d, inner);
        snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.1.", name, block);
        layer->norm[NORM_CROSS] = norm_append(p, d, prefix, "layer_norm.weight");
    }
    sub++;
    snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.%d.DenseReluDense.", name, block, sub);
    if (shape->gated)
        linear_append(model, &layer->linear[FF_WI], prefix, 2, gated, shape->d_ff, d);
    else
        linear_append(model, &layer->linear[FF_WI], prefix, 1, plain, shape->d_ff, d);
    linear_append(model, &layer->linear[FF_WO], prefix, 1, wo, d, shape->d_ff);
    snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.%d.", name, block, sub);
    layer->norm[NORM_FF] = norm_append(p, d, prefix, "layer_norm.weight");
}

static void stack_append(struct t5 *t5, struct t5_stack *stack, int64_t layers, const char *name)
{
    char prefix[96];
    stack->layers = layers;
    stack->layer = memory_allocate((size_t)layers * sizeof *stack->layer);
    for (int64_t i = 0; i < layers; i++) layer_append(t5, stack, i, name);
    snprintf(prefix, sizeof prefix, "%s.", name);
    stack->final_norm = norm_append(&t5->common.parameters, t5->shape->common.width, prefix,
                                    "final_layer_norm.weight");
}

void t5_lay_out(struct model *model)
{
    struct t5 *t5 = t5_of(model);
    struct parameters *p = &model->parameters;
    const struct t5_shape *shape = t5->shape = t5_shape(model->shape);
    const int64_t vocabulary = shape->common.vocabulary, d = shape->common.width;
    t5->decoder.decoder = true;
    model->embedding = parameters_append(p, 2, vocabulary, d, "shared.weight");
    stack_append(t5, &t5->encoder, shape->encoder_layers, "encoder");
    if (shape->summary_slots) {
        parameters_align(p);
        t5->summary_queries = parameters_append(p, 2, shape->summary_slots, d, T5_SUMMARY_QUERIES);
    }
    if (shape->common.layers > 0) {
        stack_append(t5, &t5->decoder, shape->common.layers, "decoder");
        parameters_align(p);
        model->head = (struct linear){.offset = model->embedding, .n = vocabulary, .k = d};
        if (!shape->tied)
            model->head.offset = parameters_append(p, 2, vocabulary, d, "lm_head.weight");
        model_add_linear(model, &model->head);
    }
    parameters_align(p);
}

void t5_release(struct model *model)
{
    struct t5 *t5 = t5_of(model);
    free(t5->encoder.layer);
    free(t5->decoder.layer);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* T5PreTrainedModel._init_weights of Transformers, factor 1, but for what logits are made of, whose
 * deviation 1 there is for folders that training has been through.  Here the first loss is near
 * log(vocabulary) at every width:
 *   A head of its own reads rows of length sqrt(d) and is at d^-0.5 (1 behind the scaling): logits
 *   vary by 1, which costs 1/2.
 *   A tied one reads the residual stream, where the token just read stands with its own embedding.
 *   With deviation e, behind the scaling and the decoder's layers (each adds a variance of about 1)
 *   its logit is sqrt(d) e^2 / sqrt(e^2 + layers).  e is 1, or where that would pass
 *   log(vocabulary) the root that meets it: it then costs log(2). */
static double embedding_deviation(const struct t5_shape *s)
{
    const double d = (double)s->common.width, layers = (double)s->common.layers;
    const double k = pow(log((double)s->common.vocabulary), 2);
    if (!s->tied) return 1.0;
    if (!s->scale_logits) return pow(d, -0.5);
    return fmin(1.0, sqrt((k + sqrt(k * k + 4 * d * k * layers)) / (2 * d)));
}

double t5_initial_deviation(const struct model_shape *shape, const struct parameter *one)
{
    const struct t5_shape *s = t5_shape(shape);
    const double d = (double)shape->width;
    const char *name = one->name;
    if (ends_with(name, "layer_norm.weight")) return 0;
    /* Scores of deviation 1 or so: the slots differ from the first update on. */
    if (strcmp(name, T5_SUMMARY_QUERIES) == 0) return 1.0;
    if (strcmp(name, "shared.weight") == 0) return embedding_deviation(s);
    if (strcmp(name, "lm_head.weight") == 0) return s->scale_logits ? 1.0 : pow(d, -0.5);
    if (ends_with(name, "Attention.q.weight")) return pow(d * (double)s->d_kv, -0.5);
    if (ends_with(name, "Attention.o.weight")) return pow((double)(shape->heads * s->d_kv), -0.5);
    if (ends_with(name, ".wo.weight")) return pow((double)s->d_ff, -0.5);
    return pow(d, -0.5); /* k, v, wi, wi_0, wi_1, relative_attention_bias */
}
