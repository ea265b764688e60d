/* T5: parameters by their Hugging Face names, initialization, packing. */
#include "src/model/model.h"

#include "src/base/philox.h"
#include "src/model/t5_parts.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_ALIGNMENT = 16 };

/* Appends a parameter behind the others; returns its offset. */
static int64_t parameter_append(struct parameters *p, int rank, int64_t rows, int64_t columns,
                                const char *format, ...)
{
    struct parameter *one = &p->list[p->count++];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(one->name, sizeof one->name, format, arguments);
    va_end(arguments);
    one->offset = p->size;
    one->rank = rank;
    one->shape[0] = rows;
    one->shape[1] = columns;
    one->count = rows * columns;
    p->size += one->count;
    return one->offset;
}

/* Groups (matrices that pack as one) begin aligned; nothing stands inside a group. */
static void group_begin(struct parameters *p)
{
    p->size = (p->size + GROUP_ALIGNMENT - 1) / GROUP_ALIGNMENT * GROUP_ALIGNMENT;
}

static int64_t norm_append(struct parameters *p, int64_t d, const char *prefix, const char *name)
{
    group_begin(p);
    return parameter_append(p, 1, d, 1, "%s%s", prefix, name);
}

/* Matrices [n, k] named prefix + name + ".weight", one under the other. */
static struct t5_matrix matrix_append(struct parameters *p, const char *prefix, int parts,
                                      const char *const *names, int64_t n, int64_t k)
{
    group_begin(p);
    struct t5_matrix matrix = {.offset = p->size, .n = n * parts, .k = k};
    for (int i = 0; i < parts; i++) parameter_append(p, 2, n, k, "%s%s.weight", prefix, names[i]);
    return matrix;
}

static void stack_append(struct model *model, struct t5_stack *stack, const char *name)
{
    static const char *const qkv[] = {"q", "k", "v"}, *const o[] = {"o"};
    static const char *const gated[] = {"wi_0", "wi_1"}, *const plain[] = {"wi"};
    static const char *const wo[] = {"wo"};
    const struct model_shape *shape = &model->shape;
    struct parameters *p = &model->parameters;
    int64_t d = shape->d_model, inner = shape->heads * shape->d_kv;
    char prefix[96];
    for (int64_t i = 0; i < stack->layers; i++) {
        struct t5_layer *layer = &stack->layer[i];
        int sub = 0;
        snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.0.SelfAttention.", name, (long long)i);
        layer->matrix[SELF_QKV] = matrix_append(p, prefix, 3, qkv, inner, d);
        layer->matrix[SELF_O] = matrix_append(p, prefix, 1, o, d, inner);
        if (i == 0) {
            group_begin(p);
            stack->relative_bias = parameter_append(p, 2, shape->buckets, shape->heads,
                                                    "%srelative_attention_bias.weight", prefix);
        }
        snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.0.", name, (long long)i);
        layer->norm[NORM_SELF] = norm_append(p, d, prefix, "layer_norm.weight");
        if (stack->decoder) {
            sub++;
            snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.1.EncDecAttention.", name,
                     (long long)i);
            layer->matrix[CROSS_Q] = matrix_append(p, prefix, 1, qkv, inner, d);
            layer->matrix[CROSS_KV] = matrix_append(p, prefix, 2, qkv + 1, inner, d);
            layer->matrix[CROSS_O] = matrix_append(p, prefix, 1, o, d, inner);
            snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.1.", name, (long long)i);
            layer->norm[NORM_CROSS] = norm_append(p, d, prefix, "layer_norm.weight");
        }
        sub++;
        snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.%d.DenseReluDense.", name,
                 (long long)i, sub);
        layer->matrix[FF_WI] = shape->gated ? matrix_append(p, prefix, 2, gated, shape->d_ff, d)
                                            : matrix_append(p, prefix, 1, plain, shape->d_ff, d);
        layer->matrix[FF_WO] = matrix_append(p, prefix, 1, wo, d, shape->d_ff);
        snprintf(prefix, sizeof prefix, "%s.block.%lld.layer.%d.", name, (long long)i, sub);
        layer->norm[NORM_FF] = norm_append(p, d, prefix, "layer_norm.weight");
    }
    snprintf(prefix, sizeof prefix, "%s.", name);
    stack->final_norm = norm_append(p, d, prefix, "final_layer_norm.weight");
}

