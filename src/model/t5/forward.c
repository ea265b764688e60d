#include "src/model/t5/forward.h"

#include "src/base/memory.h"
#include "src/model/t5/layer.h"
#include "src/model/t5/pool.h"
#include "src/model/t5/summary.h"

#include <stdlib.h>
#include <string.h>

void t5_run_create(struct model_run *run)
{
    struct t5_run *r = t5_run_of(run);
    const struct t5 *t5 = t5_of(run->model);
    r->encoder = memory_allocate((size_t)(t5->encoder.layers + 1) * sizeof *r->encoder);
    r->decoder = memory_allocate((size_t)(t5->decoder.layers + 1) * sizeof *r->decoder);
}

void t5_run_release(struct model_run *run)
{
    free(t5_run_of(run)->encoder);
    free(t5_run_of(run)->decoder);
    free(t5_run_of(run)->summaries);
}

void t5_run_place_integers(struct model_run *common, struct workspace *workspace)
{
    struct t5_run *run = t5_run_of(common);
    run->history_ids = workspace_ints(workspace, common->history_tokens);
    t5_summaries_place_integers(run, workspace);
    run->reply_begin = workspace_ints(workspace, common->replies + 1);
    run->input_ids = workspace_ints(workspace, common->reply_tokens);
    run->cross_begin = workspace_ints(workspace, common->replies);
    run->cross_end = workspace_ints(workspace, common->replies);
}

void t5_run_fill_integers(const struct model_run *common, const struct model_batch *batch)
{
    const struct t5_run *run = (const struct t5_run *)common;
    const size_t word = sizeof(int32_t);
    memcpy(run->history_ids, batch->history_tokens,
           (size_t)batch->history_begin[batch->histories] * word);
    t5_summaries_fill(run, batch);
    if (common->replies == 0) return;
    memcpy(run->reply_begin, batch->reply_begin, (size_t)(common->replies + 1) * word);
    for (int64_t r = 0; r < common->replies; r++) {
        const int32_t begin = batch->reply_begin[r], end = batch->reply_begin[r + 1];
        run->input_ids[begin] = common->model->shape->start;
        for (int32_t t = begin + 1; t < end; t++) run->input_ids[t] = batch->reply_tokens[t - 1];
        run->cross_begin[r] = batch->history_begin[batch->reply_history[r]];
        run->cross_end[r] = batch->history_begin[batch->reply_history[r] + 1];
    }
}

/* The layers of both stacks.  Unless every layer's activations are kept, encoder and decoder are
 * never at work together and take the same memory in turn. */
static void place_layers(struct t5_run *run, const struct t5_shape *s, struct workspace *workspace)
{
    const enum model_keep keep = run->common.keep;
    const int64_t n = run->common.history_tokens, m = run->common.reply_tokens;
    const int64_t encoder = s->encoder_layers, decoder = s->common.layers;
    t5_place_inputs(workspace, s, encoder, n, keep, run->encoder);
    if (m > 0) t5_place_inputs(workspace, s, decoder, m, keep, run->decoder);
    const size_t begin = workspace->used;
    t5_place_layers(workspace, s, false, encoder, n, 0, keep, run->encoder);
    if (m == 0) return;
    const size_t end = workspace->used;
    if (keep != MODEL_KEEP_ALL) workspace->used = begin;
    t5_place_layers(workspace, s, true, decoder, m, n, keep, run->decoder);
    if (workspace->used < end) workspace->used = end;
}

