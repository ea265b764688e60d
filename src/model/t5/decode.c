#include "src/model/t5/decode.h"

#include "src/base/memory.h"
#include "src/model/run.h"
#include "src/model/t5/layer.h"

#include <stdlib.h>

status t5_decoder_create(struct model_decoder *common)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    const size_t layers = (size_t)common->model->shape->layers;
    decoder->caches.kind = MEMORY_CACHES;
    decoder->layer = memory_allocate(layers * sizeof(struct t5_activations));
    return model_run_create(common->model, &decoder->run);
}

void t5_decoder_release(struct model_decoder *common)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    model_run_destroy(decoder->run);
    buffer_release(common->model->queue, &decoder->caches);
    free(decoder->layer);
}

void t5_decoder_place(struct model_decoder *common, struct workspace *workspace)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    const struct t5_shape *s = t5_of(common->model)->shape;
    const int64_t rows = common->limits.rows, layers = s->common.layers, d = s->common.width;
    decoder->bias = workspace_floats(workspace, s->common.heads * (2 * common->limits.steps - 1));
    t5_place_inputs(workspace, s, layers, rows, MODEL_KEEP_NOTHING, decoder->layer);
    t5_place_layers(workspace, s, true, layers, rows, 0, MODEL_KEEP_NOTHING, decoder->layer);
    decoder->normed = workspace_reals(workspace, rows * d);
    decoder->scaled = s->scale_logits ? workspace_reals(workspace, rows * d) : decoder->normed;
}

void t5_decoder_place_integers(struct model_decoder *common, struct workspace *workspace)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    const int64_t rows = common->limits.rows;
    decoder->self_key_begin = workspace_ints(workspace, rows);
    decoder->self_key_end = workspace_ints(workspace, rows);
    decoder->cross_query_begin = workspace_ints(workspace, rows + 1);
    decoder->cross_key_begin = workspace_ints(workspace, rows);
    decoder->cross_key_end = workspace_ints(workspace, rows);
}

void t5_decoder_fill_integers(struct model_decoder *common)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    const int32_t stride = (int32_t)common->limits.steps;
    int64_t segments = 0;
    for (int64_t r = 0; r < common->rows; r++) {
        const int32_t history = common->host_history[r];
        decoder->self_key_begin[r] = common->host_slot[r] * stride;
        decoder->self_key_end[r] = decoder->self_key_begin[r] + (int32_t)common->steps;
        if (r > 0 && history == common->host_history[r - 1]) continue;
        decoder->cross_query_begin[segments] = (int32_t)r;
        decoder->cross_key_begin[segments] = common->host_begin[history];
        decoder->cross_key_end[segments] = common->host_begin[history + 1];
        segments++;
    }
    /* Where steps are recorded, few numbers of segments are told apart: the last ones have no
     * rows. */
    common->segments = common->model->queue->op->graph_begin ? size_bucket(segments) : segments;
    for (int64_t s = segments; s <= common->segments; s++)
        decoder->cross_query_begin[s] = (int32_t)common->rows;
}

static void place_caches(struct model_decoder *common, struct workspace *workspace)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    const struct t5_shape *s = t5_of(common->model)->shape;
    const struct model_decoder_limits *limits = &common->limits;
    const int64_t token = s->common.layers * 2 * s->common.heads * s->d_kv;
    decoder->cross_kv = workspace_reals(workspace, token * limits->history_tokens);
    decoder->cache = workspace_reals(workspace, token * limits->rows * limits->steps);
}

status t5_decoder_reserve(struct model_decoder *common, const struct model_decoder_limits *limits)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    const struct model_limits encoder = {.histories = limits->histories,
                                         .history_tokens = limits->history_tokens,
                                         .longest_history = limits->longest_history,
                                         .summary_slots = limits->summary_slots,
                                         .capture_layers = limits->capture_layers};
    TRY(model_run_reserve(decoder->run, &encoder));
    return decoder_place_in(common, &decoder->caches, place_caches);
}

static real *layer_cross_kv(const struct t5_decoder *decoder, int64_t layer)
{
    const struct model_decoder *common = &decoder->common;
    const struct t5_shape *s = t5_of(common->model)->shape;
    return real_at(common->model->queue, decoder->cross_kv,
                   layer * common->limits.history_tokens * 2 * s->common.heads * s->d_kv);
}

