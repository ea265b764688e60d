/* Attention and its gradients.  Consecutive segments that read the same keys form a group: its
 * keys are transposed once for all of its queries.  A score is one chain of additions over
 * head_dim, an output one chain over the keys, ascending; a row's bits depend on its query, the
 * keys it sees and the bias alone (rows.inl). */
#include "kernels/cpu/rows.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { chunk_rows = 32 };

/* `real` is float here. */
static float *floats_at(const real *p, int64_t count)
{
    return (float *)p + count;
}

/* Segments [first, last), all with keys [key_begin, key_begin + keys). */
struct group {
    int64_t first, last, key_begin, keys;
};

/* Some query rows of one group. */
struct chunk {
    const struct attention *a;
    int64_t begin, rows, key_begin;
    int64_t keys;   /* that any of the rows sees */
    int64_t stride; /* floats of one row of scores: the group's keys, padded */
    int64_t position[chunk_rows];
    int64_t visible[chunk_rows]; /* keys that a row sees */
};

static int64_t group_next(const struct attention *a, int64_t first, struct group *group)
{
    int64_t last = first + 1;
    while (last < a->segments && a->key_begin[last] == a->key_begin[first] &&
           a->key_end[last] == a->key_end[first])
        last++;
    *group = (struct group){.first = first,
                            .last = last,
                            .key_begin = a->key_begin[first],
                            .keys = a->key_end[first] - a->key_begin[first]};
    return last;
}

/* The chunk of at most chunk_rows rows that starts at query row `begin`. */
static void chunk_set(struct chunk *c, const struct attention *a, const struct group *group,
                      int64_t begin)
{
    const int64_t end = a->query_begin[group->last];
    c->a = a;
    c->begin = begin;
    c->rows = end - begin < chunk_rows ? end - begin : chunk_rows;
    c->key_begin = group->key_begin;
    c->stride = row_padded(group->keys);
    c->keys = 0;
    int64_t segment = group->first;
    for (int64_t i = 0; i < c->rows; i++) {
        while (begin + i >= a->query_begin[segment + 1]) segment++;
        const int64_t first = a->query_begin[segment];
        const int64_t queries = a->query_begin[segment + 1] - first;
        int64_t position = begin + i - first, visible = group->keys;
        if (a->causal) {
            position += group->keys - queries;
            visible = position < 0 ? 0 : position + 1;
        }
        c->position[i] = position;
        c->visible[i] = visible;
        if (visible > c->keys) c->keys = visible;
    }
}

/* weights[rows, stride] of head h; keys [head_dim, stride] transposed.  Columns past row_padded
 * (c->keys) are not written. */
static void chunk_weights(const struct row_functions *rows, const struct chunk *c, int64_t h,
                          const float *keys, float *weights, float *lse)
{
    const struct attention *a = c->a;
    const int64_t padded = row_padded(c->keys);
    rows->product(weights, c->stride, floats_at(a->q, c->begin * a->q_stride + h * a->head_dim),
                  a->q_stride, 1, keys, c->stride, c->rows, padded, a->head_dim, false);
    for (int64_t i = 0; i < c->rows; i++) {
        const float *bias = NULL;
        if (a->bias)
            bias = a->bias + h * (2 * a->bias_span - 1) + a->bias_span - 1 - c->position[i];
        float row = rows->attention_weights(weights + i * c->stride, bias, c->visible[i], padded);
        if (lse) lse[(c->begin + i) * a->heads + h] = row;
    }
}

static void chunk_capture(const struct chunk *c, int64_t h, const float *weights, int64_t keys)
{
    const struct attention *a = c->a;
    for (int64_t i = 0; i < c->rows; i++) {
        const float *from = weights + i * c->stride;
        const int64_t seen = c->visible[i], row = c->begin + i;
        if (a->capture) {
            float *to = a->capture + row * a->capture_stride;
            if (h == 0 && !a->capture_accumulate) memset(to, 0, (size_t)keys * sizeof *to);
            for (int64_t j = 0; j < seen; j++) to[j] += from[j];
        }
        if (a->maps) {
            float *to = a->maps + (h * a->query_rows + row) * a->capture_stride;
            memcpy(to, from, (size_t)seen * sizeof *to);
            memset(to + seen, 0, (size_t)(keys - seen) * sizeof *to);
        }
    }
}

