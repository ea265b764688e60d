#include "src/model/t5/backward.h"

#include "src/model/t5/forward.h"
#include "src/model/t5/summary.h"

#include <math.h>

/* dx (+)= the gradient through the norm of x with the weight at offset `weight`. */
static void norm_backward(struct t5 *t5, int64_t weight, const real *dnorm, const real *x,
                          const float *inverse, real *dx, bool accumulate, int64_t rows,
                          float *gradients)
{
    struct queue *q = t5->common.queue;
    q->op->rmsnorm_backward(q, dx, model_gradient(&t5->common, gradients, weight), dnorm, x,
                            t5->common.parameters.values + weight, inverse, rows,
                            t5->shape->common.width, accumulate);
}

static void feed_forward_backward(struct t5 *t5, const struct t5_layer *layer,
                                  const struct t5_activations *a, const struct t5_gradients *g,
                                  int64_t rows, float *gradients)
{
    struct queue *q = t5->common.queue;
    int64_t f = t5->shape->d_ff;
    linear_backward(q, &layer->linear[FF_WO], g->dx, a->inner, g->dinner, false, rows, gradients);
    if (t5->shape->gated)
        q->op->gated_activation_backward(q, ACTIVATION_GELU_TANH, g->dwi, g->dinner, a->wi, rows,
                                         f);
    else
        q->op->relu_backward(q, g->dwi, g->dinner, a->inner, rows * f);
    linear_backward(q, &layer->linear[FF_WI], g->dwi, a->norm_ff, g->dnorm, false, rows, gradients);
    norm_backward(t5, layer->norm[NORM_FF], g->dnorm, a->x_cross, a->inverse_ff, g->dx, true, rows,
                  gradients);
}

static void cross_backward(struct t5_run *run, const struct t5_layer *layer,
                           const struct t5_activations *a, const struct t5_gradients *g,
                           float *gradients)
{
    struct t5 *t5 = t5_of(run->common.model);
    struct queue *q = t5->common.queue;
    int64_t m = run->common.reply_tokens, n = run->common.hidden_rows;
    int64_t inner = t5->shape->common.heads * t5->shape->d_kv;
    linear_backward(q, &layer->linear[CROSS_O], g->dx, a->cross_out, g->dout, false, m, gradients);
    struct attention cross = t5_cross_attention(run, a);
    struct attention_gradients to = {
        .dout = g->dout,
        .dq = g->dqkv, /* [m, i] here */
        .dk = g->dcross_kv,
        .dv = real_at(q, g->dcross_kv, inner),
        .accumulate_kv =
            !run->common.all_read, /* onto zeros: a history without replies gets none */
        .key_rows = n,
    };
    if (!run->common.all_read)
        q->op->zero(q, g->dcross_kv, (size_t)(n * 2 * inner) * q->real_bytes);
    q->op->attention_backward(q, &cross, &to);
    linear_backward(q, &layer->linear[CROSS_Q], g->dqkv, a->norm_cross, g->dnorm, false, m,
                    gradients);
    norm_backward(t5, layer->norm[NORM_CROSS], g->dnorm, a->x_self, a->inverse_cross, g->dx, true,
                  m, gradients);
    linear_backward(q, &layer->linear[CROSS_KV], g->dcross_kv, run->common.hidden, g->dencoder,
                    true, n, gradients);
}

static void self_backward(struct t5_run *run, bool decoder, int64_t index,
                          const struct t5_gradients *g, float *gradients)
{
    struct t5 *t5 = t5_of(run->common.model);
    const struct t5_layer *layer = (decoder ? &t5->decoder : &t5->encoder)->layer + index;
    const struct t5_activations *a = (decoder ? run->decoder : run->encoder) + index;
    struct queue *q = t5->common.queue;
    int64_t rows = decoder ? run->common.reply_tokens : run->common.history_tokens;
    int64_t inner = t5->shape->common.heads * t5->shape->d_kv;
    linear_backward(q, &layer->linear[SELF_O], g->dx, a->self_out, g->dout, false, rows, gradients);
    struct attention self = t5_self_attention(run, decoder, a);
    struct attention_gradients to = {
        .dout = g->dout,
        .dq = g->dqkv,
        .dk = real_at(q, g->dqkv, inner),
        .dv = real_at(q, g->dqkv, 2 * inner),
        .key_rows = rows,
        .dbias = t5->common.base ? NULL
                 : decoder       ? g->ddecoder_bias
                                 : g->dencoder_bias,
    };
    q->op->attention_backward(q, &self, &to);
    const int64_t watched = decoder ? -1 : watched_layer(&run->common, index, t5->encoder.layers);
    if (watched >= 0 && run->common.watch->backward)
        run->common.watch->backward(run->common.watch->context, watched, &self, to.dq, to.dk);
    linear_backward(q, &layer->linear[SELF_QKV], g->dqkv, a->norm_self, g->dnorm, false, rows,
                    gradients);
    norm_backward(t5, layer->norm[NORM_SELF], g->dnorm, a->x_in, a->inverse_self, g->dx, true, rows,
                  gradients);
}

