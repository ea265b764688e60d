/* Gradients of a kept forward pass.  A layer's parts are undone in reverse; dx [rows, d] is
 * the gradient of the residual stream throughout. */
#include "src/model/t5_parts.h"

#include <math.h>

/* Places for gradients of activations, reused by every layer. */
struct places {
    real *dx, *dnorm;                     /* [rows, d] */
    real *dout, *dqkv;                    /* [rows, i], [rows, 3i] */
    real *dinner, *dwi;                   /* [rows, f], [rows, w] */
    real *dcross_kv, *dencoder;           /* [n, 2i], [n, d] */
    float *dencoder_bias, *ddecoder_bias; /* [heads, 2 span - 1] */
    size_t bias_bytes[2];
};

static void places_cut(const struct model_run *run, struct t5_cut *cut, struct places *p)
{
    const struct model_shape *s = &run->model->shape;
    int64_t n = run->history_tokens, m = run->reply_tokens, rows = n > m ? n : m;
    int64_t d = s->d_model, inner = s->heads * s->d_kv;
    int64_t encoder_bias = s->heads * (2 * run->longest_history - 1);
    int64_t decoder_bias = m > 0 ? s->heads * (2 * run->longest_reply - 1) : 0;
    p->dx = t5_cut_reals(cut, rows * d);
    p->dnorm = t5_cut_reals(cut, rows * d);
    p->dout = t5_cut_reals(cut, rows * inner);
    p->dqkv = t5_cut_reals(cut, rows * 3 * inner);
    p->dinner = t5_cut_reals(cut, rows * s->d_ff);
    p->dwi = t5_cut_reals(cut, rows * s->d_ff * (s->gated ? 2 : 1));
    p->dcross_kv = t5_cut_reals(cut, n * 2 * inner);
    p->dencoder = t5_cut_reals(cut, n * d);
    p->dencoder_bias = t5_cut_floats(cut, encoder_bias);
    p->ddecoder_bias = t5_cut_floats(cut, decoder_bias);
    p->bias_bytes[0] = (size_t)encoder_bias * sizeof(float);
    p->bias_bytes[1] = (size_t)decoder_bias * sizeof(float);
}

/* y = x W^T: dW += dy^T x, dx (+)= dy W. */
static void undo_projection(struct model *model, const struct t5_matrix *w, const real *dy,
                            const real *x, real *dx, bool accumulate, int64_t rows,
                            float *gradients)
{
    struct queue *q = model->queue;
    q->op->matmul_weight_gradient(q, gradients + w->offset, dy, x, rows, w->n, w->k, true);
    q->op->matmul_input_gradient(q, dx, dy, w->packed, rows, accumulate);
}

/* Adds the gradient through a norm to dx (or starts it). */
static void undo_norm(struct model *model, int64_t weight, const real *dnorm, const real *x,
                      const float *inverse, real *dx, bool accumulate, int64_t rows,
                      float *gradients)
{
    struct queue *q = model->queue;
    q->op->rmsnorm_backward(q, dx, gradients + weight, dnorm, x, model->parameters.values + weight,
                            inverse, rows, model->shape.d_model, accumulate);
}

static void undo_feed_forward(struct model *model, const struct t5_layer *layer,
                              const struct t5_activations *a, const struct places *p, int64_t rows,
                              float *gradients)
{
    struct queue *q = model->queue;
    int64_t f = model->shape.d_ff;
    undo_projection(model, &layer->matrix[FF_WO], p->dx, a->inner, p->dinner, false, rows,
                    gradients);
    if (model->shape.gated)
        q->op->gated_gelu_backward(q, p->dwi, p->dinner, a->wi, rows, f);
    else
        q->op->relu_backward(q, p->dwi, p->dinner, a->inner, rows * f);
    undo_projection(model, &layer->matrix[FF_WI], p->dwi, a->norm_ff, p->dnorm, false, rows,
                    gradients);
    undo_norm(model, layer->norm[NORM_FF], p->dnorm, a->x_cross, a->inverse_ff, p->dx, true, rows,
              gradients);
}

