#include "src/model/causal/forward.h"

#include "src/base/memory.h"
#include "src/model/causal/layer.h"

#include <stdlib.h>

void causal_run_create(struct model_run *common)
{
    struct causal_run *run = causal_run_of(common);
    const size_t layers = (size_t)common->model->shape->layers;
    run->layer = memory_allocate(layers * sizeof *run->layer);
}

void causal_run_release(struct model_run *common)
{
    struct causal_run *run = causal_run_of(common);
    forest_free(&run->forest);
    free(run->history_node);
    free(run->layer);
}

/* The ranges of a path that ends at a node: its ancestors' and its own; of -1 none. */
static int64_t path_ranges(const struct forest *forest, int64_t node)
{
    return node < 0 ? 0 : forest->nodes[node].depth + 1;
}

static int64_t leaf_history(const struct causal_run *run, const struct model_batch *batch,
                            int64_t leaf)
{
    return run->common.replies ? batch->reply_history[leaf] : leaf;
}

status causal_context_check(const struct causal_shape *s, int64_t longest)
{
    const int64_t max = causal_sequence_max(&s->common);
    if (longest > max)
        FAIL(STATUS_INPUT,
             "a history and its reply have %lld tokens, more than the model's %s %lld; lower "
             "history.max_tokens, or rollout.max_new_tokens where the reply is not given",
             (long long)longest,
             max == s->context ? "context of" : "sliding_window (which is not computed) of",
             (long long)max);
    return NULL;
}

status causal_run_measure(struct model_run *common, const struct model_batch *batch)
{
    struct causal_run *run = causal_run_of(common);
    struct forest *forest = &run->forest;
    run->history_node =
        memory_resize(run->history_node, (size_t)batch->histories * sizeof *run->history_node);
    forest_clear(forest);
    forest->apart = batch->apart;
    for (int64_t h = 0; h < batch->histories; h++) {
        const int32_t begin = batch->history_begin[h], end = batch->history_begin[h + 1];
        const int32_t cut = batch->cut_begin ? batch->cut_begin[h] : 0;
        const int32_t cut_end = batch->cut_begin ? batch->cut_begin[h + 1] : 0;
        run->history_node[h] =
            (int32_t)forest_add(forest, batch->history_tokens + begin, end - begin - 1,
                                batch->cuts + cut, cut_end - cut);
    }
    common->history_tokens = forest->rows;
    run->leaves = common->replies ? common->replies : batch->histories;
    run->leaf_rows = common->replies ? common->reply_tokens : batch->histories;
    run->segments = forest->count + run->leaves;
    run->node_ranges = 0;
    for (int64_t i = 0; i < forest->count; i++) run->node_ranges += path_ranges(forest, i);
    run->ranges = run->node_ranges + run->leaves;
    for (int64_t l = 0; l < run->leaves; l++)
        run->ranges += path_ranges(forest, run->history_node[leaf_history(run, batch, l)]);
    const int64_t longest = common->longest_history; /* also of a history without a reply */
    return causal_context_check(causal_of(common->model)->shape,
                                common->captured_keys > longest ? common->captured_keys : longest);
}

void causal_run_limit(struct model_run *common, const struct model_limits *limits)
{
    struct causal_run *run = causal_run_of(common);
    const int64_t most = limits->histories * (limits->cuts + 1);
    const int64_t nodes = limits->history_tokens < most ? limits->history_tokens : most;
    run->leaves = limits->replies ? limits->replies : limits->histories;
    run->leaf_rows = limits->replies ? limits->reply_tokens : limits->histories;
    run->segments = nodes + run->leaves;
    run->ranges = run->segments * (limits->cuts + 2);
}

void causal_run_place_integers(struct model_run *common, struct workspace *workspace)
{
    struct causal_run *run = causal_run_of(common);
    const int64_t rows = common->history_tokens + run->leaf_rows;
    run->ids = workspace_ints(workspace, rows);
    run->position = workspace_ints(workspace, rows);
    run->query_begin = workspace_ints(workspace, run->segments + 1);
    run->range_begin = workspace_ints(workspace, run->segments + 1);
    run->leaf_begin = workspace_ints(workspace, run->leaves + 1);
    run->leaf_range_begin = workspace_ints(workspace, run->leaves + 1);
    run->key_begin = workspace_ints(workspace, run->ranges);
    run->key_end = workspace_ints(workspace, run->ranges);
}

