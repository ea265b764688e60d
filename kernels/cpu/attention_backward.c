/* Gradients of attention: weights are computed again, chunk by chunk, and products as the formulas
 * in kernels/ops.h have them.  Threads share out the heads of k and v, so that key rows that
 * several segments or heads read, and the bias, are added to in one order. */
#include "kernels/cpu/attention.h"

#include <omp.h>
#include <string.h>

/* ds [rows, stride] becomes the gradient of the scores, its sums along diagonals are added to
 * dbias, and what is left is the gradient of q . k. */
static void scores_gradient(const struct row_functions *rows, const struct chunk *c,
                            const struct attention_gradients *g, int64_t h, const float *weights,
                            float *ds)
{
    const struct attention *a = c->a;
    const int64_t padded = row_padded(c->keys);
    for (int64_t i = 0; i < c->rows; i++) {
        float *row = ds + i * c->stride;
        rows->attention_scores_gradient(row, weights + i * c->stride, padded);
        if (g->dbias) {
            float *to = g->dbias + h * (2 * a->bias_span - 1) + a->bias_span - 1 - c->position[i];
            for (int64_t j = 0; j < c->visible[i]; j++) to[j] += row[j];
        }
        if (a->scale != 1.0f)
            for (int64_t j = 0; j < padded; j++) row[j] *= a->scale;
    }
}

/* One head of q with what it reads, and room for a chunk's weights and gradients of scores. */
struct head {
    int64_t h, key_column;
    float *keys, *values; /* [head_dim, padded] transposed */
    struct head_rows key_rows;
    float *weights, *ds; /* [chunk_rows, padded] */
    float *gathered;     /* [keys, head_dim], where a segment may have several ranges */
};

static void head_set(const struct row_functions *rows, const struct attention *a,
                     const struct group *group, struct head *head)
{
    const int64_t padded = row_padded(group->keys), d = a->head_dim;
    const struct head_rows values =
        head_rows_of(a, group, a->v, a->v_stride, head->key_column, head->gathered);
    rows->transpose(head->values, padded, values.at, values.stride, group->keys, d);
    head->key_rows = head_rows_of(a, group, a->k, a->k_stride, head->key_column, head->gathered);
    rows->transpose(head->keys, padded, head->key_rows.at, head->key_rows.stride, group->keys, d);
}

/* to[keys of the group, head_dim] += weights^T [keys, rows] from [rows, head_dim], a range at a
 * time; to stands in the array of all key rows. */
static void keys_add(const struct row_functions *rows, const struct chunk *c,
                     const struct group *group, real *to, int64_t to_stride, const float *weights,
                     const float *from, int64_t from_stride)
{
    const struct attention *a = c->a;
    int64_t before = 0;
    for (int64_t r = group->range; r < group->range_end && before < c->keys; r++) {
        int64_t keys = a->key_end[r] - a->key_begin[r];
        if (keys > c->keys - before) keys = c->keys - before;
        rows->product(floats_at(to, a->key_begin[r] * to_stride), to_stride, weights + before, 1,
                      c->stride, from, from_stride, keys, a->head_dim, c->rows, true);
        before += keys;
    }
}

static void chunk_backward(const struct row_functions *rows, const struct chunk *c,
                           const struct group *group, const struct attention_gradients *g,
                           const struct head *head)
{
    const struct attention *a = c->a;
    const int64_t width = a->heads * a->head_dim, column = head->h * a->head_dim;
    const float *dout = floats_at(g->dout, c->begin * width + column);
    const float *query = floats_at(a->q, c->begin * a->q_stride + column);
    chunk_weights(rows, c, head->h, head->keys, head->weights, NULL);
    rows->product(head->ds, c->stride, dout, width, 1, head->values, c->stride, c->rows,
                  row_padded(c->keys), a->head_dim, false);
    scores_gradient(rows, c, g, head->h, head->weights, head->ds);
    rows->product(floats_at(g->dq, c->begin * a->q_stride + column), a->q_stride, head->ds,
                  c->stride, 1, head->key_rows.at, head->key_rows.stride, c->rows, a->head_dim,
                  c->keys, false);
    keys_add(rows, c, group, floats_at(g->dk, head->key_column), a->k_stride, head->ds, query,
             a->q_stride);
    keys_add(rows, c, group, floats_at(g->dv, head->key_column), a->v_stride, head->weights, dout,
             width);
}

/* Zeros for one head's gradients of all key rows that a segment reads. */
static void keys_clear(const struct attention *a, const struct attention_gradients *g,
                       int64_t column)
{
    const size_t bytes = (size_t)a->head_dim * sizeof(float);
    for (int64_t r = 0; r < ranges_before(a, a->segments); r++)
        for (int64_t j = a->key_begin[r]; j < a->key_end[r]; j++) {
            memset(floats_at(g->dk, j * a->k_stride + column), 0, bytes);
            memset(floats_at(g->dv, j * a->v_stride + column), 0, bytes);
        }
}

static void head_backward(const struct row_functions *rows, const struct attention *a,
                          const struct attention_gradients *g, struct head *head)
{
    struct group group;
    for (int64_t s = 0; s < a->segments;) {
        s = group_next(a, s, &group);
        head_set(rows, a, &group, head);
        const int64_t end = a->query_begin[group.last];
        for (int64_t begin = a->query_begin[group.first]; begin < end; begin += chunk_rows) {
            struct chunk c;
            chunk_set(&c, a, &group, begin);
            chunk_backward(rows, &c, &group, g, head);
        }
    }
}

void cpu_attention_backward(struct queue *q, const struct attention *a,
                            const struct attention_gradients *g)
{
    const struct row_functions *rows = rows_of(q);
    const int64_t longest = keys_max(a), padded = row_padded(longest), d = a->head_dim;
    const int64_t each = a->heads / a->kv_heads, gathered = a->range_begin ? longest : 0;
    const size_t floats = (size_t)(2 * (d + chunk_rows) * padded + gathered * d);
    const size_t bytes = floats * sizeof(float);
#pragma omp parallel for num_threads(q->threads) schedule(static, 1)
    for (int64_t key_head = 0; key_head < a->kv_heads; key_head++) {
        float *memory = cpu_scratch(q, omp_get_thread_num(), bytes ? bytes : 1);
        if (!memory) continue;
        struct head head = {.key_column = key_head * d, .keys = memory};
        head.values = head.keys + d * padded;
        head.weights = head.values + d * padded;
        head.ds = head.weights + chunk_rows * padded;
        head.gathered = head.ds + chunk_rows * padded;
        if (!g->accumulate_kv) keys_clear(a, g, head.key_column);
        for (head.h = key_head * each; head.h < (key_head + 1) * each; head.h++)
            head_backward(rows, a, g, &head);
    }
}