static void undo_cross(struct model_run *run, const struct t5_layer *layer,
                       const struct t5_activations *a, const struct places *p, float *gradients)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    int64_t m = run->reply_tokens, n = run->history_tokens;
    int64_t inner = model->shape.heads * model->shape.d_kv;
    undo_projection(model, &layer->matrix[CROSS_O], p->dx, a->cross_out, p->dout, false, m,
                    gradients);
    struct attention cross = t5_run_cross_attention(run, a);
    struct attention_gradients g = {
        .dout = p->dout,
        .dq = p->dqkv, /* [m, i] here */
        .dk = p->dcross_kv,
        .dv = real_at(q, p->dcross_kv, inner),
        .accumulate_kv = !run->all_read, /* onto zeros: a history without replies gets none */
        .key_rows = n,
    };
    if (!run->all_read) q->op->zero(q, p->dcross_kv, (size_t)(n * 2 * inner) * q->real_bytes);
    q->op->attention_backward(q, &cross, &g);
    undo_projection(model, &layer->matrix[CROSS_Q], p->dqkv, a->norm_cross, p->dnorm, false, m,
                    gradients);
    undo_norm(model, layer->norm[NORM_CROSS], p->dnorm, a->x_self, a->inverse_cross, p->dx, true, m,
              gradients);
    undo_projection(model, &layer->matrix[CROSS_KV], p->dcross_kv, run->encoder_output, p->dencoder,
                    true, n, gradients);
}

static void undo_self(struct model_run *run, bool decoder, const struct t5_layer *layer,
                      const struct t5_activations *a, const struct places *p, float *gradients)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    int64_t rows = decoder ? run->reply_tokens : run->history_tokens;
    int64_t inner = model->shape.heads * model->shape.d_kv;
    undo_projection(model, &layer->matrix[SELF_O], p->dx, a->self_out, p->dout, false, rows,
                    gradients);
    struct attention self = t5_run_self_attention(run, decoder, a);
    struct attention_gradients g = {
        .dout = p->dout,
        .dq = p->dqkv,
        .dk = real_at(q, p->dqkv, inner),
        .dv = real_at(q, p->dqkv, 2 * inner),
        .key_rows = rows,
        .dbias = decoder ? p->ddecoder_bias : p->dencoder_bias,
    };
    q->op->attention_backward(q, &self, &g);
    undo_projection(model, &layer->matrix[SELF_QKV], p->dqkv, a->norm_self, p->dnorm, false, rows,
                    gradients);
    undo_norm(model, layer->norm[NORM_SELF], p->dnorm, a->x_in, a->inverse_self, p->dx, true, rows,
              gradients);
}

static void undo_bias(struct model *model, const struct t5_stack *stack, const float *dbias,
                      int64_t span, float *gradients)
{
    const struct model_shape *s = &model->shape;
    model->queue->op->relative_bias_backward(model->queue, gradients + stack->relative_bias, dbias,
                                             span, s->heads, s->buckets, s->max_distance,
                                             !stack->decoder);
}

/* The gradients of this layer and of all that stands behind it are done.  The table of relative
 * positions stands inside layer 0, so that one is told of once the table's is done too. */
static void tell(const struct model_watermark *watermark, int64_t offset)
{
    if (watermark && watermark->ready) watermark->ready(watermark->context, offset);
}

