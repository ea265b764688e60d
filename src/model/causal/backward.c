#include "src/model/causal/backward.h"

#include "src/model/causal/forward.h"
#include "src/model/causal/layer.h"

/* dx (+)= the gradient through the norm of x with the weight at offset `weight`. */
static void norm_backward(struct causal *causal, int64_t weight, const real *dnorm, const real *x,
                          const float *inverse, real *dx, bool accumulate, int64_t rows,
                          float *gradients)
{
    struct queue *q = causal->common.queue;
    q->op->rmsnorm_backward(q, dx, model_gradient(&causal->common, gradients, weight), dnorm, x,
                            causal->common.parameters.values + weight, inverse, rows,
                            causal->shape->common.width, accumulate);
}

/* g: of the same rows as a. */
static void feed_forward_backward(struct causal *causal, const struct causal_layer *layer,
                                  const struct causal_activations *a,
                                  const struct causal_gradients *g, int64_t rows, float *gradients)
{
    struct queue *q = causal->common.queue;
    linear_backward(q, &layer->linear[CAUSAL_DOWN], g->dx, a->inner, g->dinner, false, rows,
                    gradients);
    q->op->gated_activation_backward(q, ACTIVATION_SILU, g->dgate_up, g->dinner, a->gate_up, rows,
                                     causal->shape->d_ff);
    linear_backward(q, &layer->linear[CAUSAL_GATE_UP], g->dgate_up, a->norm_feed_forward, g->dnorm,
                    false, rows, gradients);
    norm_backward(causal, layer->norm[NORM_FEED_FORWARD], g->dnorm, a->x_mid,
                  a->inverse_feed_forward, g->dx, true, rows, gradients);
}

/* dattention to dqkv, or where heads are normed to dqk and the values' part of dqkv.  Rows before
 * `first` ask nothing, and have keys and values that may be read. */
static void attention_backward(struct causal_run *run, const struct causal_activations *a,
                               const struct causal_gradients *g, int64_t first)
{
    const struct causal *causal = causal_of(run->common.model);
    struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    const struct attention attention = causal_run_attention(run, a, first);
    const int64_t q_width = s->common.heads * s->head_dim, k_width = s->kv_heads * s->head_dim;
    real *rotated = g->dqk ? g->dqk : g->dqkv;
    if (first > 0) {
        const size_t row = (size_t)first * q->real_bytes;
        q->op->zero(q, g->dqkv, row * (size_t)(q_width + 2 * k_width));
        if (g->dqk) q->op->zero(q, g->dqk, row * (size_t)(q_width + k_width));
    }
    const struct attention_gradients to = {
        .dout = real_at(q, g->dattention, first * q_width),
        .dq = real_at(q, rotated, first * attention.q_stride),
        .dk = real_at(q, rotated, q_width),
        .dv = real_at(q, g->dqkv, q_width + k_width),
        .key_rows = run->common.history_tokens + run->leaf_rows,
    };
    q->op->attention_backward(q, &attention, &to);
}

static void heads_backward(struct causal *causal, const struct causal_layer *layer,
                           const struct causal_activations *a, const struct causal_gradients *g,
                           int64_t rows, float *gradients)
{
    struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    const struct model *model = &causal->common;
    const float *values = model->parameters.values;
    const int64_t at = s->common.heads * s->head_dim, narrow = at + s->kv_heads * s->head_dim;
    const int64_t wide = narrow + s->kv_heads * s->head_dim;
    q->op->head_norm_backward(q, g->dqkv, wide, model_gradient(model, gradients, layer->q_norm),
                              g->dqk, narrow, a->qkv, wide, values + layer->q_norm, a->q_inverse,
                              rows, s->common.heads, s->head_dim);
    q->op->head_norm_backward(q, real_at(q, g->dqkv, at), wide,
                              model_gradient(model, gradients, layer->k_norm),
                              real_at(q, g->dqk, at), narrow, real_at(q, a->qkv, at), wide,
                              values + layer->k_norm, a->k_inverse, rows, s->kv_heads, s->head_dim);
}

