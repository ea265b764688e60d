/* Attention.  Consecutive segments that read the same keys form a group (attention.h): those keys
 * are transposed once for all of its rows and all heads of q that read them.  A row's bits depend
 * on its queries, the keys it sees and the bias alone. */
#include "kernels/cpu/attention.h"
#include "src/base/heartbeat.h"

#include <omp.h>
#include <string.h>

/* What a thread works with. */
struct workspace {
    struct side k, v;
    float *weights;       /* [items, stride] */
    float *queries, *out; /* [items, head_dim], where a row has several items */
};

static int64_t items_max(const struct attention *a)
{
    const int64_t each = a->heads / a->kv_heads;
    return each < chunk_rows ? chunk_rows : each;
}

static size_t workspace_bytes(const struct attention *a, const struct groups *groups)
{
    const int64_t items = items_max(a), gathered = a->heads > a->kv_heads ? 2 * a->head_dim : 0;
    return (size_t)(side_floats(a, groups, SIDE_TRANSPOSED) + side_floats(a, groups, SIDE_ROWS) +
                    items * (keys_stride(groups->keys) + gathered)) *
           sizeof(float);
}

static void workspace_open(struct workspace *w, const struct attention *a,
                           const struct groups *groups, float *memory)
{
    const int64_t items = items_max(a);
    memory = side_open(&w->k, a, groups, a->k, a->k_stride, SIDE_TRANSPOSED, memory);
    memory = side_open(&w->v, a, groups, a->v, a->v_stride, SIDE_ROWS, memory);
    w->weights = memory;
    w->queries = memory + items * keys_stride(groups->keys);
    w->out = w->queries + items * a->head_dim;
}

static void chunk_capture(const struct row_functions *rows, const struct chunk *c,
                          const float *weights)
{
    const struct attention *a = c->a;
    const bool fresh = c->head == 0 && !a->capture_accumulate;
    for (int64_t i = 0; i < c->rows; i++) {
        const float *from = weights + i * c->each * c->stride;
        const int64_t seen = c->visible[i], unseen = c->segment_keys[i] - seen, row = c->begin + i;
        if (a->capture) {
            float *to = a->capture + row * a->capture_stride;
            rows->sum_rows(to, from, c->stride, c->each, seen, !fresh);
            if (fresh) memset(to + seen, 0, (size_t)unseen * sizeof *to);
        }
        for (int64_t n = 0; a->maps && n < c->each; n++) {
            float *to = a->maps + ((c->head + n) * a->query_rows + row) * a->capture_stride;
            memcpy(to, from + n * c->stride, (size_t)seen * sizeof *to);
            memset(to + seen, 0, (size_t)unseen * sizeof *to);
        }
    }
}

static void chunk_forward(const struct row_functions *rows, const struct chunk *c,
                          struct workspace *w)
{
    const struct attention *a = c->a;
    const int64_t d = a->head_dim, width = a->heads * d, part = c->each * d;
    const float *queries = floats_at(a->q, c->begin * a->q_stride + c->head * d);
    float *out = floats_at(a->out, c->begin * width + c->head * d);
    if (c->each == 1) {
        chunk_weights(rows, c, &w->k, w->weights, queries, a->q_stride, a->lse);
        chunk_sums(rows, c, &w->v, out, width, w->weights);
    } else {
        for (int64_t i = 0; i < c->rows; i++)
            memcpy(w->queries + i * part, queries + i * a->q_stride, (size_t)part * sizeof *out);
        chunk_weights(rows, c, &w->k, w->weights, w->queries, d, a->lse);
        chunk_sums(rows, c, &w->v, w->out, d, w->weights);
        for (int64_t i = 0; i < c->rows; i++)
            memcpy(out + i * width, w->out + i * part, (size_t)part * sizeof *out);
    }
    if (a->capture || a->maps) chunk_capture(rows, c, w->weights);
}

/* Heads [first, last) of k of the group's query rows [begin, end), head by head. */
static void rows_forward(const struct row_functions *rows, const struct attention *a,
                         const struct group *group, int64_t stride, struct workspace *w,
                         int64_t begin, int64_t end, int64_t first, int64_t last)
{
    struct chunk c = {.group = group, .each = a->heads / a->kv_heads, .stride = stride};
    for (int64_t k = first; k < last && begin < end; k++) {
        c.head = k * c.each;
        side_share(rows, &w->k, a, group, k * a->head_dim);
        side_share(rows, &w->v, a, group, k * a->head_dim);
        for (int64_t at = begin; at < end; at += c.rows) {
            chunk_set(&c, a, at, end);
            chunk_forward(rows, &c, w);
        }
    }
}

/* Into how many parts each of `tasks` tasks is cut so that the threads end soonest.  A task has
 * `items` items on average; a part costs as many more as `overhead`, to transpose the keys. */
static int64_t parts_of(int64_t tasks, int64_t items, int64_t overhead, int64_t threads)
{
    int64_t best = 1, best_cost = INT64_MAX;
    for (int64_t parts = 1; parts <= 4 * threads && parts <= items; parts++) {
        const int64_t rounds = (tasks * parts + threads - 1) / threads;
        const int64_t cost = rounds * ((items + parts - 1) / parts + overhead);
        if (cost < best_cost) best = parts, best_cost = cost;
    }
    return threads > 1 ? best : 1;
}

/* Where part `part` of `parts` of a group's rows begins: with the rows of whole segments where a
 * segment's are to be added in their order. */
static int64_t part_begin(const struct attention *a, const struct group *group, int64_t part,
                          int64_t parts)
{
    const int64_t begin = a->query_begin[group->first], end = a->query_begin[group->last];
    const int64_t row = begin + (end - begin) * part / parts;
    if (!a->statistics || !a->statistics->next) return row;
    int64_t s = group->first;
    while (a->query_begin[s] < row) s++;
    return a->query_begin[s];
}

/* A task is a part of a group's rows and one head of k.  With a capture, whose sum is over heads in
 * order, it is all heads. */
void cpu_attention(struct queue *q, const struct attention *a)
{
    heartbeat_note();
    if (a->query_rows == 0 || a->segments == 0) return;
    struct group *list = cpu_scratch(q, q->threads, (size_t)a->segments * sizeof *list);
    if (!list) return;
    enum { part_overhead = 2 };
    const struct row_functions *rows = rows_of(q);
    const struct groups groups = groups_of(a, list);
    const int64_t together = a->capture ? a->kv_heads : 1, runs = a->kv_heads / together;
    const int64_t items = a->query_rows * a->heads / (groups.count * runs) + 1;
    const int64_t parts =
        parts_of(groups.count * runs, items, part_overhead * together, q->threads);
    const size_t bytes = workspace_bytes(a, &groups);
#pragma omp parallel num_threads(q->threads)
    {
        struct workspace w;
        float *memory = cpu_scratch(q, omp_get_thread_num(), bytes);
        if (memory) workspace_open(&w, a, &groups, memory);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < groups.count * parts * runs; task++) {
            const struct group *group = &list[task / (parts * runs)];
            const int64_t part = task / runs % parts, k = task % runs * together;
            if (memory)
                rows_forward(rows, a, group, keys_stride(groups.keys), &w,
                             part_begin(a, group, part, parts),
                             part_begin(a, group, part + 1, parts), k, k + together);
        }
    }
}