/* From the gradient of what the head read, in p->dnorm; adds into p->dencoder. */
static void undo_decoder(struct model_run *run, const struct places *p, float *gradients,
                         const struct model_watermark *watermark)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    const struct model_shape *s = &model->shape;
    int64_t m = run->reply_tokens, d = s->d_model;
    q->op->zero(q, p->ddecoder_bias, p->bias_bytes[1]);
    if (s->scale_logits) q->op->scale(q, p->dnorm, p->dnorm, (float)pow((double)d, -0.5), m * d);
    undo_norm(model, model->decoder.final_norm, p->dnorm, run->decoder[s->decoder_layers - 1].x_out,
              run->decoder_inverse, p->dx, false, m, gradients);
    tell(watermark, model->decoder.final_norm);
    for (int64_t i = s->decoder_layers - 1; i >= 0; i--) {
        const struct t5_layer *layer = &model->decoder.layer[i];
        const struct t5_activations *a = &run->decoder[i];
        if (run->kept == MODEL_KEEP_INPUTS) t5_run_decoder_layer(run, i, true);
        undo_feed_forward(model, layer, a, p, m, gradients);
        undo_cross(run, layer, a, p, gradients);
        undo_self(run, true, layer, a, p, gradients);
        if (i == 0)
            undo_bias(model, &model->decoder, p->ddecoder_bias, run->longest_reply, gradients);
        tell(watermark, layer->matrix[SELF_QKV].offset);
    }
    q->op->embedding_backward(q, gradients + model->shared, p->dx, run->input_ids, m, d);
}

static void undo_encoder(struct model_run *run, const struct places *p, float *gradients,
                         const struct model_watermark *watermark)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    const struct model_shape *s = &model->shape;
    int64_t n = run->history_tokens;
    q->op->zero(q, p->dencoder_bias, p->bias_bytes[0]);
    undo_norm(model, model->encoder.final_norm, p->dencoder,
              run->encoder[s->encoder_layers - 1].x_out, run->encoder_inverse, p->dx, false, n,
              gradients);
    tell(watermark, model->encoder.final_norm);
    for (int64_t i = s->encoder_layers - 1; i >= 0; i--) {
        const struct t5_layer *layer = &model->encoder.layer[i];
        const struct t5_activations *a = &run->encoder[i];
        if (run->kept == MODEL_KEEP_INPUTS) t5_run_encoder_layer(run, i, true);
        undo_feed_forward(model, layer, a, p, n, gradients);
        undo_self(run, false, layer, a, p, gradients);
        if (i == 0)
            undo_bias(model, &model->encoder, p->dencoder_bias, run->longest_history, gradients);
        tell(watermark, layer->matrix[SELF_QKV].offset);
    }
    q->op->embedding_backward(q, gradients + model->shared, p->dx, run->history_ids, n, s->d_model);
}

/* Room for the gradients of the present batch's activations, at the same places each time. */
static status places_reserve(struct model_run *run, struct places *p)
{
    struct queue *q = run->model->queue;
    struct t5_cut cut = t5_cut_begin(q, NULL);
    places_cut(run, &cut, p);
    TRY(buffer_reserve(q, &run->backward, cut.used));
    cut = t5_cut_begin(q, run->backward.data);
    places_cut(run, &cut, p);
    return NULL;
}

status t5_backward_reserve(struct model_run *run, real **dscaled)
{
    struct places p;
    TRY(places_reserve(run, &p));
    *dscaled = p.dnorm;
    return NULL;
}

status model_backward(struct model_run *run, const real *dencoder, float *gradients,
                      const struct model_watermark *watermark)
{
    struct queue *q = run->model->queue;
    const bool replies = run->head_undone > 0;
    if (!run->done || !run->kept) FAIL(STATUS_INTERNAL, "no activations were kept for backward");
    if (!replies && !dencoder) FAIL(STATUS_INTERNAL, "a backward pass of no gradient");
    if (replies && run->head_undone != run->reply_tokens)
        FAIL(STATUS_INTERNAL, "a backward pass with %lld of %lld rows through the head",
             (long long)run->head_undone, (long long)run->reply_tokens);
    struct places p;
    TRY(places_reserve(run, &p));
    size_t bytes = (size_t)(run->history_tokens * run->model->shape.d_model) * q->real_bytes;
    if (dencoder)
        q->op->copy(q, p.dencoder, dencoder, bytes);
    else
        q->op->zero(q, p.dencoder, bytes);
    if (replies) undo_decoder(run, &p, gradients, watermark);
    undo_encoder(run, &p, gradients, watermark);
    tell(watermark, 0);
    run->head_undone = 0;
    return NULL;
}