/* The model's matrices one by one; NULL behind the last.  Absent ones have n 0. */
static struct t5_matrix *matrix_at(struct model *model, int64_t index)
{
    int64_t in_encoder = model->encoder.layers * T5_MATRICES;
    int64_t in_decoder = model->decoder.layers * T5_MATRICES;
    if (index < in_encoder)
        return &model->encoder.layer[index / T5_MATRICES].matrix[index % T5_MATRICES];
    index -= in_encoder;
    if (index < in_decoder)
        return &model->decoder.layer[index / T5_MATRICES].matrix[index % T5_MATRICES];
    index -= in_decoder;
    struct t5_matrix *rest[] = {&model->head, &model->value_weight, &model->value_bias, NULL};
    return rest[index];
}

static status shape_check(const struct model_shape *s)
{
    /* The upper bounds keep every count of elements far below 2^63. */
    struct {
        const char *name;
        int64_t value, least, most;
    } sizes[] = {{"vocabulary", s->vocabulary, 1, 1 << 24},
                 {"d_model", s->d_model, 1, 1 << 16},
                 {"d_kv", s->d_kv, 1, 1 << 12},
                 {"d_ff", s->d_ff, 1, 1 << 20},
                 {"heads", s->heads, 1, 1 << 10},
                 {"encoder layers", s->encoder_layers, 1, 1 << 10},
                 {"decoder layers", s->decoder_layers, 0, 1 << 10},
                 {"buckets", s->buckets, 4, 1 << 12},
                 {"max_distance", s->max_distance, 1, 1 << 20},
                 {"pad", s->pad, 0, s->vocabulary - 1},
                 {"end", s->end, 0, s->vocabulary - 1},
                 {"decoder_start", s->decoder_start, 0, s->vocabulary - 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value < sizes[i].least || sizes[i].value > sizes[i].most)
            FAIL(STATUS_INPUT, "the model's shape: %s is %lld, allowed are %lld to %lld",
                 sizes[i].name, (long long)sizes[i].value, (long long)sizes[i].least,
                 (long long)sizes[i].most);
    if (!(s->eps > 0 && s->eps <= 1))
        FAIL(STATUS_INPUT, "the model's shape: eps is %g, allowed are above 0 to 1",
             (double)s->eps);
    if (s->max_distance <= s->buckets / 2)
        FAIL(STATUS_INPUT, "the model's shape: max_distance %lld is not above half of %lld buckets",
             (long long)s->max_distance, (long long)s->buckets);
    return NULL;
}

/* The table of parameters, with no memory for their values. */
static status table_lay_out(struct model *model, bool value_head)
{
    const struct model_shape *shape = &model->shape;
    struct parameters *p = &model->parameters;
    model->encoder.layers = shape->encoder_layers;
    model->decoder.layers = shape->decoder_layers;
    model->decoder.decoder = true;
    model->encoder.layer = calloc((size_t)shape->encoder_layers, sizeof(struct t5_layer));
    model->decoder.layer = calloc((size_t)shape->decoder_layers + 1, sizeof(struct t5_layer));
    /* At most 9 parameters an encoder layer, 14 a decoder layer, and 8 besides. */
    int64_t most = 9 * shape->encoder_layers + 14 * shape->decoder_layers + 8;
    p->list = calloc((size_t)most, sizeof(struct parameter));
    p->queue = model->queue;
    if (!model->encoder.layer || !model->decoder.layer || !p->list)
        FAIL(STATUS_INTERNAL, "no memory for the model's table");

    int64_t d = shape->d_model;
    model->shared = parameter_append(p, 2, shape->vocabulary, d, "shared.weight");
    stack_append(model, &model->encoder, "encoder");
    if (shape->decoder_layers > 0) {
        stack_append(model, &model->decoder, "decoder");
        group_begin(p);
        model->head = (struct t5_matrix){.offset = model->shared, .n = shape->vocabulary, .k = d};
        if (!shape->tied)
            model->head.offset = parameter_append(p, 2, shape->vocabulary, d, "lm_head.weight");
    }
    if (value_head) {
        group_begin(p);
        model->value_weight = (struct t5_matrix){.n = 1, .k = d};
        model->value_weight.offset = parameter_append(p, 1, d, 1, "value_head.weight");
        group_begin(p);
        model->value_bias = (struct t5_matrix){.n = 1, .k = 1};
        model->value_bias.offset = parameter_append(p, 1, 1, 1, "value_head.bias");
    }
    group_begin(p);
    assert(p->count <= most);
    return NULL;
}

static status table_fill(struct model *model, bool value_head)
{
    struct parameters *p = &model->parameters;
    struct queue *q = model->queue;
    TRY(table_lay_out(model, value_head));
    size_t bytes = (size_t)p->size * sizeof(float);
    TRY(q->op->allocate(q, MEMORY_WEIGHTS, bytes, (void **)&p->values));
    q->op->zero(q, p->values, bytes);
    struct t5_matrix *matrix;
    for (int64_t i = 0; (matrix = matrix_at(model, i)); i++)
        if (matrix->n > 0)
            TRY(q->op->matrix_create(q, matrix->n, matrix->k, model->with_gradients,
                                     &matrix->packed));
    return model_refresh(model);
}

status t5_create_parts(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                       bool value_head, struct model **out)
{
    TRY(shape_check(shape));
    struct model *model = calloc(1, sizeof *model);
    if (!model) FAIL(STATUS_INTERNAL, "no memory for a model");
    model->queue = queue;
    model->shape = *shape;
    model->with_gradients = with_gradients;
    status s = table_fill(model, value_head);
    if (s) {
        model_destroy(model);
        return status_context(s, "creating the model");
    }
    *out = model;
    return NULL;
}

status model_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                    struct model **out)
{
    return t5_create_parts(queue, shape, with_gradients, false, out);
}