static void project_backward(struct causal_run *run, const struct causal_layer *layer,
                             const struct causal_activations *a, const struct causal_gradients *g,
                             int64_t rows, float *gradients)
{
    struct causal *causal = causal_of(run->common.model);
    struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    const int64_t narrow = (s->common.heads + s->kv_heads) * s->head_dim;
    const int64_t wide = narrow + s->kv_heads * s->head_dim;
    q->op->rope(q, g->dqk ? g->dqk : g->dqkv, g->dqk ? narrow : wide, run->position, causal->rope,
                rows, s->common.heads + s->kv_heads, s->head_dim, true);
    if (g->dqk) heads_backward(causal, layer, a, g, rows, gradients);
    float *dbias = layer->bias < 0 ? NULL : model_gradient(&causal->common, gradients, layer->bias);
    if (dbias) q->op->bias_backward(q, dbias, g->dqkv, wide, rows, wide);
    linear_backward(q, &layer->linear[CAUSAL_QKV], g->dqkv, a->norm_attention, g->dnorm, false,
                    rows, gradients);
    norm_backward(causal, layer->norm[NORM_ATTENTION], g->dnorm, a->x_in, a->inverse_attention,
                  g->dx, true, rows, gradients);
}

/* The gradients' rows from `first` on that the feed-forward part and the projection use. */
static struct causal_gradients gradients_from(const struct causal *causal,
                                              const struct causal_gradients *g, int64_t first)
{
    const struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    struct causal_gradients from = *g;
    from.dx = real_at(q, g->dx, first * s->common.width);
    from.dnorm = real_at(q, g->dnorm, first * s->common.width);
    from.dattention = real_at(q, g->dattention, first * s->common.heads * s->head_dim);
    from.dinner = real_at(q, g->dinner, first * s->d_ff);
    from.dgate_up = real_at(q, g->dgate_up, first * 2 * s->d_ff);
    return from;
}

static void layer_backward(struct causal_run *run, int64_t index, float *gradients)
{
    struct causal *causal = causal_of(run->common.model);
    struct queue *q = causal->common.queue;
    const struct causal_layer *layer = &causal->layer[index];
    const struct causal_activations *all = &run->layer[index];
    const struct causal_gradients *g = &run->gradients;
    const int64_t rows = run->common.history_tokens + run->leaf_rows;
    const int64_t first = causal_first_row(run, index);
    if (run->common.keep == MODEL_KEEP_INPUTS) causal_recompute_layer(run, index);
    const struct causal_activations rest = causal_rows_from(causal, all, first);
    const struct causal_gradients rest_g = gradients_from(causal, g, first);
    feed_forward_backward(causal, layer, &rest, &rest_g, rows - first, gradients);
    linear_backward(q, &layer->linear[CAUSAL_O], rest_g.dx, rest.attention, rest_g.dattention,
                    false, rows - first, gradients);
    attention_backward(run, all, g, first);
    const int64_t watched = watched_layer(&run->common, index, run->common.model->shape->layers);
    if (watched >= 0 && run->common.watch->backward) {
        const struct attention attention = causal_run_attention(run, all, 0);
        real *dq = g->dqk ? g->dqk : g->dqkv;
        const int64_t q_width = causal->shape->common.heads * causal->shape->head_dim;
        run->common.watch->backward(run->common.watch->context, watched, &attention, dq,
                                    real_at(q, dq, q_width));
    }
    project_backward(run, layer, all, g, rows, gradients);
}

void causal_backward(struct model_run *common, bool replies, const real *dhidden, float *gradients,
                     const struct model_watermark *watermark)
{
    struct causal_run *run = causal_run_of(common);
    struct causal *causal = causal_of(common->model);
    struct queue *q = causal->common.queue;
    const struct causal_gradients *g = &run->gradients;
    const int64_t n = common->history_tokens, width = causal->shape->common.width;
    const int64_t last = causal->shape->common.layers - 1;
    q->op->zero(q, g->dx, (size_t)(n * width) * q->real_bytes);
    norm_backward(causal, causal->final_norm, replies ? common->dhead_input : dhidden,
                  real_at(q, run->layer[last].x_out, n * width), run->final_inverse,
                  real_at(q, g->dx, n * width), false, run->leaf_rows, gradients);
    watermark_ready(watermark, causal->final_norm);
    for (int64_t i = last; i >= 0; i--) {
        layer_backward(run, i, gradients);
        watermark_ready(watermark, causal->layer[i].norm[NORM_ATTENTION]);
    }
    float *dembedding = model_gradient(&causal->common, gradients, causal->common.embedding);
    if (dembedding)
        q->op->embedding_backward(q, dembedding, g->dx, run->ids, n + run->leaf_rows, width);
}
