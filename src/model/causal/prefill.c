/* Histories' keys and values, computed in chunks of rows; see decode.h. */
#include "src/model/causal/decode.h"

#include "src/model/causal/layer.h"

#include <string.h>

/* Rows that are computed at once: enough for products to run at their full rate. */
enum { CHUNK_ROWS = 512 };

int64_t causal_prefill_chunk(const struct model_decoder_limits *limits)
{
    return limits->history_tokens < CHUNK_ROWS ? limits->history_tokens : CHUNK_ROWS;
}

static int64_t chunks_of(int64_t rows)
{
    return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
}

static void place_integers(struct causal_prefill *prefill, struct workspace *workspace)
{
    prefill->ids = workspace_ints(workspace, prefill->rows);
    prefill->position = workspace_ints(workspace, prefill->rows);
    prefill->row = workspace_ints(workspace, prefill->rows);
    prefill->query_begin = workspace_ints(workspace, prefill->segments + chunks_of(prefill->rows));
    prefill->range_begin = workspace_ints(workspace, prefill->segments + chunks_of(prefill->rows));
    prefill->key_begin = workspace_ints(workspace, prefill->ranges);
    prefill->key_end = workspace_ints(workspace, prefill->ranges);
    prefill->zero = workspace_ints(workspace, prefill->rows);
}

static status integers_reserve(struct causal_decoder *decoder, size_t *bytes)
{
    struct queue *q = decoder->common.model->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place_integers(&decoder->prefill, &workspace);
    *bytes = workspace.used;
    q->op->mark_wait(q, MARK_BATCH);
    TRY(host_buffer_reserve(q, &decoder->prefill_image, workspace.used));
    return buffer_reserve(q, &decoder->prefill_integers, workspace.used);
}

status causal_prefill_reserve(struct causal_decoder *decoder,
                              const struct model_decoder_limits *limits)
{
    const int64_t nodes = limits->histories * (limits->cuts + 1);
    size_t bytes;
    decoder->prefill.rows = limits->history_tokens;
    decoder->prefill.segments = nodes + chunks_of(limits->history_tokens);
    decoder->prefill.ranges = decoder->prefill.segments * (limits->cuts + 1);
    return integers_reserve(decoder, &bytes);
}

/* Rows [from, to) of the fresh node `fresh` that stand in one chunk; row: that the node begins with
 * among all that are computed. */
struct part {
    const struct forest_node *node;
    int64_t fresh, row, from, to;
};

/* The next part; false: there is none.  Begin with zeros. */
static bool part_next(const struct causal_decoder *decoder, struct part *part)
{
    if (part->node && part->to < part->node->count) {
        part->from = part->to;
    } else {
        if (part->node) {
            part->row += part->node->count;
            part->fresh++;
        }
        if (part->fresh == decoder->fresh_count) return false;
        part->node = &decoder->forest.nodes[decoder->fresh[part->fresh]];
        part->from = 0;
    }
    const int64_t at = part->row + part->from;
    const int64_t chunk_end = at / CHUNK_ROWS * CHUNK_ROWS + CHUNK_ROWS - part->row;
    part->to = part->node->count < chunk_end ? part->node->count : chunk_end;
    return true;
}

static void measure(struct causal_decoder *decoder)
{
    struct causal_prefill *prefill = &decoder->prefill;
    struct part part = {0};
    prefill->rows = prefill->segments = prefill->ranges = 0;
    while (part_next(decoder, &part)) {
        prefill->rows += part.to - part.from;
        prefill->segments++;
        prefill->ranges += part.node->depth + 1;
    }
}

/* A part's ranges: its ancestors, then its own rows up to its last; returns the next range. */
static int64_t ranges_fill(const struct causal_decoder *decoder, const struct part *part,
                           int64_t range)
{
    const struct causal_prefill *prefill = &decoder->prefill;
    int64_t node = decoder->node[decoder->fresh[part->fresh]];
    const int64_t end = range + part->node->depth + 1;
    for (int64_t r = end - 1; r >= range; r--) {
        const int64_t first = prefix_cache_first(decoder->prefixes, node);
        const int64_t keys = r == end - 1 ? part->to : prefix_cache_count(decoder->prefixes, node);
        prefill->key_begin[r] = (int32_t)first;
        prefill->key_end[r] = (int32_t)(first + keys);
        node = prefix_cache_parent(decoder->prefixes, node);
    }
    return end;
}

