#include "src/model/causal/layer.h"

#include <math.h>

static int64_t qkv_width(const struct causal_shape *s)
{
    return (s->common.heads + 2 * s->kv_heads) * s->head_dim;
}

static int64_t qk_width(const struct causal_shape *s)
{
    return (s->common.heads + s->kv_heads) * s->head_dim;
}

/* One layer's own places, all but x_in and x_out. */
static void place_kept(struct workspace *workspace, const struct causal_shape *s, int64_t rows,
                       struct causal_activations *a)
{
    const int64_t width = s->common.width, heads = s->common.heads;
    a->norm_attention = workspace_reals(workspace, rows * width);
    a->inverse_attention = workspace_floats(workspace, rows);
    a->qkv = workspace_reals(workspace, rows * qkv_width(s));
    if (causal_has_qk_norm(s)) {
        a->qk = workspace_reals(workspace, rows * qk_width(s));
        a->q_inverse = workspace_floats(workspace, rows * heads);
        a->k_inverse = workspace_floats(workspace, rows * s->kv_heads);
    }
    a->attention = workspace_reals(workspace, rows * heads * s->head_dim);
    a->lse = workspace_floats(workspace, rows * heads);
    a->x_mid = workspace_reals(workspace, rows * width);
    a->norm_feed_forward = workspace_reals(workspace, rows * width);
    a->inverse_feed_forward = workspace_floats(workspace, rows);
    a->gate_up = workspace_reals(workspace, rows * 2 * s->d_ff);
    a->inner = workspace_reals(workspace, rows * s->d_ff);
}

/* The same for layers that keep nothing; what is never alive together shares memory. */
static void place_passing(struct workspace *workspace, const struct causal_shape *s, int64_t rows,
                          struct causal_activations *a)
{
    const int64_t width = s->common.width;
    a->x_mid = a->x_in;
    a->norm_attention = a->norm_feed_forward = workspace_reals(workspace, rows * width);
    a->qkv = workspace_reals(workspace, rows * qkv_width(s));
    if (causal_has_qk_norm(s)) a->qk = workspace_reals(workspace, rows * qk_width(s));
    a->attention = workspace_reals(workspace, rows * s->common.heads * s->head_dim);
    a->gate_up = workspace_reals(workspace, rows * 2 * s->d_ff);
    a->inner = workspace_reals(workspace, rows * s->d_ff);
}

void causal_place_inputs(struct workspace *workspace, const struct causal_shape *shape,
                         int64_t rows, enum model_keep keep, struct causal_activations *slots)
{
    real *x = workspace_reals(workspace, rows * shape->common.width);
    for (int64_t i = 0; i < shape->common.layers; i++) {
        slots[i] = (struct causal_activations){.x_in = x};
        if (keep) x = workspace_reals(workspace, rows * shape->common.width);
        slots[i].x_out = x;
    }
}

void causal_place_layers(struct workspace *workspace, const struct causal_shape *shape,
                         int64_t rows, enum model_keep keep, struct causal_activations *slots)
{
    const struct workspace shared = *workspace;
    for (int64_t i = 0; i < shape->common.layers; i++) {
        if (keep != MODEL_KEEP_ALL) *workspace = shared;
        (keep ? place_kept : place_passing)(workspace, shape, rows, &slots[i]);
    }
}

static real *reals_from(const struct queue *q, real *p, int64_t count)
{
    return p ? real_at(q, p, count) : NULL;
}

static float *floats_from(float *p, int64_t count)
{
    return p ? p + count : NULL;
}

struct causal_activations causal_rows_from(const struct causal *causal,
                                           const struct causal_activations *a, int64_t first)
{
    const struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    const int64_t width = s->common.width, heads = s->common.heads;
    return (struct causal_activations){
        .x_in = reals_from(q, a->x_in, first * width),
        .norm_attention = reals_from(q, a->norm_attention, first * width),
        .qkv = reals_from(q, a->qkv, first * qkv_width(s)),
        .qk = reals_from(q, a->qk, first * qk_width(s)),
        .attention = reals_from(q, a->attention, first * heads * s->head_dim),
        .x_mid = reals_from(q, a->x_mid, first * width),
        .norm_feed_forward = reals_from(q, a->norm_feed_forward, first * width),
        .gate_up = reals_from(q, a->gate_up, first * 2 * s->d_ff),
        .inner = reals_from(q, a->inner, first * s->d_ff),
        .x_out = reals_from(q, a->x_out, first * width),
        .inverse_attention = floats_from(a->inverse_attention, first),
        .inverse_feed_forward = floats_from(a->inverse_feed_forward, first),
        .q_inverse = floats_from(a->q_inverse, first * heads),
        .k_inverse = floats_from(a->k_inverse, first * s->kv_heads),
        .lse = floats_from(a->lse, first * heads),
    };
}