static void place_gradients(struct t5_run *run, const struct t5_shape *s,
                            struct workspace *workspace)
{
    const int64_t n = run->common.history_tokens, m = run->common.reply_tokens;
    const int64_t rows = n > m ? n : m, d = s->common.width, inner = s->common.heads * s->d_kv;
    const int64_t encoder_bias = s->common.heads * (2 * run->common.longest_history - 1);
    const int64_t decoder_bias = m > 0 ? s->common.heads * (2 * run->common.longest_reply - 1) : 0;
    struct t5_gradients *g = &run->gradients;
    g->dx = workspace_reals(workspace, rows * d);
    g->dnorm = workspace_reals(workspace, rows * d);
    g->dout = workspace_reals(workspace, rows * inner);
    g->dqkv = workspace_reals(workspace, rows * 3 * inner);
    g->dinner = workspace_reals(workspace, rows * s->d_ff);
    g->dwi = workspace_reals(workspace, rows * s->d_ff * (s->gated ? 2 : 1));
    g->dcross_kv = workspace_reals(workspace, n * 2 * inner);
    g->dencoder = workspace_reals(workspace, n * d);
    g->dencoder_bias = workspace_floats(workspace, encoder_bias);
    g->ddecoder_bias = workspace_floats(workspace, decoder_bias);
    g->bias_bytes[0] = (size_t)encoder_bias * sizeof(float);
    g->bias_bytes[1] = (size_t)decoder_bias * sizeof(float);
}

void t5_run_place(struct model_run *common, struct workspace *workspace)
{
    struct t5_run *run = t5_run_of(common);
    const struct t5_shape *s = t5_of(common->model)->shape;
    const int64_t n = common->history_tokens, m = common->reply_tokens, d = s->common.width;
    run->encoder_bias =
        workspace_floats(workspace, s->common.heads * (2 * common->longest_history - 1));
    run->encoder_inverse = workspace_floats(workspace, n);
    common->hidden = workspace_reals(workspace, n * d);
    t5_pool_place(run, workspace);
    place_layers(run, s, workspace);
    if (common->keep) place_gradients(run, s, workspace);
    if (m == 0) return;
    run->decoder_bias =
        workspace_floats(workspace, s->common.heads * (2 * common->longest_reply - 1));
    run->decoder_inverse = workspace_floats(workspace, m);
    run->decoder_output = workspace_reals(workspace, m * d);
    common->head_input = s->scale_logits ? workspace_reals(workspace, m * d) : run->decoder_output;
}

struct attention t5_self_attention(const struct t5_run *run, bool decoder,
                                   const struct t5_activations *a)
{
    const struct model_run *common = &run->common;
    const struct t5_shape *s = t5_of(common->model)->shape;
    const struct queue *q = common->model->queue;
    int64_t inner = s->common.heads * s->d_kv;
    const int32_t *begin = decoder ? run->reply_begin : run->encoder_begin;
    return (struct attention){
        .segments = decoder ? common->replies : run->encoder_segments,
        .heads = s->common.heads,
        .kv_heads = s->common.heads,
        .head_dim = s->d_kv,
        .scale = 1.0f,
        .query_rows = decoder ? common->reply_tokens : common->history_tokens,
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
        .bias_span = decoder ? common->longest_reply : common->longest_history,
        .causal = decoder,
        .out = a->self_out,
        .lse = a->self_lse,
    };
}

struct attention t5_cross_attention(const struct t5_run *run, const struct t5_activations *a)
{
    const struct model_run *common = &run->common;
    const struct t5_shape *s = t5_of(common->model)->shape;
    int64_t inner = s->common.heads * s->d_kv;
    return (struct attention){
        .segments = common->replies,
        .heads = s->common.heads,
        .kv_heads = s->common.heads,
        .head_dim = s->d_kv,
        .scale = 1.0f,
        .query_rows = common->reply_tokens,
        .query_begin = run->reply_begin,
        .key_begin = run->cross_begin,
        .key_end = run->cross_end,
        .q = a->cross_q,
        .k = a->cross_kv,
        .v = real_at(common->model->queue, a->cross_kv, inner),
        .q_stride = inner,
        .k_stride = 2 * inner,
        .v_stride = 2 * inner,
        .out = a->cross_out,
        .lse = a->cross_lse,
    };
}

static void encoder_layer(struct t5_run *run, int64_t index, bool recompute)
{
    struct t5 *t5 = t5_of(run->common.model);
    struct queue *q = t5->common.queue;
    const struct t5_activations *a = &run->encoder[index];
    const struct t5_layer *layer = &t5->encoder.layer[index];
    const int64_t n = run->common.history_tokens;
    t5_layer_self_project(t5, layer, a, n);
    struct attention self = t5_self_attention(run, false, a);
    const int64_t watched = watched_layer(&run->common, index, t5->encoder.layers);
    if (!recompute && watched >= 0 && run->common.watch->forward)
        run->common.watch->forward(run->common.watch->context, watched, &self);
    q->op->attention(q, &self);
    t5_layer_self_close(t5, layer, a, n);
    (recompute ? t5_layer_inner : t5_layer_feed_forward)(t5, layer, a, n);
}

