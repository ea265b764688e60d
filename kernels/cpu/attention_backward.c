/* Gradients of attention: weights are computed again, chunk by chunk, and products as the formulas
 * in kernels/ops.h have them.  Threads share out heads of q and trees of segments, so that key rows
 * that several segments read, and the bias, are added to in one order; where several heads of q
 * read a head of k and v, each has sums of its own, added at the end, ascending. */
#include "kernels/cpu/attention.h"
#include "src/base/heartbeat.h"

#include <omp.h>
#include <string.h>

/* Groups that read a key row in common, directly or through others, are of one tree, which has the
 * number of its first group. */
struct trees {
    int32_t *of_group; /* [groups] */
    int32_t *of_row;   /* [key_rows], -1: nobody reads it */
};

/* Gradients of one head's key rows: [key_rows, head_dim], so many floats apart. */
struct key_sums {
    float *dk, *dv;
    int64_t dk_stride, dv_stride;
};

/* What a thread works with. */
struct workspace {
    struct side k, v;
    float *weights, *ds; /* [chunk_rows, stride] */
};

static int32_t tree_of(const int32_t *of_group, int32_t group)
{
    while (of_group[group] != group) group = of_group[group];
    return group;
}

/* one: all groups are of one tree, as where all add to one bias. */
static void trees_find(const struct trees *trees, const struct attention *a,
                       const struct groups *groups, int64_t key_rows, bool one)
{
    int32_t *of_group = trees->of_group;
    for (int64_t row = 0; row < key_rows; row++) trees->of_row[row] = -1;
    for (int32_t g = 0; g < groups->count; g++) {
        const int64_t last = ranges_before(a, groups->list[g].last);
        of_group[g] = one ? 0 : g;
        for (int64_t r = ranges_before(a, groups->list[g].first); r < last; r++)
            for (int64_t row = a->key_begin[r]; row < a->key_end[r]; row++) {
                if (trees->of_row[row] < 0) trees->of_row[row] = g;
                const int32_t own = tree_of(of_group, g);
                const int32_t other = tree_of(of_group, trees->of_row[row]);
                of_group[own > other ? own : other] = own > other ? other : own;
            }
    }
    for (int32_t g = 0; g < groups->count; g++) of_group[g] = tree_of(of_group, g);
    for (int64_t row = 0; row < key_rows; row++)
        if (trees->of_row[row] >= 0) trees->of_row[row] = of_group[trees->of_row[row]];
}

/* ds [rows, stride] becomes the gradient of the scores, its sums along diagonals are added to
 * dbias, and what is left is the gradient of q . k. */
static void scores_gradient(const struct row_functions *rows, const struct chunk *c,
                            const struct attention_gradients *g, const float *weights, float *ds)
{
    const struct attention *a = c->a;
    const int64_t padded = row_padded(c->keys);
    for (int64_t i = 0; i < c->rows; i++) {
        float *row = ds + i * c->stride;
        memset(row + c->visible[i], 0, (size_t)(padded - c->visible[i]) * sizeof *row);
        rows->attention_scores_gradient(row, weights + i * c->stride, padded);
        if (g->dbias) {
            float *to =
                g->dbias + c->head * (2 * a->bias_span - 1) + a->bias_span - 1 - c->position[i];
            for (int64_t j = 0; j < c->visible[i]; j++) to[j] += row[j];
        }
        if (a->scale != 1.0f)
            for (int64_t j = 0; j < padded; j++) row[j] *= a->scale;
    }
}

/* to[keys of the ranges, head_dim] += weights^T [keys, rows] from [rows, head_dim], a range at a
 * time, no more than `keys` of them; to stands in the array of all key rows. */
static void ranges_add(const struct row_functions *rows, const struct chunk *c, int64_t range,
                       int64_t range_end, int64_t keys, float *to, int64_t to_stride,
                       const float *weights, const float *from, int64_t from_stride, int64_t depth)
{
    const struct attention *a = c->a;
    for (int64_t r = range; r < range_end && keys > 0; r++) {
        const int64_t all = a->key_end[r] - a->key_begin[r], some = all < keys ? all : keys;
        rows->product(to + a->key_begin[r] * to_stride, to_stride, weights, 1, c->stride, from,
                      from_stride, some, a->head_dim, depth, true);
        weights += some;
        keys -= some;
    }
}

static void keys_add(const struct row_functions *rows, const struct chunk *c, float *to,
                     int64_t to_stride, const float *weights, const float *from,
                     int64_t from_stride)
{
    const struct attention *a = c->a;
    const int64_t range = ranges_before(a, c->group->first), shared = c->group->shared;
    ranges_add(rows, c, range, range + shared, c->shared, to, to_stride, weights, from, from_stride,
               c->rows);
    for (int64_t i = 0, end; i < c->rows; i = end) {
        end = chunk_run(c, i);
        const int64_t s = c->segment[i];
        ranges_add(rows, c, ranges_before(a, s) + shared, ranges_before(a, s + 1),
                   run_own_keys(c, i, end), to, to_stride,
                   weights + i * c->stride + c->group->shared_keys, from + i * from_stride,
                   from_stride, end - i);
    }
}