void causal_norm(struct causal *causal, real *y, float *inverse, const real *x, int64_t weight,
                 int64_t rows)
{
    struct queue *q = causal->common.queue;
    q->op->rmsnorm(q, y, inverse, x, causal->common.parameters.values + weight, rows,
                   causal->shape->common.width, causal->shape->eps);
}

/* Each head of q and k by itself, from qkv to qk. */
static void heads_norm(struct causal *causal, const struct causal_layer *layer,
                       const struct causal_activations *a, int64_t rows)
{
    struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    const float *values = causal->common.parameters.values;
    const int64_t at = s->common.heads * s->head_dim;
    q->op->head_norm(q, a->qk, qk_width(s), a->q_inverse, a->qkv, qkv_width(s),
                     values + layer->q_norm, rows, s->common.heads, s->head_dim, s->eps);
    q->op->head_norm(q, real_at(q, a->qk, at), qk_width(s), a->k_inverse, real_at(q, a->qkv, at),
                     qkv_width(s), values + layer->k_norm, rows, s->kv_heads, s->head_dim, s->eps);
}

void causal_layer_project(struct causal *causal, const struct causal_layer *layer,
                          const struct causal_activations *a, const int32_t *position, int64_t rows)
{
    struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    causal_norm(causal, a->norm_attention, a->inverse_attention, a->x_in,
                layer->norm[NORM_ATTENTION], rows);
    linear_forward(q, &layer->linear[CAUSAL_QKV], a->qkv, a->norm_attention, rows);
    if (layer->bias >= 0)
        q->op->bias_add(q, a->qkv, qkv_width(s), causal->common.parameters.values + layer->bias,
                        rows, qkv_width(s));
    if (a->qk) heads_norm(causal, layer, a, rows);
    q->op->rope(q, a->qk ? a->qk : a->qkv, a->qk ? qk_width(s) : qkv_width(s), position,
                causal->rope, rows, s->common.heads + s->kv_heads, s->head_dim, false);
}

struct attention causal_attention(const struct causal *causal, const struct causal_activations *a)
{
    const struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    const int64_t heads = s->common.heads * s->head_dim;
    const real *rotated = a->qk ? a->qk : a->qkv;
    const int64_t stride = a->qk ? qk_width(s) : qkv_width(s);
    return (struct attention){
        .heads = s->common.heads,
        .kv_heads = s->kv_heads,
        .head_dim = s->head_dim,
        .scale = (float)(1.0 / sqrt((double)s->head_dim)),
        .q = rotated,
        .k = real_at(q, rotated, heads),
        .v = real_at(q, a->qkv, qk_width(s)),
        .q_stride = stride,
        .k_stride = stride,
        .v_stride = qkv_width(s),
        .causal = true,
        .out = a->attention,
        .lse = a->lse,
    };
}

void causal_layer_inner(struct causal *causal, const struct causal_layer *layer,
                        const struct causal_activations *a, int64_t rows)
{
    struct queue *q = causal->common.queue;
    linear_forward_onto(q, &layer->linear[CAUSAL_O], a->x_mid, a->x_in, a->attention, rows);
    causal_norm(causal, a->norm_feed_forward, a->inverse_feed_forward, a->x_mid,
                layer->norm[NORM_FEED_FORWARD], rows);
    linear_forward(q, &layer->linear[CAUSAL_GATE_UP], a->gate_up, a->norm_feed_forward, rows);
    q->op->gated_activation(q, ACTIVATION_SILU, a->inner, a->gate_up, rows, causal->shape->d_ff);
}

void causal_layer_close(struct causal *causal, const struct causal_layer *layer,
                        const struct causal_activations *a, int64_t rows)
{
    linear_forward_onto(causal->common.queue, &layer->linear[CAUSAL_DOWN], a->x_out, a->x_mid,
                        a->inner, rows);
}
