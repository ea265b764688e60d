#include "src/model/t5/layer.h"

#include <math.h>

/* One layer's own places, all but x_in and x_out. */
static void place_kept(struct workspace *workspace, const struct t5_shape *s, bool decoder,
                       int64_t rows, int64_t cross_rows, struct t5_activations *a)
{
    int64_t d = s->common.width, inner = s->common.heads * s->d_kv;
    a->norm_self = workspace_reals(workspace, rows * d);
    a->inverse_self = workspace_floats(workspace, rows);
    a->qkv = workspace_reals(workspace, rows * 3 * inner);
    a->self_out = workspace_reals(workspace, rows * inner);
    a->self_lse = workspace_floats(workspace, rows * s->common.heads);
    a->x_self = workspace_reals(workspace, rows * d);
    a->x_cross = a->x_self;
    if (decoder) {
        a->norm_cross = workspace_reals(workspace, rows * d);
        a->inverse_cross = workspace_floats(workspace, rows);
        a->cross_q = workspace_reals(workspace, rows * inner);
        a->cross_kv = workspace_reals(workspace, cross_rows * 2 * inner);
        a->cross_out = workspace_reals(workspace, rows * inner);
        a->cross_lse = workspace_floats(workspace, rows * s->common.heads);
        a->x_cross = workspace_reals(workspace, rows * d);
    }
    a->norm_ff = workspace_reals(workspace, rows * d);
    a->inverse_ff = workspace_floats(workspace, rows);
    if (s->gated) a->wi = workspace_reals(workspace, rows * 2 * s->d_ff);
    a->inner = workspace_reals(workspace, rows * s->d_ff);
}

/* The same for layers that keep nothing; what is never alive together shares memory. */
static void place_passing(struct workspace *workspace, const struct t5_shape *s, bool decoder,
                          int64_t rows, int64_t cross_rows, struct t5_activations *a)
{
    int64_t d = s->common.width, inner = s->common.heads * s->d_kv;
    a->x_self = a->x_cross = a->x_in;
    a->norm_self = a->norm_cross = a->norm_ff = workspace_reals(workspace, rows * d);
    a->qkv = workspace_reals(workspace, rows * 3 * inner);
    a->cross_q = a->qkv;
    a->self_out = a->cross_out = workspace_reals(workspace, rows * inner);
    if (decoder && cross_rows > 0) a->cross_kv = workspace_reals(workspace, cross_rows * 2 * inner);
    if (s->gated) a->wi = workspace_reals(workspace, rows * 2 * s->d_ff);
    a->inner = workspace_reals(workspace, rows * s->d_ff);
}

void t5_place_inputs(struct workspace *workspace, const struct t5_shape *shape, int64_t layers,
                     int64_t rows, enum model_keep keep, struct t5_activations *slots)
{
    if (layers == 0) return;
    real *x = workspace_reals(workspace, rows * shape->common.width);
    for (int64_t i = 0; i < layers; i++) {
        slots[i] = (struct t5_activations){.x_in = x};
        if (keep) x = workspace_reals(workspace, rows * shape->common.width);
        slots[i].x_out = x;
    }
}

void t5_place_layers(struct workspace *workspace, const struct t5_shape *shape, bool decoder,
                     int64_t layers, int64_t rows, int64_t cross_rows, enum model_keep keep,
                     struct t5_activations *slots)
{
    struct workspace shared = *workspace;
    for (int64_t i = 0; i < layers; i++) {
        if (keep != MODEL_KEEP_ALL) *workspace = shared;
        if (keep)
            place_kept(workspace, shape, decoder, rows, cross_rows, &slots[i]);
        else
            place_passing(workspace, shape, decoder, rows, cross_rows, &slots[i]);
    }
}

void t5_norm(struct t5 *t5, real *y, float *inverse, const real *x, int64_t weight, int64_t rows)
{
    struct queue *q = t5->common.queue;
    q->op->rmsnorm(q, y, inverse, x, t5->common.parameters.values + weight, rows,
                   t5->shape->common.width, t5->shape->eps);
}

void t5_layer_self_project(struct t5 *t5, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows)
{
    t5_norm(t5, a->norm_self, a->inverse_self, a->x_in, layer->norm[NORM_SELF], rows);
    linear_forward(t5->common.queue, &layer->linear[SELF_QKV], a->qkv, a->norm_self, rows);
}

void t5_layer_self_close(struct t5 *t5, const struct t5_layer *layer,
                         const struct t5_activations *a, int64_t rows)
{
    linear_forward_onto(t5->common.queue, &layer->linear[SELF_O], a->x_self, a->x_in, a->self_out,
                        rows);
}

void t5_layer_cross_project(struct t5 *t5, const struct t5_layer *layer,
                            const struct t5_activations *a, int64_t rows)
{
    t5_norm(t5, a->norm_cross, a->inverse_cross, a->x_self, layer->norm[NORM_CROSS], rows);
    linear_forward(t5->common.queue, &layer->linear[CROSS_Q], a->cross_q, a->norm_cross, rows);
}

void t5_layer_cross_close(struct t5 *t5, const struct t5_layer *layer,
                          const struct t5_activations *a, int64_t rows)
{
    linear_forward_onto(t5->common.queue, &layer->linear[CROSS_O], a->x_cross, a->x_self,
                        a->cross_out, rows);
}

void t5_layer_inner(struct t5 *t5, const struct t5_layer *layer, const struct t5_activations *a,
                    int64_t rows)
{
    struct queue *q = t5->common.queue;
    t5_norm(t5, a->norm_ff, a->inverse_ff, a->x_cross, layer->norm[NORM_FF], rows);
    if (t5->shape->gated) {
        linear_forward(q, &layer->linear[FF_WI], a->wi, a->norm_ff, rows);
        q->op->gated_activation(q, ACTIVATION_GELU_TANH, a->inner, a->wi, rows, t5->shape->d_ff);
    } else {
        linear_forward_relu(q, &layer->linear[FF_WI], a->inner, a->norm_ff, rows);
    }
}

void t5_layer_feed_forward(struct t5 *t5, const struct t5_layer *layer,
                           const struct t5_activations *a, int64_t rows)
{
    t5_layer_inner(t5, layer, a, rows);
    linear_forward_onto(t5->common.queue, &layer->linear[FF_WO], a->x_out, a->x_cross, a->inner,
                        rows);
}

void t5_head_input(struct t5 *t5, const real *x, real *normed, float *inverse, real *scaled,
                   int64_t rows)
{
    struct queue *q = t5->common.queue;
    const int64_t d = t5->shape->common.width;
    t5_norm(t5, normed, inverse, x, t5->decoder.final_norm, rows);
    if (t5->shape->scale_logits)
        q->op->scale(q, scaled, normed, (float)pow((double)d, -0.5), rows * d);
}

void t5_relative_bias(struct t5 *t5, const struct t5_stack *stack, float *bias, int64_t span)
{
    struct queue *q = t5->common.queue;
    const struct t5_shape *s = t5->shape;
    q->op->relative_bias(q, bias, t5->common.parameters.values + stack->relative_bias, span,
                         s->common.heads, s->buckets, s->max_distance, !stack->decoder);
}