static void embedding_backward(struct t5 *t5, const real *dx, const int32_t *ids, int64_t rows,
                               float *gradients)
{
    float *to = model_gradient(&t5->common, gradients, t5->common.embedding);
    if (!to) return;
    t5->common.queue->op->embedding_backward(t5->common.queue, to, dx, ids, rows,
                                             t5->shape->common.width);
}

static void bias_backward(struct t5 *t5, const struct t5_stack *stack, const float *dbias,
                          int64_t span, float *gradients)
{
    const struct t5_shape *s = t5->shape;
    float *to = model_gradient(&t5->common, gradients, stack->relative_bias);
    if (!to) return;
    t5->common.queue->op->relative_bias_backward(t5->common.queue, to, dbias, span, s->common.heads,
                                                 s->buckets, s->max_distance, !stack->decoder);
}

/* From the gradient of what the head read; adds into g->dencoder.  The table of relative positions
 * stands inside layer 0, so that layer's gradients are final once the table's are. */
static void decoder_backward(struct t5_run *run, const struct t5_gradients *g, float *gradients,
                             const struct model_watermark *watermark)
{
    struct t5 *t5 = t5_of(run->common.model);
    struct queue *q = t5->common.queue;
    const int64_t m = run->common.reply_tokens, d = t5->shape->common.width;
    q->op->zero(q, g->ddecoder_bias, g->bias_bytes[1]);
    const real *dnorm = run->common.dhead_input;
    if (t5->shape->scale_logits) {
        q->op->scale(q, g->dnorm, dnorm, (float)pow((double)d, -0.5), m * d);
        dnorm = g->dnorm;
    }
    norm_backward(t5, t5->decoder.final_norm, dnorm, run->decoder[t5->decoder.layers - 1].x_out,
                  run->decoder_inverse, g->dx, false, m, gradients);
    watermark_ready(watermark, t5->decoder.final_norm);
    for (int64_t i = t5->decoder.layers - 1; i >= 0; i--) {
        const struct t5_layer *layer = &t5->decoder.layer[i];
        const struct t5_activations *a = &run->decoder[i];
        if (run->common.keep == MODEL_KEEP_INPUTS) t5_recompute_decoder_layer(run, i);
        feed_forward_backward(t5, layer, a, g, m, gradients);
        cross_backward(run, layer, a, g, gradients);
        self_backward(run, true, i, g, gradients);
        if (i == 0)
            bias_backward(t5, &t5->decoder, g->ddecoder_bias, run->common.longest_reply, gradients);
        watermark_ready(watermark, layer->linear[SELF_QKV].offset);
    }
    embedding_backward(t5, g->dx, run->input_ids, m, gradients);
}

static void encoder_backward(struct t5_run *run, const struct t5_gradients *g, float *gradients,
                             const struct model_watermark *watermark)
{
    struct t5 *t5 = t5_of(run->common.model);
    struct queue *q = t5->common.queue;
    const struct t5_shape *s = t5->shape;
    int64_t n = run->common.history_tokens;
    q->op->zero(q, g->dencoder_bias, g->bias_bytes[0]);
    norm_backward(t5, t5->encoder.final_norm, g->dencoder,
                  run->encoder[s->encoder_layers - 1].x_out, run->encoder_inverse, g->dx, false, n,
                  gradients);
    watermark_ready(watermark, t5->encoder.final_norm);
    for (int64_t i = s->encoder_layers - 1; i >= 0; i--) {
        const struct t5_layer *layer = &t5->encoder.layer[i];
        const struct t5_activations *a = &run->encoder[i];
        if (run->common.keep == MODEL_KEEP_INPUTS) t5_recompute_encoder_layer(run, i);
        feed_forward_backward(t5, layer, a, g, n, gradients);
        self_backward(run, false, i, g, gradients);
        if (i == 0)
            bias_backward(t5, &t5->encoder, g->dencoder_bias, run->common.longest_history,
                          gradients);
        watermark_ready(watermark, layer->linear[SELF_QKV].offset);
    }
    embedding_backward(t5, g->dx, run->history_ids, n, gradients);
}

void t5_backward(struct model_run *common, bool replies, const real *dhidden, float *gradients,
                 const struct model_watermark *watermark)
{
    struct t5_run *run = t5_run_of(common);
    const struct t5_gradients *g = &run->gradients;
    struct queue *q = common->model->queue;
    const size_t bytes =
        (size_t)(common->hidden_rows * common->model->shape->width) * q->real_bytes;
    if (dhidden)
        q->op->copy(q, g->dencoder, dhidden, bytes);
    else
        q->op->zero(q, g->dencoder, bytes);
    if (replies) decoder_backward(run, g, gradients, watermark);
    t5_summaries_backward(run, g->dencoder, gradients);
    encoder_backward(run, g, gradients, watermark);
}
