/* Teacher-forced forward pass over packed batches: encoder, decoder, capture. */
#include "src/model/t5_parts.h"

struct attention t5_run_self_attention(const struct model_run *run, bool decoder,
                                       const struct t5_activations *a)
{
    const struct model_shape *s = &run->model->shape;
    const struct queue *q = run->model->queue;
    int64_t inner = s->heads * s->d_kv;
    const int32_t *begin = decoder ? run->reply_begin : run->history_begin;
    return (struct attention){
        .segments = decoder ? run->replies : run->histories,
        .heads = s->heads,
        .head_dim = s->d_kv,
        .query_rows = decoder ? run->reply_tokens : run->history_tokens,
        .query_begin = begin,
        .key_begin = begin,
        .key_end = begin + 1,
        .q = a->qkv,
        .k = real_at(q, a->qkv, inner),
        .v = real_at(q, a->qkv, 2 * inner),
        .q_stride = 3 * inner,
        .k_stride = 3 * inner,
        .v_stride = 3 * inner,
        .bias = decoder ? run->decoder_bias : run->encoder_bias,
        .bias_span = decoder ? run->longest_reply : run->longest_history,
        .causal = decoder,
        .out = a->self_out,
        .lse = a->self_lse,
    };
}

struct attention t5_run_cross_attention(const struct model_run *run, const struct t5_activations *a)
{
    const struct model_shape *s = &run->model->shape;
    int64_t inner = s->heads * s->d_kv;
    return (struct attention){
        .segments = run->replies,
        .heads = s->heads,
        .head_dim = s->d_kv,
        .query_rows = run->reply_tokens,
        .query_begin = run->reply_begin,
        .key_begin = run->cross_begin,
        .key_end = run->cross_end,
        .q = a->cross_q,
        .k = a->cross_kv,
        .v = real_at(run->model->queue, a->cross_kv, inner),
        .q_stride = inner,
        .k_stride = 2 * inner,
        .v_stride = 2 * inner,
        .out = a->cross_out,
        .lse = a->cross_lse,
    };
}

void t5_run_encoder_layer(struct model_run *run, int64_t index, bool again)
{
    struct model *model = run->model;
    const struct t5_activations *a = &run->encoder[index];
    const struct t5_layer *layer = &model->encoder.layer[index];
    const int64_t n = run->history_tokens;
    t5_layer_self_project(model, layer, a, n);
    struct attention self = t5_run_self_attention(run, false, a);
    model->queue->op->attention(model->queue, &self);
    t5_layer_self_close(model, layer, a, n);
    (again ? t5_layer_inner : t5_layer_feed_forward)(model, layer, a, n);
}

void t5_run_decoder_layer(struct model_run *run, int64_t index, bool again)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    const struct model_shape *s = &model->shape;
    const struct t5_activations *a = &run->decoder[index];
    const struct t5_layer *layer = &model->decoder.layer[index];
    const int64_t m = run->reply_tokens, stride = run->longest_history;
    const int64_t first_captured = s->decoder_layers - run->capture_layers;
    t5_layer_self_project(model, layer, a, m);
    struct attention self = t5_run_self_attention(run, true, a);
    q->op->attention(q, &self);
    t5_layer_self_close(model, layer, a, m);
    t5_layer_cross_project(model, layer, a, m);
    q->op->matmul(q, a->cross_kv, run->encoder_output, layer->matrix[CROSS_KV].packed,
                  run->history_tokens, false);
    struct attention cross = t5_run_cross_attention(run, a);
    cross.capture_stride = stride;
    if (!again && index >= first_captured) {
        cross.capture = run->capture;
        cross.capture_accumulate = index > first_captured;
    }
    if (!again && run->maps) cross.maps = run->maps + index * s->heads * m * stride;
    q->op->attention(q, &cross);
    t5_layer_cross_close(model, layer, a, m);
    (again ? t5_layer_inner : t5_layer_feed_forward)(model, layer, a, m);
}

static void encode(struct model_run *run)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    const struct model_shape *s = &model->shape;
    const float *weights = model->parameters.values;
    int64_t n = run->history_tokens;
    t5_relative_bias(model, &model->encoder, run->encoder_bias, run->longest_history);
    q->op->embedding(q, run->encoder[0].x_in, weights + model->shared, run->history_ids, n,
                     s->d_model);
    for (int64_t i = 0; i < s->encoder_layers; i++) t5_run_encoder_layer(run, i, false);
    q->op->rmsnorm(q, run->encoder_output, run->encoder_inverse,
                   run->encoder[s->encoder_layers - 1].x_out, weights + model->encoder.final_norm,
                   n, s->d_model, s->eps);
}

/* Up to what the head reads. */
static void decode(struct model_run *run)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    const struct model_shape *s = &model->shape;
    int64_t m = run->reply_tokens;
    t5_relative_bias(model, &model->decoder, run->decoder_bias, run->longest_reply);
    if (run->capture)
        q->op->zero(q, run->capture, (size_t)(m * run->longest_history) * sizeof(float));
    q->op->embedding(q, run->decoder[0].x_in, model->parameters.values + model->shared,
                     run->input_ids, m, s->d_model);
    for (int64_t i = 0; i < s->decoder_layers; i++) t5_run_decoder_layer(run, i, false);
    t5_head_input(model, run->decoder[s->decoder_layers - 1].x_out, run->decoder_output,
                  run->decoder_inverse, run->scaled, m);
}

status model_forward(struct model_run *run, const struct model_batch *batch, enum model_keep keep,
                     int64_t capture_layers)
{
    struct model *model = run->model;
    run->done = false;
    if (keep && !model->with_gradients)
        FAIL(STATUS_INTERNAL, "activations kept for a model created without gradients");
    if (capture_layers < 0 || capture_layers > model->shape.decoder_layers)
        FAIL(STATUS_INPUT, "attention of the last %lld layers asked of a decoder with %lld",
             (long long)capture_layers, (long long)model->shape.decoder_layers);
    TRY(t5_run_begin(run, batch, keep, capture_layers));
    encode(run);
    if (run->replies > 0) decode(run);
    run->done = true;
    return NULL;
}