static void chunk_forward(const struct row_functions *rows, const struct chunk *c, int64_t h,
                          const float *keys, float *weights, int64_t key_count)
{
    const struct attention *a = c->a;
    const int64_t width = a->heads * a->head_dim;
    chunk_weights(rows, c, h, keys, weights, a->lse);
    rows->product(floats_at(a->out, c->begin * width + h * a->head_dim), width, weights, c->stride,
                  1, floats_at(a->v, c->key_begin * a->v_stride + h * a->head_dim), a->v_stride,
                  c->rows, a->head_dim, c->keys, false);
    if (a->capture || a->maps) chunk_capture(c, h, weights, key_count);
}

static void keys_transpose(const struct row_functions *rows, const struct attention *a,
                           const struct group *group, int64_t h, float *keys)
{
    rows->transpose(keys, row_padded(group->keys),
                    floats_at(a->k, group->key_begin * a->k_stride + h * a->head_dim), a->k_stride,
                    group->keys, a->head_dim);
}

/* A thread's share is a (group, head).  With a capture, whose sum is over heads in order, it is
 * a (group, chunk), all heads. */
void cpu_attention(struct queue *q, const struct attention *a)
{
    const struct row_functions *rows = rows_of(q);
    if (a->query_rows == 0 || a->segments == 0) return;
    int64_t longest = 0, groups = 0;
    struct group *list = cpu_scratch(q, q->threads, (size_t)a->segments * sizeof *list);
    if (!list) return;
    for (int64_t s = 0; s < a->segments;) {
        s = group_next(a, s, &list[groups]);
        if (list[groups].keys > longest) longest = list[groups].keys;
        groups++;
    }
    const int64_t padded = row_padded(longest);
    const size_t bytes = (size_t)((a->head_dim + chunk_rows) * padded) * sizeof(float);
    const bool by_chunk = a->capture != NULL;
#pragma omp parallel num_threads(q->threads)
    {
        float *keys = cpu_scratch(q, omp_get_thread_num(), bytes ? bytes : 1);
        float *weights = keys ? keys + a->head_dim * padded : NULL;
        struct chunk c;
        int64_t task = 0, begin_of_first;
        const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
        for (int64_t g = 0; keys && g < groups; g++) {
            const struct group *group = &list[g];
            begin_of_first = a->query_begin[group->first];
            const int64_t end = a->query_begin[group->last];
            if (by_chunk) {
                for (int64_t begin = begin_of_first; begin < end; begin += chunk_rows) {
                    if (task++ % threads != thread) continue;
                    chunk_set(&c, a, group, begin);
                    for (int64_t h = 0; h < a->heads; h++) {
                        keys_transpose(rows, a, group, h, keys);
                        chunk_forward(rows, &c, h, keys, weights, group->keys);
                    }
                }
                continue;
            }
            for (int64_t h = 0; h < a->heads; h++) {
                if (task++ % threads != thread || begin_of_first == end) continue;
                keys_transpose(rows, a, group, h, keys);
                for (int64_t begin = begin_of_first; begin < end; begin += chunk_rows) {
                    chunk_set(&c, a, group, begin);
                    chunk_forward(rows, &c, h, keys, weights, group->keys);
                }
            }
        }
    }
}

/* With w the weights and d = dout v^T:  ds = w (d - sum(w d));  dq = ds k;  dk += ds^T q;
 * dv += w^T dout;  dbias += ds along its diagonals. */
