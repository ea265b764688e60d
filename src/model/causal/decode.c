/* Decode steps of a decoder-only model, and which rows of the store a batch has; see decode.h. */
#include "src/model/causal/decode.h"

#include "src/base/memory.h"
#include "src/model/causal/forward.h"
#include "src/model/causal/layer.h"

#include <stdlib.h>
#include <string.h>

status causal_decoder_create(struct model_decoder *common)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    const size_t layers = (size_t)common->model->shape->layers;
    decoder->store.kind = MEMORY_CACHES;
    decoder->layer = memory_allocate(layers * sizeof *decoder->layer);
    decoder->prefixes = prefix_cache_create();
    return NULL;
}

void causal_decoder_release(struct model_decoder *common)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    struct queue *q = common->model->queue;
    q->op->mark_wait(q, MARK_BATCH);
    buffer_release(q, &decoder->store);
    buffer_release(q, &decoder->prefill_integers);
    host_buffer_release(q, &decoder->prefill_image);
    prefix_cache_destroy(decoder->prefixes);
    forest_free(&decoder->forest);
    free(decoder->layer);
    free(decoder->node);
    free(decoder->fresh);
    free(decoder->leaf);
    free(decoder->last_token);
    free(decoder->own);
    free(decoder->slot_history);
}

void causal_decoder_place(struct model_decoder *common, struct workspace *workspace)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    const struct causal_shape *s = causal_of(common->model)->shape;
    const int64_t chunk = causal_prefill_chunk(&common->limits);
    const int64_t rows = common->limits.rows > chunk ? common->limits.rows : chunk;
    causal_place_inputs(workspace, s, rows, MODEL_KEEP_NOTHING, decoder->layer);
    causal_place_layers(workspace, s, rows, MODEL_KEEP_NOTHING, decoder->layer);
    decoder->normed = workspace_reals(workspace, common->limits.rows * s->common.width);
}

/* A row's ranges: as many as the longest path has, and its own. */
static int64_t ranges_a_row(const struct model_decoder *common)
{
    return common->limits.cuts + 2;
}

void causal_decoder_place_integers(struct model_decoder *common, struct workspace *workspace)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    const int64_t rows = common->limits.rows;
    decoder->row = workspace_ints(workspace, 2 * rows);
    decoder->position = decoder->row ? decoder->row + rows : NULL;
    decoder->zero = workspace_ints(workspace, rows);
    decoder->range_begin = workspace_ints(workspace, rows + 1);
    decoder->key_begin = workspace_ints(workspace, rows * ranges_a_row(common));
    decoder->key_end = workspace_ints(workspace, rows * ranges_a_row(common));
}

/* The ranges of the path that ends at the forest's node `leaf`, from range `at` on. */
static void path_fill(const struct causal_decoder *decoder, int64_t leaf, int64_t at)
{
    if (leaf < 0) return;
    int64_t node = decoder->node[leaf];
    for (int64_t r = at + decoder->forest.nodes[leaf].depth; r >= at; r--) {
        const int64_t first = prefix_cache_first(decoder->prefixes, node);
        decoder->key_begin[r] = (int32_t)first;
        decoder->key_end[r] = (int32_t)(first + prefix_cache_count(decoder->prefixes, node));
        node = prefix_cache_parent(decoder->prefixes, node);
    }
}

/* Ranges that a short path leaves over are empty. */
void causal_decoder_fill_integers(struct model_decoder *common)
{
    const struct causal_decoder *decoder = causal_decoder_of(common);
    const int64_t ranges = ranges_a_row(common);
    for (int64_t r = 0; r < common->rows; r++) {
        const int32_t history = common->host_history[r];
        const int64_t first = decoder->own[common->host_slot[r]];
        const int64_t tokens = common->host_begin[history + 1] - common->host_begin[history];
        const int64_t own = (r + 1) * ranges - 1;
        common->input[r] = decoder->last_token[history];
        decoder->row[r] = (int32_t)(first + common->steps - 1);
        decoder->position[r] = (int32_t)(tokens - 1 + common->steps - 1);
        decoder->range_begin[r] = (int32_t)(r * ranges);
        path_fill(decoder, decoder->leaf[history], r * ranges);
        decoder->key_begin[own] = (int32_t)first;
        decoder->key_end[own] = (int32_t)(first + common->steps);
    }
    decoder->range_begin[common->rows] = (int32_t)(common->rows * ranges);
}

/* Elements of a row of the store: a token's keys and values of one layer. */
static int64_t store_width(const struct causal_decoder *decoder)
{
    const struct causal_shape *s = causal_of(decoder->common.model)->shape;
    return 2 * s->kv_heads * s->head_dim;
}

/* At least `need` rows.  What it held is forgotten when it grows. */
static status store_make(struct causal_decoder *decoder, int64_t need, int64_t asked)
{
    struct queue *q = decoder->common.model->queue;
    const int64_t most = asked ? asked : 2 * need, rows = most < need ? need : most;
    const int64_t layers = decoder->common.model->shape->layers;
    const int64_t now = prefix_cache_rows(decoder->prefixes);
    if (now >= need && now >= asked) return NULL;
    if (rows > INT32_MAX)
        FAIL(STATUS_INPUT, "%lld tokens are more than a decoder can hold", (long long)rows);
    TRY(buffer_reserve(q, &decoder->store,
                       (size_t)(layers * rows * store_width(decoder)) * q->real_bytes));
    prefix_cache_clear(decoder->prefixes, rows);
    decoder->common.layout++;
    return NULL;
}