status t5_decoder_begin(struct model_decoder *common, const struct model_batch *batch)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    struct t5 *t5 = t5_of(common->model);
    const struct model_batch histories = {.histories = batch->histories,
                                          .history_begin = batch->history_begin,
                                          .history_tokens = batch->history_tokens,
                                          .cut_begin = batch->cut_begin,
                                          .cuts = batch->cuts};
    const int64_t tokens = batch->history_begin[batch->histories];
    TRY(model_forward(decoder->run, &histories, MODEL_KEEP_NOTHING, common->capture_layers));
    TRY(decoder_place_in(common, &decoder->caches, place_caches));
    common->counts.prefilled += model_run_tokens(decoder->run);
    t5_relative_bias(t5, &t5->decoder, decoder->bias, common->limits.steps);
    for (int64_t i = 0; i < t5->decoder.layers; i++)
        linear_forward(t5->common.queue, &t5->decoder.layer[i].linear[CROSS_KV],
                       layer_cross_kv(decoder, i), model_run_hidden(decoder->run), tokens);
    return NULL;
}

/* One query a row, standing behind its cached keys. */
static void self_attention(struct t5_decoder *decoder, int64_t index,
                           const struct t5_activations *a)
{
    const struct model_decoder *common = &decoder->common;
    struct queue *q = common->model->queue;
    const struct t5_shape *s = t5_of(common->model)->shape;
    int64_t inner = s->common.heads * s->d_kv;
    int64_t slot_stride = common->limits.steps * 2 * inner;
    real *cache = real_at(q, decoder->cache, index * common->limits.rows * slot_stride);
    q->op->cache_append(q, cache, slot_stride, common->slot, common->step,
                        real_at(q, a->qkv, inner), 3 * inner, common->rows, 2 * inner,
                        q->real_bytes);
    struct attention attention = {
        .segments = common->rows,
        .heads = s->common.heads,
        .kv_heads = s->common.heads,
        .head_dim = s->d_kv,
        .scale = 1.0f,
        .query_rows = common->rows,
        .query_begin = common->query_begin,
        .key_begin = decoder->self_key_begin,
        .key_end = decoder->self_key_end,
        .q = a->qkv,
        .k = cache,
        .v = real_at(q, cache, inner),
        .q_stride = 3 * inner,
        .k_stride = 2 * inner,
        .v_stride = 2 * inner,
        .bias = decoder->bias,
        .bias_span = common->limits.steps,
        .causal = true,
        .out = a->self_out,
    };
    q->op->attention(q, &attention);
}

/* Rows side by side of one history are one segment: its keys are read once for all. */
static void cross_attention(struct t5_decoder *decoder, int64_t index,
                            const struct t5_activations *a)
{
    const struct model_decoder *common = &decoder->common;
    struct queue *q = common->model->queue;
    const struct t5_shape *s = t5_of(common->model)->shape;
    int64_t inner = s->common.heads * s->d_kv, first = s->common.layers - common->capture_layers;
    const real *kv = layer_cross_kv(decoder, index);
    struct head_statistics statistics;
    struct attention attention = {
        .segments = common->segments,
        .heads = s->common.heads,
        .kv_heads = s->common.heads,
        .head_dim = s->d_kv,
        .scale = 1.0f,
        .query_rows = common->rows,
        .query_begin = decoder->cross_query_begin,
        .key_begin = decoder->cross_key_begin,
        .key_end = decoder->cross_key_end,
        .q = a->cross_q,
        .k = kv,
        .v = real_at(q, kv, inner),
        .q_stride = inner,
        .k_stride = 2 * inner,
        .v_stride = 2 * inner,
        .out = a->cross_out,
        .capture = index >= first ? common->capture : NULL,
        .capture_stride = decoder_capture_stride(common),
        .capture_accumulate = index > first,
        .statistics = layer_statistics(common->statistics, index, &statistics),
    };
    q->op->attention(q, &attention);
}

void t5_decoder_step(struct model_decoder *common)
{
    struct t5_decoder *decoder = t5_decoder_of(common);
    struct t5 *t5 = t5_of(common->model);
    struct queue *q = t5->common.queue;
    const int64_t rows = common->rows;
    q->op->advance(q, decoder->self_key_end, 1, rows, 1);
    q->op->embedding(q, decoder->layer[0].x_in, t5->common.parameters.values + t5->common.embedding,
                     common->input, rows, t5->shape->common.width);
    for (int64_t i = 0; i < t5->decoder.layers; i++) {
        const struct t5_activations *a = &decoder->layer[i];
        const struct t5_layer *layer = &t5->decoder.layer[i];
        t5_layer_self_project(t5, layer, a, rows);
        self_attention(decoder, i, a);
        t5_layer_self_close(t5, layer, a, rows);
        t5_layer_cross_project(t5, layer, a, rows);
        cross_attention(decoder, i, a);
        t5_layer_cross_close(t5, layer, a, rows);
        t5_layer_feed_forward(t5, layer, a, rows);
    }
    t5_head_input(t5, decoder->layer[0].x_out, decoder->normed, NULL, decoder->scaled, rows);
    linear_forward_float(q, &t5->common.head, common->logits, decoder->scaled, rows, false);
}