static void chunk_backward(const struct row_functions *rows, const struct chunk *c,
                           const struct attention_gradients *g, int64_t h, const float *keys,
                           const float *values, float *weights, float *ds)
{
    const struct attention *a = c->a;
    const int64_t width = a->heads * a->head_dim, head = h * a->head_dim;
    const int64_t padded = row_padded(c->keys);
    const float *dout = floats_at(g->dout, c->begin * width + head);
    const float *query = floats_at(a->q, c->begin * a->q_stride + head);
    chunk_weights(rows, c, h, keys, weights, NULL);
    rows->product(ds, c->stride, dout, width, 1, values, c->stride, c->rows, padded, a->head_dim,
                  false);
    for (int64_t i = 0; i < c->rows; i++)
        rows->attention_scores_gradient(ds + i * c->stride, weights + i * c->stride, padded);
    rows->product(floats_at(g->dq, c->begin * a->q_stride + head), a->q_stride, ds, c->stride, 1,
                  floats_at(a->k, c->key_begin * a->k_stride + head), a->k_stride, c->rows,
                  a->head_dim, c->keys, false);
    rows->product(floats_at(g->dk, c->key_begin * a->k_stride + head), a->k_stride, ds, 1,
                  c->stride, query, a->q_stride, c->keys, a->head_dim, c->rows, true);
    rows->product(floats_at(g->dv, c->key_begin * a->v_stride + head), a->v_stride, weights, 1,
                  c->stride, dout, width, c->keys, a->head_dim, c->rows, true);
    if (!g->dbias) return;
    for (int64_t i = 0; i < c->rows; i++) {
        float *to = g->dbias + h * (2 * a->bias_span - 1) + a->bias_span - 1 - c->position[i];
        for (int64_t j = 0; j < c->visible[i]; j++) to[j] += ds[i * c->stride + j];
    }
}

/* Threads share out heads, so that keys read by several segments, and the bias, are added to in
 * ascending order of the segments. */
void cpu_attention_backward(struct queue *q, const struct attention *a,
                            const struct attention_gradients *g)
{
    const struct row_functions *rows = rows_of(q);
    int64_t longest = 0;
    for (int64_t s = 0; s < a->segments; s++)
        if (a->key_end[s] - a->key_begin[s] > longest) longest = a->key_end[s] - a->key_begin[s];
    const int64_t padded = row_padded(longest);
    const size_t bytes = (size_t)(2 * (a->head_dim + chunk_rows) * padded) * sizeof(float);
#pragma omp parallel for num_threads(q->threads) schedule(static, 1)
    for (int64_t h = 0; h < a->heads; h++) {
        float *keys = cpu_scratch(q, omp_get_thread_num(), bytes ? bytes : 1);
        if (!keys) continue;
        float *values = keys + a->head_dim * padded, *weights = values + a->head_dim * padded;
        float *ds = weights + chunk_rows * padded;
        const int64_t head = h * a->head_dim;
        struct group group;
        for (int64_t s = 0; s < a->segments && !g->accumulate_kv; s++)
            for (int64_t j = a->key_begin[s]; j < a->key_end[s]; j++) {
                memset(floats_at(g->dk, j * a->k_stride + head), 0,
                       (size_t)a->head_dim * sizeof(float));
                memset(floats_at(g->dv, j * a->v_stride + head), 0,
                       (size_t)a->head_dim * sizeof(float));
            }
        for (int64_t s = 0; s < a->segments;) {
            s = group_next(a, s, &group);
            const int64_t end = a->query_begin[group.last];
            keys_transpose(rows, a, &group, h, keys);
            rows->transpose(values, row_padded(group.keys),
                            floats_at(a->v, group.key_begin * a->v_stride + head), a->v_stride,
                            group.keys, a->head_dim);
            for (int64_t begin = a->query_begin[group.first]; begin < end; begin += chunk_rows) {
                struct chunk c;
                chunk_set(&c, a, &group, begin);
                chunk_backward(rows, &c, g, h, keys, values, weights, ds);
            }
        }
    }
}