/* Into the image, which the pointers name. */
static void integers_fill(const struct causal_decoder *decoder)
{
    const struct causal_prefill *prefill = &decoder->prefill;
    struct part part = {0};
    int64_t segment = 0, range = 0, chunk_range = 0;
    while (part_next(decoder, &part)) {
        const int64_t at = part.row + part.from, node = decoder->node[decoder->fresh[part.fresh]];
        const int64_t first = prefix_cache_first(decoder->prefixes, node);
        const int64_t place = segment++ + at / CHUNK_ROWS;
        if (at % CHUNK_ROWS == 0) chunk_range = range;
        prefill->query_begin[place] = (int32_t)(at % CHUNK_ROWS);
        prefill->query_begin[place + 1] = (int32_t)(at % CHUNK_ROWS + part.to - part.from);
        prefill->range_begin[place] = (int32_t)(range - chunk_range);
        range = ranges_fill(decoder, &part, range);
        prefill->range_begin[place + 1] = (int32_t)(range - chunk_range);
        for (int64_t t = part.from; t < part.to; t++) {
            prefill->ids[part.row + t] = part.node->tokens[t];
            prefill->position[part.row + t] = (int32_t)(part.node->position + t);
            prefill->row[part.row + t] = (int32_t)(first + t);
        }
    }
}

static status integers_upload(struct causal_decoder *decoder)
{
    struct queue *q = decoder->common.model->queue;
    size_t bytes;
    TRY(integers_reserve(decoder, &bytes));
    memset(decoder->prefill_image.data, 0, bytes);
    struct workspace workspace = workspace_begin(q, decoder->prefill_image.data);
    place_integers(&decoder->prefill, &workspace);
    integers_fill(decoder);
    q->op->upload(q, decoder->prefill_integers.data, decoder->prefill_image.data, bytes);
    q->op->mark(q, MARK_BATCH);
    workspace = workspace_begin(q, decoder->prefill_integers.data);
    place_integers(&decoder->prefill, &workspace);
    return NULL;
}

/* Of the last layer keys and values are all that is needed. */
static void chunk_run(struct causal_decoder *decoder, int64_t first, int64_t rows,
                      const struct attention *segments)
{
    const struct causal_prefill *prefill = &decoder->prefill;
    struct causal *causal = causal_of(decoder->common.model);
    struct queue *q = causal->common.queue;
    const int64_t layers = causal->shape->common.layers;
    q->op->embedding(q, decoder->layer[0].x_in,
                     causal->common.parameters.values + causal->common.embedding,
                     prefill->ids + first, rows, causal->shape->common.width);
    for (int64_t i = 0; i < layers; i++) {
        const struct causal_activations *a = &decoder->layer[i];
        const struct causal_layer *layer = &causal->layer[i];
        causal_layer_project(causal, layer, a, prefill->position + first, rows);
        causal_store_append(decoder, i, a, prefill->row + first, prefill->zero, rows);
        if (i == layers - 1) break;
        struct attention attention = causal_store_attention(decoder, i, a);
        attention.segments = segments->segments;
        attention.query_rows = rows;
        attention.query_begin = segments->query_begin;
        attention.range_begin = segments->range_begin;
        attention.key_begin = segments->key_begin;
        attention.key_end = segments->key_end;
        q->op->attention(q, &attention);
        causal_layer_inner(causal, layer, a, rows);
        causal_layer_close(causal, layer, a, rows);
    }
}

status causal_prefill_run(struct causal_decoder *decoder)
{
    struct part part = {0};
    int64_t segment = 0, first = 0, range = 0, chunk_range = 0;
    measure(decoder);
    if (!decoder->prefill.rows) return NULL;
    TRY(integers_upload(decoder));
    decoder->common.counts.prefilled += decoder->prefill.rows;
    struct attention segments = {0};
    while (part_next(decoder, &part)) {
        const int64_t end = part.row + part.to;
        segments.segments++;
        range += part.node->depth + 1;
        if (end % CHUNK_ROWS && end < decoder->prefill.rows) continue;
        segments.query_begin = decoder->prefill.query_begin + segment + first / CHUNK_ROWS;
        segments.range_begin = decoder->prefill.range_begin + segment + first / CHUNK_ROWS;
        segments.key_begin = decoder->prefill.key_begin + chunk_range;
        segments.key_end = decoder->prefill.key_end + chunk_range;
        chunk_run(decoder, first, end - first, &segments);
        segment += segments.segments;
        segments.segments = 0;
        first = end;
        chunk_range = range;
    }
    return NULL;
}
