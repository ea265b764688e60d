/* Attention.  Consecutive segments that read the same keys form a group: its keys are transposed
 * once for all of its queries.  A score is one chain of additions over head_dim, an output one
 * chain over the keys, ascending through the segment's list of ranges; a row's bits depend on its
 * query, the keys it sees and the bias alone (rows.inl). */
#include "kernels/cpu/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

static bool same_keys(const struct attention *a, int64_t s, int64_t t)
{
    const int64_t ranges = ranges_before(a, s + 1) - ranges_before(a, s);
    const int64_t i = ranges_before(a, s), j = ranges_before(a, t);
    if (ranges_before(a, t + 1) - j != ranges) return false;
    for (int64_t n = 0; n < ranges; n++)
        if (a->key_begin[i + n] != a->key_begin[j + n] || a->key_end[i + n] != a->key_end[j + n])
            return false;
    return true;
}

int64_t group_next(const struct attention *a, int64_t first, struct group *group)
{
    int64_t last = first + 1, keys = 0;
    const int64_t range = ranges_before(a, first), range_end = ranges_before(a, last);
    while (last < a->segments && same_keys(a, first, last)) last++;
    for (int64_t r = range; r < range_end; r++) keys += a->key_end[r] - a->key_begin[r];
    *group = (struct group){first, last, range, range_end, keys};
    return last;
}

int64_t keys_max(const struct attention *a)
{
    int64_t longest = 0;
    for (int64_t s = 0; s < a->segments; s++) {
        int64_t keys = 0;
        for (int64_t r = ranges_before(a, s); r < ranges_before(a, s + 1); r++)
            keys += a->key_end[r] - a->key_begin[r];
        if (keys > longest) longest = keys;
    }
    return longest;
}

struct head_rows head_rows_of(const struct attention *a, const struct group *group,
                              const real *from, int64_t stride, int64_t column, float *memory)
{
    if (group->range_end - group->range == 1)
        return (struct head_rows){floats_at(from, a->key_begin[group->range] * stride + column),
                                  stride};
    const size_t bytes = (size_t)a->head_dim * sizeof *memory;
    float *to = memory;
    for (int64_t r = group->range; r < group->range_end; r++)
        for (int64_t row = a->key_begin[r]; row < a->key_end[r]; row++, to += a->head_dim)
            memcpy(to, floats_at(from, row * stride + column), bytes);
    return (struct head_rows){memory, a->head_dim};
}

void chunk_set(struct chunk *c, const struct attention *a, const struct group *group, int64_t begin)
{
    const int64_t end = a->query_begin[group->last];
    c->a = a;
    c->begin = begin;
    c->rows = end - begin < chunk_rows ? end - begin : chunk_rows;
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

void chunk_weights(const struct row_functions *rows, const struct chunk *c, int64_t h,
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
        float *row = weights + i * c->stride;
        if (a->scale != 1.0f)
            for (int64_t j = 0; j < padded; j++) row[j] *= a->scale;
        const float sum = rows->attention_weights(row, bias, c->visible[i], padded);
        if (lse) lse[(c->begin + i) * a->heads + h] = sum;
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

/* What a thread works with: one head's keys and values, and a chunk's weights. */
struct workspace {
    float *keys;             /* [head_dim, padded] transposed */
    float *weights;          /* [chunk_rows, padded] */
    float *gathered;         /* [keys, head_dim], where a segment may have several ranges */
    struct head_rows values; /* of the head that keys were set for */
};

static void head_set(const struct row_functions *rows, const struct attention *a,
                     const struct group *group, int64_t h, struct workspace *w)
{
    const int64_t column = key_column(a, h);
    const struct head_rows keys = head_rows_of(a, group, a->k, a->k_stride, column, w->gathered);
    rows->transpose(w->keys, row_padded(group->keys), keys.at, keys.stride, group->keys,
                    a->head_dim);
    w->values = head_rows_of(a, group, a->v, a->v_stride, column, w->gathered);
}

static void chunk_forward(const struct row_functions *rows, const struct chunk *c, int64_t h,
                          const struct workspace *w, int64_t key_count)
{
    const struct attention *a = c->a;
    const int64_t width = a->heads * a->head_dim;
    chunk_weights(rows, c, h, w->keys, w->weights, a->lse);
    rows->product(floats_at(a->out, c->begin * width + h * a->head_dim), width, w->weights,
                  c->stride, 1, w->values.at, w->values.stride, c->rows, a->head_dim, c->keys,
                  false);
    if (a->capture || a->maps) chunk_capture(c, h, w->weights, key_count);
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
    const int64_t padded = row_padded(longest), gathered = a->range_begin ? longest : 0;
    const size_t floats = (size_t)((a->head_dim + chunk_rows) * padded + gathered * a->head_dim);
    const size_t bytes = floats * sizeof(float);
    const bool by_chunk = a->capture != NULL;
#pragma omp parallel num_threads(q->threads)
    {
        float *keys = cpu_scratch(q, omp_get_thread_num(), bytes ? bytes : 1);
        struct workspace w = {.keys = keys};
        if (keys) w.weights = keys + a->head_dim * padded;
        if (keys) w.gathered = w.weights + chunk_rows * padded;
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
                        head_set(rows, a, group, h, &w);
                        chunk_forward(rows, &c, h, &w, group->keys);
                    }
                }
                continue;
            }
            for (int64_t h = 0; h < a->heads; h++) {
                if (task++ % threads != thread || begin_of_first == end) continue;
                head_set(rows, a, group, h, &w);
                for (int64_t begin = begin_of_first; begin < end; begin += chunk_rows) {
                    chunk_set(&c, a, group, begin);
                    chunk_forward(rows, &c, h, &w, group->keys);
                }
            }
        }
    }
}