status model_lay_out(const struct model_shape *shape, struct parameters *out)
{
    TRY(shape_check(shape));
    struct model model = {.shape = *shape};
    status s = table_lay_out(&model, false);
    free(model.encoder.layer);
    free(model.decoder.layer);
    if (s)
        free(model.parameters.list);
    else
        *out = model.parameters;
    return s;
}

void model_destroy(struct model *model)
{
    if (!model) return;
    struct queue *q = model->queue;
    struct t5_matrix *matrix;
    if (model->encoder.layer && model->decoder.layer)
        for (int64_t i = 0; (matrix = matrix_at(model, i)); i++)
            if (matrix->packed) q->op->matrix_destroy(q, matrix->packed);
    if (model->parameters.values) q->op->release(q, model->parameters.values);
    free(model->parameters.list);
    free(model->encoder.layer);
    free(model->decoder.layer);
    free(model);
}

const struct model_shape *model_shape(const struct model *model)
{
    return &model->shape;
}

struct parameters *model_parameters(struct model *model)
{
    return &model->parameters;
}

struct queue *model_queue(struct model *model)
{
    return model->queue;
}

struct model_version model_version(const struct model *model)
{
    return model->version;
}

void model_round_stochastically(struct model *model, int64_t seed)
{
    model->stochastic = true;
    model->seed = seed;
}

/* A parameter's place among all of them is its place among the random numbers. */
static struct rounding rounding_of(const struct model *model, const struct t5_matrix *matrix)
{
    const uint64_t seed = (uint64_t)model->seed;
    return (struct rounding){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32) * 64u + RANDOM_ROUNDING},
        .counter = {(uint32_t)model->version.update, (uint32_t)model->version.step},
        .first = matrix->offset};
}

/* From parameters `values`. */
static void matrix_pack(struct model *model, const struct t5_matrix *matrix, const float *values)
{
    const struct rounding rounding = rounding_of(model, matrix);
    model->queue->op->matrix_pack(model->queue, matrix->packed, values + matrix->offset,
                                  model->stochastic ? &rounding : NULL);
}

