/* The pieces of a T5 layer, and the workspaces they write to. */
#include "src/model/t5_parts.h"

#include <math.h>

static void *cut_bytes(struct t5_cut *cut, size_t bytes)
{
    void *piece = cut->base ? cut->base + cut->used : NULL;
    cut->used += (bytes + 63) / 64 * 64;
    return piece;
}

struct t5_cut t5_cut_begin(const struct queue *queue, void *base)
{
    return (struct t5_cut){.base = base, .real_bytes = queue->real_bytes};
}

real *t5_cut_reals(struct t5_cut *cut, int64_t count)
{
    return cut_bytes(cut, (size_t)count * cut->real_bytes);
}

float *t5_cut_floats(struct t5_cut *cut, int64_t count)
{
    return cut_bytes(cut, (size_t)count * sizeof(float));
}

int32_t *t5_cut_ints(struct t5_cut *cut, int64_t count)
{
    return cut_bytes(cut, (size_t)count * sizeof(int32_t));
}

/* One layer's own places, all but x_in and x_out. */
static void layer_cut_kept(struct t5_cut *cut, const struct model_shape *s, bool decoder,
                           int64_t rows, int64_t cross_rows, struct t5_activations *a)
{
    int64_t d = s->d_model, inner = s->heads * s->d_kv;
    a->norm_self = t5_cut_reals(cut, rows * d);
    a->inverse_self = t5_cut_floats(cut, rows);
    a->qkv = t5_cut_reals(cut, rows * 3 * inner);
    a->self_out = t5_cut_reals(cut, rows * inner);
    a->self_lse = t5_cut_floats(cut, rows * s->heads);
    a->x_self = t5_cut_reals(cut, rows * d);
    a->x_cross = a->x_self;
    if (decoder) {
        a->norm_cross = t5_cut_reals(cut, rows * d);
        a->inverse_cross = t5_cut_floats(cut, rows);
        a->cross_q = t5_cut_reals(cut, rows * inner);
        a->cross_kv = t5_cut_reals(cut, cross_rows * 2 * inner);
        a->cross_out = t5_cut_reals(cut, rows * inner);
        a->cross_lse = t5_cut_floats(cut, rows * s->heads);
        a->x_cross = t5_cut_reals(cut, rows * d);
    }
    a->norm_ff = t5_cut_reals(cut, rows * d);
    a->inverse_ff = t5_cut_floats(cut, rows);
    if (s->gated) a->wi = t5_cut_reals(cut, rows * 2 * s->d_ff);
    a->inner = t5_cut_reals(cut, rows * s->d_ff);
}

/* The same for layers that keep nothing; what is never alive together shares memory. */
static void layer_cut_passing(struct t5_cut *cut, const struct model_shape *s, bool decoder,
                              int64_t rows, int64_t cross_rows, struct t5_activations *a)
{
    int64_t d = s->d_model, inner = s->heads * s->d_kv;
    a->x_self = a->x_cross = a->x_in;
    a->norm_self = a->norm_cross = a->norm_ff = t5_cut_reals(cut, rows * d);
    a->qkv = t5_cut_reals(cut, rows * 3 * inner);
    a->cross_q = a->qkv;
    a->self_out = a->cross_out = t5_cut_reals(cut, rows * inner);
    if (decoder && cross_rows > 0) a->cross_kv = t5_cut_reals(cut, cross_rows * 2 * inner);
    if (s->gated) a->wi = t5_cut_reals(cut, rows * 2 * s->d_ff);
    a->inner = t5_cut_reals(cut, rows * s->d_ff);
}

void t5_inputs_cut(struct t5_cut *cut, const struct model_shape *shape, int64_t layers,
                   int64_t rows, enum model_keep keep, struct t5_activations *slots)
{
    if (layers == 0) return;
    real *x = t5_cut_reals(cut, rows * shape->d_model);
    for (int64_t i = 0; i < layers; i++) {
        slots[i] = (struct t5_activations){.x_in = x};
        if (keep) x = t5_cut_reals(cut, rows * shape->d_model);
        slots[i].x_out = x;
    }
}

void t5_layers_cut(struct t5_cut *cut, const struct model_shape *shape, bool decoder,
                   int64_t layers, int64_t rows, int64_t cross_rows, enum model_keep keep,
                   struct t5_activations *slots)
{
    struct t5_cut shared = *cut;
    for (int64_t i = 0; i < layers; i++) {
        if (keep != MODEL_KEEP_ALL) *cut = shared;
        if (keep)
            layer_cut_kept(cut, shape, decoder, rows, cross_rows, &slots[i]);
        else
            layer_cut_passing(cut, shape, decoder, rows, cross_rows, &slots[i]);
    }
}