static void decoder_layer(struct t5_run *run, int64_t index, bool recompute)
{
    const struct model_run *common = &run->common;
    struct t5 *t5 = t5_of(common->model);
    struct queue *q = t5->common.queue;
    const struct model_shape *s = t5->common.shape;
    const struct t5_activations *a = &run->decoder[index];
    const struct t5_layer *layer = &t5->decoder.layer[index];
    const int64_t m = common->reply_tokens, stride = common->captured_keys;
    const int64_t first_captured = s->layers - common->capture_layers;
    t5_layer_self_project(t5, layer, a, m);
    struct attention self = t5_self_attention(run, true, a);
    if (!recompute && index >= first_captured && common->self_capture) {
        self.capture = common->self_capture;
        self.capture_stride = common->longest_reply;
        self.capture_accumulate = index > first_captured;
    }
    q->op->attention(q, &self);
    t5_layer_self_close(t5, layer, a, m);
    t5_layer_cross_project(t5, layer, a, m);
    linear_forward(q, &layer->linear[CROSS_KV], a->cross_kv, common->hidden, common->hidden_rows);
    struct attention cross = t5_cross_attention(run, a);
    cross.capture_stride = stride;
    if (!recompute && index >= first_captured) {
        cross.capture = common->capture;
        cross.capture_accumulate = index > first_captured;
    }
    struct head_statistics statistics;
    if (!recompute) cross.statistics = layer_statistics(common->statistics, index, &statistics);
    if (!recompute && common->maps) cross.maps = common->maps + index * s->heads * m * stride;
    q->op->attention(q, &cross);
    t5_layer_cross_close(t5, layer, a, m);
    (recompute ? t5_layer_inner : t5_layer_feed_forward)(t5, layer, a, m);
}

void t5_recompute_encoder_layer(struct t5_run *run, int64_t index)
{
    encoder_layer(run, index, true);
}

void t5_recompute_decoder_layer(struct t5_run *run, int64_t index)
{
    decoder_layer(run, index, true);
}

static void encode(struct t5_run *run)
{
    struct t5 *t5 = t5_of(run->common.model);
    struct queue *q = t5->common.queue;
    const int64_t n = run->common.history_tokens;
    const int64_t layers = run_layers(&run->common, t5->encoder.layers);
    t5_relative_bias(t5, &t5->encoder, run->encoder_bias, run->common.longest_history);
    q->op->embedding(q, run->encoder[0].x_in, t5->common.parameters.values + t5->common.embedding,
                     run->history_ids, n, t5->shape->common.width);
    for (int64_t i = 0; i < layers; i++) encoder_layer(run, i, false);
    t5_norm(t5, run->common.hidden, run->encoder_inverse,
            layers ? run->encoder[layers - 1].x_out : run->encoder[0].x_in, t5->encoder.final_norm,
            n);
    t5_summaries_forward(run);
}

static void decode(struct t5_run *run)
{
    struct t5 *t5 = t5_of(run->common.model);
    struct queue *q = t5->common.queue;
    const int64_t m = run->common.reply_tokens, layers = t5->decoder.layers;
    t5_relative_bias(t5, &t5->decoder, run->decoder_bias, run->common.longest_reply);
    q->op->embedding(q, run->decoder[0].x_in, t5->common.parameters.values + t5->common.embedding,
                     run->input_ids, m, t5->shape->common.width);
    for (int64_t i = 0; i < layers; i++) decoder_layer(run, i, false);
    t5_head_input(t5, run->decoder[layers - 1].x_out, run->decoder_output, run->decoder_inverse,
                  run->common.head_input, m);
}

void t5_forward(struct model_run *run)
{
    encode(t5_run_of(run));
    if (run->replies > 0) decode(t5_run_of(run));
}