status causal_decoder_reserve(struct model_decoder *common,
                              const struct model_decoder_limits *limits)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    TRY(store_make(decoder, limits->history_tokens + limits->rows * limits->steps,
                   limits->cache_tokens));
    return causal_prefill_reserve(decoder, limits);
}

static status tokens_check(const struct model_decoder *common, const struct model_batch *batch)
{
    const struct causal_shape *s = causal_of(common->model)->shape;
    for (int64_t h = 0; h < batch->histories; h++)
        for (int64_t t = batch->history_begin[h]; t < batch->history_begin[h + 1]; t++)
            if (batch->history_tokens[t] < 0 || batch->history_tokens[t] >= s->common.vocabulary)
                FAIL(STATUS_INPUT,
                     "history %lld of the batch: token %d is outside the vocabulary of %lld",
                     (long long)h, batch->history_tokens[t], (long long)s->common.vocabulary);
    for (int64_t r = 0; r < common->rows; r++) {
        const int32_t h = common->host_history[r];
        const int64_t tokens = batch->history_begin[h + 1] - batch->history_begin[h];
        TRY(causal_context_check(s, tokens + common->max_steps - 1));
    }
    return NULL;
}

/* The batch's histories, without their last tokens, as a forest. */
static void forest_make(struct causal_decoder *decoder, const struct model_batch *batch)
{
    const size_t histories = (size_t)batch->histories;
    decoder->leaf = memory_resize(decoder->leaf, histories * sizeof *decoder->leaf);
    decoder->last_token =
        memory_resize(decoder->last_token, histories * sizeof *decoder->last_token);
    forest_clear(&decoder->forest);
    for (int64_t h = 0; h < batch->histories; h++) {
        const int32_t begin = batch->history_begin[h], last = batch->history_begin[h + 1] - 1;
        const int32_t cut = batch->cut_begin ? batch->cut_begin[h] : 0;
        const int32_t cut_end = batch->cut_begin ? batch->cut_begin[h + 1] : 0;
        decoder->leaf[h] = forest_add(&decoder->forest, batch->history_tokens + begin, last - begin,
                                      batch->cuts + cut, cut_end - cut);
        decoder->last_token[h] = batch->history_tokens[last];
    }
    const size_t nodes = (size_t)decoder->forest.count + 1;
    decoder->node = memory_resize(decoder->node, nodes * sizeof *decoder->node);
    decoder->fresh = memory_resize(decoder->fresh, nodes * sizeof *decoder->fresh);
}

/* A node's parent in prefixes. */
static int64_t parent_of(const struct causal_decoder *decoder, const struct forest_node *node)
{
    return node->parent < 0 ? PREFIX_ROOT : decoder->node[node->parent];
}

/* Rows of the store for the forest and for the rows' own keys.  What is there already is found
 * first, lest it be forgotten for the rest.  False: free rows are too scattered. */
static bool rows_assign(struct causal_decoder *decoder)
{
    struct prefix_cache *prefixes = decoder->prefixes;
    const struct forest *forest = &decoder->forest;
    prefix_cache_begin(prefixes);
    decoder->fresh_count = 0;
    for (int64_t i = 0; i < forest->count; i++) {
        const struct forest_node *node = &forest->nodes[i];
        const int64_t parent = parent_of(decoder, node);
        decoder->node[i] = parent == PREFIX_NONE
                               ? PREFIX_NONE
                               : prefix_cache_find(prefixes, parent, node->tokens, node->count);
        if (decoder->node[i] == PREFIX_NONE) decoder->fresh[decoder->fresh_count++] = i;
    }
    for (int64_t f = 0; f < decoder->fresh_count; f++) {
        const int64_t i = decoder->fresh[f];
        const struct forest_node *node = &forest->nodes[i];
        decoder->node[i] =
            prefix_cache_add(prefixes, parent_of(decoder, node), node->tokens, node->count);
        if (decoder->node[i] == PREFIX_NONE) return false;
    }
    for (int64_t r = 0; r < decoder->common.rows; r++) {
        decoder->own[r] = prefix_cache_take(prefixes, decoder->common.max_steps);
        if (decoder->own[r] < 0) return false;
    }
    return true;
}