/* The ranges of the path that ends at `node`, from range `at` on; returns the next one. */
static int64_t path_fill(const struct causal_run *run, int64_t node, int64_t at)
{
    const int64_t end = at + path_ranges(&run->forest, node);
    for (int64_t r = end - 1; node >= 0; r--) {
        const struct forest_node *one = &run->forest.nodes[node];
        run->key_begin[r] = (int32_t)one->row;
        run->key_end[r] = (int32_t)(one->row + one->count);
        node = one->parent;
    }
    return end;
}

static void nodes_fill(const struct causal_run *run, int64_t *range)
{
    for (int64_t i = 0; i < run->forest.count; i++) {
        const struct forest_node *node = &run->forest.nodes[i];
        run->query_begin[i] = (int32_t)node->row;
        run->range_begin[i] = (int32_t)*range;
        *range = path_fill(run, i, *range);
        for (int64_t t = 0; t < node->count; t++) {
            run->ids[node->row + t] = node->tokens[t];
            run->position[node->row + t] = (int32_t)(node->position + t);
        }
    }
}

void causal_run_fill_integers(const struct model_run *common, const struct model_batch *batch)
{
    const struct causal_run *run = (const struct causal_run *)common;
    const int64_t n = common->history_tokens, nodes = run->forest.count;
    int64_t range = 0, row = n;
    nodes_fill(run, &range);
    for (int64_t l = 0; l < run->leaves; l++) {
        const int64_t h = leaf_history(run, batch, l);
        const int64_t last = batch->history_begin[h + 1] - 1;
        const int64_t position = last - batch->history_begin[h];
        const int32_t *reply = common->replies ? batch->reply_tokens + batch->reply_begin[l] : NULL;
        const int64_t count =
            common->replies ? batch->reply_begin[l + 1] - batch->reply_begin[l] : 1;
        run->query_begin[nodes + l] = (int32_t)row;
        run->leaf_begin[l] = (int32_t)(row - n);
        run->range_begin[nodes + l] = (int32_t)range;
        run->leaf_range_begin[l] = (int32_t)(range - run->node_ranges);
        range = path_fill(run, run->history_node[h], range);
        run->key_begin[range] = (int32_t)row;
        run->key_end[range++] = (int32_t)(row + count);
        for (int64_t t = 0; t < count; t++, row++) {
            run->ids[row] = t ? reply[t - 1] : batch->history_tokens[last];
            run->position[row] = (int32_t)(position + t);
        }
    }
    run->query_begin[run->segments] = (int32_t)row;
    run->leaf_begin[run->leaves] = (int32_t)(row - n);
    run->range_begin[run->segments] = (int32_t)range;
    run->leaf_range_begin[run->leaves] = (int32_t)(range - run->node_ranges);
}

static void place_gradients(struct causal_run *run, struct workspace *workspace, int64_t rows)
{
    const struct causal_shape *s = causal_of(run->common.model)->shape;
    const int64_t width = s->common.width, heads = s->common.heads;
    struct causal_gradients *g = &run->gradients;
    g->dx = workspace_reals(workspace, rows * width);
    g->dnorm = workspace_reals(workspace, rows * width);
    g->dattention = workspace_reals(workspace, rows * heads * s->head_dim);
    g->dqkv = workspace_reals(workspace, rows * (heads + 2 * s->kv_heads) * s->head_dim);
    g->dqk = NULL;
    if (causal_has_qk_norm(s))
        g->dqk = workspace_reals(workspace, rows * (heads + s->kv_heads) * s->head_dim);
    g->dinner = workspace_reals(workspace, rows * s->d_ff);
    g->dgate_up = workspace_reals(workspace, rows * 2 * s->d_ff);
}

void causal_run_place(struct model_run *common, struct workspace *workspace)
{
    struct causal_run *run = causal_run_of(common);
    const struct causal_shape *s = causal_of(common->model)->shape;
    const int64_t rows = common->history_tokens + run->leaf_rows;
    causal_place_inputs(workspace, s, rows, common->keep, run->layer);
    causal_place_layers(workspace, s, rows, common->keep, run->layer);
    if (common->keep) place_gradients(run, workspace, rows);
    run->final_inverse = workspace_floats(workspace, run->leaf_rows);
    real *normed = workspace_reals(workspace, run->leaf_rows * s->common.width);
    if (common->replies)
        common->head_input = normed;
    else
        common->hidden = normed;
}

int64_t causal_first_row(const struct causal_run *run, int64_t index)
{
    return index == run->common.model->shape->layers - 1 ? run->common.history_tokens : 0;
}