static void chunk_backward(const struct row_functions *rows, const struct chunk *c,
                           const struct attention_gradients *g, struct workspace *w,
                           const struct key_sums *to)
{
    const struct attention *a = c->a;
    const int64_t width = a->heads * a->head_dim, column = c->head * a->head_dim;
    const float *dout = floats_at(g->dout, c->begin * width + column);
    const float *query = floats_at(a->q, c->begin * a->q_stride + column);
    chunk_weights(rows, c, &w->k, w->weights, query, a->q_stride, NULL);
    chunk_dots(rows, c, &w->v, w->ds, dout, width);
    scores_gradient(rows, c, g, w->weights, w->ds);
    chunk_sums(rows, c, &w->k, floats_at(g->dq, c->begin * a->q_stride + column), a->q_stride,
               w->ds);
    keys_add(rows, c, to->dk, to->dk_stride, w->ds, query, a->q_stride);
    keys_add(rows, c, to->dv, to->dv_stride, w->weights, dout, width);
}

/* One head of q in the groups of one tree. */
static void tree_backward(const struct row_functions *rows, const struct attention *a,
                          const struct attention_gradients *g, const struct groups *groups,
                          const struct trees *trees, int64_t tree, int64_t h, struct workspace *w,
                          const struct key_sums *to, bool clear)
{
    const size_t bytes = (size_t)a->head_dim * sizeof(float);
    struct chunk c = {.head = h, .each = 1, .stride = keys_stride(groups->keys)};
    for (int64_t row = 0; clear && row < g->key_rows; row++) {
        if (trees->of_row[row] != tree) continue;
        memset(to->dk + row * to->dk_stride, 0, bytes);
        memset(to->dv + row * to->dv_stride, 0, bytes);
    }
    for (int64_t n = 0; n < groups->count; n++) {
        if (trees->of_group[n] != tree) continue;
        const int64_t end = a->query_begin[groups->list[n].last];
        c.group = &groups->list[n];
        side_share(rows, &w->k, a, c.group, key_column(a, h));
        side_share(rows, &w->v, a, c.group, key_column(a, h));
        for (int64_t at = a->query_begin[c.group->first]; at < end; at += c.rows) {
            chunk_set(&c, a, at, end);
            chunk_backward(rows, &c, g, w, to);
        }
    }
}

/* to[row, kv_heads * d] (+)= the sum over the heads of q, ascending, of sums[heads, key_rows, d].
 */
static void heads_add(struct queue *q, const struct attention *a,
                      const struct attention_gradients *g, const struct trees *trees, float *to,
                      int64_t to_stride, const float *sums)
{
    const int64_t each = a->heads / a->kv_heads, d = a->head_dim, rows = g->key_rows;
#pragma omp parallel for num_threads(q->threads)
    for (int64_t row = 0; row < rows; row++)
        for (int64_t h = 0; h < a->heads && trees->of_row[row] >= 0; h++) {
            float *sum = to + row * to_stride + h / each * d;
            const float *from = sums + (h * rows + row) * d;
            if (h % each == 0 && !g->accumulate_kv)
                memcpy(sum, from, (size_t)d * sizeof *sum);
            else
                for (int64_t j = 0; j < d; j++) sum[j] += from[j];
        }
}

void cpu_attention_backward(struct queue *q, const struct attention *a,
                            const struct attention_gradients *g)
{
    heartbeat_note();
    if (a->query_rows == 0 || a->segments == 0) return;
    const struct row_functions *rows = rows_of(q);
    const int64_t each = a->heads / a->kv_heads, sums = a->heads * g->key_rows * a->head_dim;
    const size_t list_bytes = ((size_t)a->segments * sizeof(struct group) + 63) / 64 * 64;
    const size_t sums_bytes = each > 1 ? 2 * (size_t)sums * sizeof(float) : 0;
    const size_t tree_bytes = (size_t)(a->segments + g->key_rows) * sizeof(int32_t);
    char *memory = cpu_scratch(q, q->threads, list_bytes + sums_bytes + tree_bytes);
    if (!memory) return;
    const struct groups groups = groups_of(a, (struct group *)memory);
    float *dk = each > 1 ? (float *)(memory + list_bytes) : g->dk;
    float *dv = each > 1 ? dk + sums : g->dv;
    struct trees trees = {.of_group = (int32_t *)(memory + list_bytes + sums_bytes)};
    trees.of_row = trees.of_group + a->segments;
    trees_find(&trees, a, &groups, g->key_rows, g->dbias != NULL);

    const int forms = SIDE_ROWS | SIDE_TRANSPOSED;
    const int64_t weights = chunk_rows * keys_stride(groups.keys);
    const size_t bytes = (size_t)(2 * side_floats(a, &groups, forms) + 2 * weights) * sizeof(float);
#pragma omp parallel num_threads(q->threads)
    {
        struct workspace w;
        float *own = cpu_scratch(q, omp_get_thread_num(), bytes);
        if (own) {
            w.weights = side_open(&w.k, a, &groups, a->k, a->k_stride, forms, own);
            w.weights = side_open(&w.v, a, &groups, a->v, a->v_stride, forms, w.weights);
            w.ds = w.weights + weights;
        }
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < groups.count * a->heads; task++) {
            const int64_t tree = task / a->heads;
            const int64_t h = task % a->heads, before = h * g->key_rows * a->head_dim;
            struct key_sums to = {dk + before, dv + before, a->head_dim, a->head_dim};
            if (each == 1)
                to = (struct key_sums){dk + key_column(a, h), dv + key_column(a, h), a->k_stride,
                                       a->v_stride};
            if (own && trees.of_group[tree] == tree)
                tree_backward(rows, a, g, &groups, &trees, tree, h, &w, &to,
                              each > 1 || !g->accumulate_kv);
        }
    }
    if (each == 1) return;
    heads_add(q, a, g, &trees, g->dk, a->k_stride, dk);
    heads_add(q, a, g, &trees, g->dv, a->v_stride, dv);
}