status causal_decoder_begin(struct model_decoder *common, const struct model_batch *batch)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    const size_t rows = (size_t)common->rows;
    TRY(tokens_check(common, batch));
    forest_make(decoder, batch);
    decoder->own = memory_resize(decoder->own, rows * sizeof *decoder->own);
    decoder->slot_history =
        memory_resize(decoder->slot_history, rows * sizeof *decoder->slot_history);
    memcpy(decoder->slot_history, common->host_history, rows * sizeof *decoder->slot_history);
    TRY(store_make(decoder, decoder->forest.rows + common->rows * common->max_steps,
                   common->cache_tokens));
    const int64_t store_rows = prefix_cache_rows(decoder->prefixes);
    if (decoder->packed != common->model->packed) prefix_cache_clear(decoder->prefixes, store_rows);
    decoder->packed = common->model->packed;
    if (!rows_assign(decoder)) {
        prefix_cache_clear(decoder->prefixes, store_rows);
        if (!rows_assign(decoder))
            FAIL(STATUS_INTERNAL, "a batch does not fit into an empty store");
    }
    status s = causal_prefill_run(decoder);
    if (s) prefix_cache_clear(decoder->prefixes, store_rows);
    return s;
}

void causal_decoder_retain(struct model_decoder *common, int64_t slot, const int32_t *tokens,
                           int64_t count)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    const int32_t history = decoder->slot_history[slot];
    const int64_t leaf = decoder->leaf[history];
    int32_t *inputs = memory_allocate((size_t)count * sizeof *inputs);
    inputs[0] = decoder->last_token[history];
    memcpy(inputs + 1, tokens, (size_t)(count - 1) * sizeof *inputs);
    prefix_cache_retain(decoder->prefixes, leaf < 0 ? PREFIX_ROOT : decoder->node[leaf], inputs,
                        count, decoder->own[slot]);
    free(inputs);
}

static real *layer_store(const struct causal_decoder *decoder, int64_t layer)
{
    const struct queue *q = decoder->common.model->queue;
    return real_at(q, decoder->store.data,
                   layer * prefix_cache_rows(decoder->prefixes) * store_width(decoder));
}

void causal_store_append(struct causal_decoder *decoder, int64_t layer,
                         const struct causal_activations *a, const int32_t *row,
                         const int32_t *zero, int64_t rows)
{
    struct queue *q = decoder->common.model->queue;
    const struct attention from = causal_attention(causal_of(decoder->common.model), a);
    const int64_t width = store_width(decoder), half = width / 2;
    real *to = layer_store(decoder, layer);
    q->op->cache_append(q, to, width, row, zero, from.k, from.k_stride, rows, half, q->real_bytes);
    q->op->cache_append(q, real_at(q, to, half), width, row, zero, from.v, from.v_stride, rows,
                        half, q->real_bytes);
}

struct attention causal_store_attention(const struct causal_decoder *decoder, int64_t layer,
                                        const struct causal_activations *a)
{
    const struct queue *q = decoder->common.model->queue;
    const int64_t width = store_width(decoder);
    struct attention attention = causal_attention(causal_of(decoder->common.model), a);
    attention.k = layer_store(decoder, layer);
    attention.v = real_at(q, attention.k, width / 2);
    attention.k_stride = attention.v_stride = width;
    return attention;
}

/* A row is a segment of one query; its own keys stand behind its history's. */
static void attention_run(struct causal_decoder *decoder, int64_t index,
                          const struct causal_activations *a)
{
    const struct model_decoder *common = &decoder->common;
    struct queue *q = common->model->queue;
    const int64_t first = common->model->shape->layers - common->capture_layers;
    struct head_statistics statistics;
    struct attention attention = causal_store_attention(decoder, index, a);
    attention.segments = attention.query_rows = common->rows;
    attention.query_begin = common->query_begin;
    attention.range_begin = decoder->range_begin;
    attention.key_begin = decoder->key_begin;
    attention.key_end = decoder->key_end;
    attention.capture = index >= first ? common->capture : NULL;
    attention.capture_stride = decoder_capture_stride(common);
    attention.capture_accumulate = index > first;
    attention.statistics = layer_statistics(common->statistics, index, &statistics);
    q->op->attention(q, &attention);
}

void causal_decoder_step(struct model_decoder *common)
{
    struct causal_decoder *decoder = causal_decoder_of(common);
    struct causal *causal = causal_of(common->model);
    struct queue *q = causal->common.queue;
    const int64_t rows = common->rows, layers = causal->shape->common.layers;
    const int64_t ranges = ranges_a_row(common);
    q->op->advance(q, decoder->row, 1, 2 * common->limits.rows, 1); /* and position */
    q->op->advance(q, decoder->key_end + ranges - 1, 1, rows, ranges);
    q->op->embedding(q, decoder->layer[0].x_in,
                     causal->common.parameters.values + causal->common.embedding, common->input,
                     rows, causal->shape->common.width);
    for (int64_t i = 0; i < layers; i++) {
        const struct causal_activations *a = &decoder->layer[i];
        const struct causal_layer *layer = &causal->layer[i];
        causal_layer_project(causal, layer, a, decoder->position, rows);
        causal_store_append(decoder, i, a, decoder->row, decoder->zero, rows);
        attention_run(decoder, i, a);
        causal_layer_inner(causal, layer, a, rows);
        causal_layer_close(causal, layer, a, rows);
    }
    causal_norm(causal, decoder->normed, NULL, decoder->layer[layers - 1].x_out, causal->final_norm,
                rows);
    linear_forward_float(q, &causal->common.head, common->logits, decoder->normed, rows, false);
}