status model_refresh(struct model *model)
{
    struct t5_matrix *matrix;
    for (int64_t i = 0; (matrix = matrix_at(model, i)); i++)
        if (matrix->packed) matrix_pack(model, matrix, model->parameters.values);
    return model->queue->op->synchronize(model->queue);
}

status model_refresh_step(struct model *model)
{
    model->version.step++;
    return model_refresh(model);
}

status model_refresh_update(struct model *model, int64_t update)
{
    model->version = (struct model_version){.update = update};
    return model_refresh(model);
}

void model_take_values(struct model *to, const float *values, int64_t update)
{
    struct queue *q = to->queue;
    const struct parameters *p = &to->parameters;
    to->version = (struct model_version){.update = update};
    struct t5_matrix *matrix;
    int64_t copied = 0; /* matrices come in the order of their offsets; what is between them */
    for (int64_t i = 0; (matrix = matrix_at(to, i)); i++) {
        if (!matrix->packed) continue;
        matrix_pack(to, matrix, values);
        if (matrix->offset == to->shared) continue; /* the tied head: read as embedding too */
        q->op->copy(q, p->values + copied, values + copied,
                    (size_t)(matrix->offset - copied) * sizeof(float));
        copied = matrix->offset + matrix->n * matrix->k;
    }
    q->op->copy(q, p->values + copied, values + copied, (size_t)(p->size - copied) * sizeof(float));
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* Standard deviation of a parameter at the start: T5PreTrainedModel._init_weights of
 * Transformers, factor 1.  Norms are 1 (returned as 0 deviation, see initialize). */
static double initial_deviation(const struct model_shape *shape, const char *name)
{
    double d = (double)shape->d_model;
    if (strcmp(name, "shared.weight") == 0 || strcmp(name, "lm_head.weight") == 0) return 1.0;
    if (ends_with(name, "Attention.q.weight")) return pow(d * (double)shape->d_kv, -0.5);
    if (ends_with(name, "Attention.o.weight"))
        return pow((double)(shape->heads * shape->d_kv), -0.5);
    if (ends_with(name, ".wo.weight")) return pow((double)shape->d_ff, -0.5);
    return pow(d, -0.5); /* k, v, wi, wi_0, wi_1, relative_attention_bias */
}

/* Normal deviates by Box and Muller: element e of parameter i takes word e % 4 of counter
 * (i, e / 4 low, e / 4 high, seed high) under key (seed low, purpose). */
static void fill_normal(float *values, int64_t count, int64_t parameter, int64_t seed,
                        double deviation)
{
    uint32_t key[2] = {(uint32_t)seed, RANDOM_INITIAL_WEIGHTS};
    for (int64_t block = 0; block * 4 < count; block++) {
        uint32_t counter[4] = {(uint32_t)parameter, (uint32_t)block,
                               (uint32_t)((uint64_t)block >> 32), (uint32_t)((uint64_t)seed >> 32)};
        uint32_t word[4];
        philox4x32(counter, key, word);
        double normal[4];
        for (int pair = 0; pair < 4; pair += 2) {
            double radius = sqrt(-2.0 * log(1.0 - (double)word[pair] * 0x1p-32));
            double angle = 6.283185307179586 * ((double)word[pair + 1] * 0x1p-32);
            normal[pair] = radius * cos(angle);
            normal[pair + 1] = radius * sin(angle);
        }
        for (int64_t e = block * 4; e < count && e < block * 4 + 4; e++)
            values[e] = (float)(deviation * normal[e & 3]);
    }
}

status model_initialize(struct model *model, int64_t seed)
{
    struct parameters *p = &model->parameters;
    float *host = calloc((size_t)p->size, sizeof(float));
    if (!host) FAIL(STATUS_INTERNAL, "no memory for %lld parameters", (long long)p->size);
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        float *values = host + one->offset;
        if (strncmp(one->name, "value_head.", 11) == 0) continue; /* zero */
        if (ends_with(one->name, "layer_norm.weight"))
            for (int64_t e = 0; e < one->count; e++) values[e] = 1.0f;
        else
            fill_normal(values, one->count, i, seed, initial_deviation(&model->shape, one->name));
    }
    status s = parameters_upload(p, host);
    free(host);
    if (s) return s;
    return model_refresh(model);
}