void t5_activations_cut(struct t5_cut *cut, const struct model_shape *shape, bool decoder,
                        int64_t layers, int64_t rows, int64_t cross_rows, enum model_keep keep,
                        struct t5_activations *slots)
{
    t5_inputs_cut(cut, shape, layers, rows, keep, slots);
    t5_layers_cut(cut, shape, decoder, layers, rows, cross_rows, keep, slots);
}

/* y = x W^T */
static void project(struct model *model, real *y, const real *x, const struct t5_matrix *w,
                    int64_t rows)
{
    model->queue->op->matmul(model->queue, y, x, w->packed, rows, false);
}

/* to = from + x W^T; in place when from is to, with the same bits. */
static void project_onto(struct model *model, real *to, const real *from, const real *x,
                         const struct t5_matrix *w, int64_t rows)
{
    struct queue *q = model->queue;
    if (to != from) q->op->copy(q, to, from, (size_t)(rows * w->n) * q->real_bytes);
    q->op->matmul(q, to, x, w->packed, rows, true);
}

static void normalize(struct model *model, real *y, float *inverse, const real *x, int64_t weight,
                      int64_t rows)
{
    model->queue->op->rmsnorm(model->queue, y, inverse, x, model->parameters.values + weight, rows,
                              model->shape.d_model, model->shape.eps);
}

void t5_layer_self_project(struct model *model, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows)
{
    normalize(model, a->norm_self, a->inverse_self, a->x_in, layer->norm[NORM_SELF], rows);
    project(model, a->qkv, a->norm_self, &layer->matrix[SELF_QKV], rows);
}

void t5_layer_self_close(struct model *model, const struct t5_layer *layer,
                         const struct t5_activations *a, int64_t rows)
{
    project_onto(model, a->x_self, a->x_in, a->self_out, &layer->matrix[SELF_O], rows);
}

void t5_layer_cross_project(struct model *model, const struct t5_layer *layer,
                            const struct t5_activations *a, int64_t rows)
{
    normalize(model, a->norm_cross, a->inverse_cross, a->x_self, layer->norm[NORM_CROSS], rows);
    project(model, a->cross_q, a->norm_cross, &layer->matrix[CROSS_Q], rows);
}

void t5_layer_cross_close(struct model *model, const struct t5_layer *layer,
                          const struct t5_activations *a, int64_t rows)
{
    project_onto(model, a->x_cross, a->x_self, a->cross_out, &layer->matrix[CROSS_O], rows);
}

void t5_layer_inner(struct model *model, const struct t5_layer *layer,
                    const struct t5_activations *a, int64_t rows)
{
    struct queue *q = model->queue;
    normalize(model, a->norm_ff, a->inverse_ff, a->x_cross, layer->norm[NORM_FF], rows);
    if (model->shape.gated) {
        project(model, a->wi, a->norm_ff, &layer->matrix[FF_WI], rows);
        q->op->gated_gelu(q, a->inner, a->wi, rows, model->shape.d_ff);
    } else {
        q->op->matmul_relu(q, a->inner, a->norm_ff, layer->matrix[FF_WI].packed, rows);
    }
}

void t5_layer_feed_forward(struct model *model, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows)
{
    t5_layer_inner(model, layer, a, rows);
    project_onto(model, a->x_out, a->x_cross, a->inner, &layer->matrix[FF_WO], rows);
}

void t5_head_input(struct model *model, const real *x, real *normed, float *inverse, real *scaled,
                   int64_t rows)
{
    struct queue *q = model->queue;
    const int64_t d = model->shape.d_model;
    normalize(model, normed, inverse, x, model->decoder.final_norm, rows);
    if (model->shape.scale_logits)
        q->op->scale(q, scaled, normed, (float)pow((double)d, -0.5), rows * d);
}

void t5_head(struct model *model, const real *x, real *normed, float *inverse, real *scaled,
             float *logits, int64_t rows)
{
    struct queue *q = model->queue;
    t5_head_input(model, x, normed, inverse, scaled, rows);
    q->op->matmul_float(q, logits, model->shape.scale_logits ? scaled : normed, model->head.packed,
                        rows, false);
}

void t5_relative_bias(struct model *model, const struct t5_stack *stack, float *bias, int64_t span)
{
    const struct model_shape *s = &model->shape;
    model->queue->op->relative_bias(model->queue, bias,
                                    model->parameters.values + stack->relative_bias, span, s->heads,
                                    s->buckets, s->max_distance, !stack->decoder);
}