struct attention causal_run_attention(const struct causal_run *run,
                                      const struct causal_activations *a, int64_t first)
{
    const struct causal *causal = causal_of(run->common.model);
    const struct queue *q = causal->common.queue;
    const struct causal_shape *s = causal->shape;
    struct attention attention = causal_attention(causal, a);
    attention.key_begin = run->key_begin;
    attention.key_end = run->key_end;
    attention.segments = run->segments;
    attention.query_rows = run->common.history_tokens + run->leaf_rows;
    attention.query_begin = run->query_begin;
    attention.range_begin = run->range_begin;
    if (first == 0) return attention;
    attention.segments = run->leaves;
    attention.query_rows = run->leaf_rows;
    attention.query_begin = run->leaf_begin;
    attention.range_begin = run->leaf_range_begin;
    attention.key_begin += run->node_ranges;
    attention.key_end += run->node_ranges;
    attention.q = real_at(q, attention.q, first * attention.q_stride);
    attention.out = real_at(q, attention.out, first * s->common.heads * s->head_dim);
    if (attention.lse) attention.lse += first * s->common.heads;
    return attention;
}

/* The rows whose attention is captured, and whose heads are read, are the replies'. */
static void attention_run(struct causal_run *run, int64_t index, const struct causal_activations *a,
                          bool recompute)
{
    const struct model_run *common = &run->common;
    struct queue *q = common->model->queue;
    const int64_t layers = common->model->shape->layers, n = common->history_tokens;
    const int64_t first_captured = layers - common->capture_layers;
    const bool captured = !recompute && common->capture && index >= first_captured;
    const bool maps = !recompute && common->maps;
    struct head_statistics room;
    const struct head_statistics *statistics =
        recompute ? NULL : layer_statistics(common->statistics, index, &room);
    int64_t first = causal_first_row(run, index);
    if (!captured && !maps && !statistics) {
        struct attention all = causal_run_attention(run, a, first);
        q->op->attention(q, &all);
        return;
    }
    if (first == 0 && n > 0) {
        struct attention histories = causal_run_attention(run, a, 0);
        histories.segments -= run->leaves;
        histories.query_rows = n;
        q->op->attention(q, &histories);
    }
    struct attention replies = causal_run_attention(run, a, n);
    replies.capture_stride = common->captured_keys;
    replies.statistics = statistics;
    if (captured) {
        replies.capture = common->capture;
        replies.capture_accumulate = index > first_captured;
    }
    if (maps)
        replies.maps = common->maps +
                       index * common->model->shape->heads * run->leaf_rows * common->captured_keys;
    q->op->attention(q, &replies);
}

static void layer_run(struct causal_run *run, int64_t index, bool recompute)
{
    struct causal *causal = causal_of(run->common.model);
    const struct causal_activations *all = &run->layer[index];
    const struct causal_layer *layer = &causal->layer[index];
    const int64_t rows = run->common.history_tokens + run->leaf_rows;
    const int64_t first = causal_first_row(run, index);
    causal_layer_project(causal, layer, all, run->position, rows);
    const int64_t watched = watched_layer(&run->common, index, run->common.model->shape->layers);
    if (!recompute && watched >= 0 && run->common.watch->forward) {
        const struct attention attention = causal_run_attention(run, all, 0);
        run->common.watch->forward(run->common.watch->context, watched, &attention);
    }
    attention_run(run, index, all, recompute);
    const struct causal_activations rest = causal_rows_from(causal, all, first);
    causal_layer_inner(causal, layer, &rest, rows - first);
    if (!recompute) causal_layer_close(causal, layer, &rest, rows - first);
}

void causal_recompute_layer(struct causal_run *run, int64_t index)
{
    layer_run(run, index, true);
}

void causal_forward(struct model_run *common)
{
    struct causal_run *run = causal_run_of(common);
    struct causal *causal = causal_of(common->model);
    struct queue *q = causal->common.queue;
    const int64_t n = common->history_tokens, width = causal->shape->common.width;
    const int64_t layers = run_layers(common, causal->shape->common.layers);
    q->op->embedding(q, run->layer[0].x_in,
                     causal->common.parameters.values + causal->common.embedding, run->ids,
                     n + run->leaf_rows, width);
    for (int64_t i = 0; i < layers; i++) layer_run(run, i, false);
    causal_norm(causal, common->replies ? common->head_input : common->hidden, run->final_inverse,
                real_at(q, layers ? run->layer[layers - 1].x_out : run->layer[0].x_in, n * width),
                causal->final_norm, run->leaf_rows);
}
