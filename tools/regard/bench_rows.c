/* Figures of what goes over rows of numbers, beside the copy bandwidth: the fused loss, the norm,
 * and in decoder-only models rope, the norm of heads and the gate. */
#include "src/base/memory.h"
#include "tools/regard/bench.h"

#include <stdio.h>
#include <stdlib.h>

struct rows {
    struct buffer in, out, other; /* other: targets, or the norm's weight */
    int64_t m, d;
};

static void softmax_call(struct queue *q, void *context)
{
    const struct rows *r = context;
    float *out = r->out.data;
    q->op->softmax_loss(q, out, out + r->m, out + 2 * r->m, NULL, NULL, r->in.data, NULL,
                        r->other.data, 1.0f, r->m, r->d);
}

static void rmsnorm_call(struct queue *q, void *context)
{
    const struct rows *r = context;
    q->op->rmsnorm(q, r->out.data, NULL, r->in.data, r->other.data, r->m, r->d, 1e-6f);
}

static void rows_close(struct queue *q, struct rows *r)
{
    buffer_release(q, &r->in);
    buffer_release(q, &r->out);
    buffer_release(q, &r->other);
}

static status bench_softmax(const struct bench *b, json_t *list)
{
    struct queue *q = b->queue;
    struct rows r = {.m = 64, .d = 32128};
    int32_t targets[64];
    double seconds;
    bench_ids(targets, r.m, 0, (int32_t)r.d, 5);
    status s = bench_floats(q, &r.in, r.m * r.d, 6);
    if (!s) s = buffer_reserve(q, &r.out, (size_t)(3 * r.m) * sizeof(float));
    if (!s) s = buffer_upload(q, &r.other, targets, sizeof targets);
    if (!s) s = bench_time(q, softmax_call, &r, &seconds);
    if (!s)
        json_array_append_new(list, bench_kernel_line("softmax_loss 64 x 32128", &b->peaks, seconds,
                                                      0, (double)(r.m * r.d) * sizeof(float)));
    rows_close(q, &r);
    return s;
}

static status bench_rmsnorm(const struct bench *b, json_t *list)
{
    struct queue *q = b->queue;
    struct rows r = {.m = 8 * b->scale->history_tokens, .d = b->scale->d_model};
    double seconds;
    char name[64];
    snprintf(name, sizeof name, "rmsnorm %lld x %lld", (long long)r.m, (long long)r.d);
    status s = bench_reals(q, &r.in, r.m * r.d, 7);
    if (!s) s = buffer_reserve(q, &r.out, (size_t)(r.m * r.d) * q->real_bytes);
    if (!s) s = bench_floats(q, &r.other, r.d, 8);
    if (!s) s = bench_time(q, rmsnorm_call, &r, &seconds);
    if (!s)
        json_array_append_new(list,
                              bench_kernel_line(name, &b->peaks, seconds, 0,
                                                2.0 * (double)(r.m * r.d) * (double)q->real_bytes));
    rows_close(q, &r);
    return s;
}

/* What a decoder-only layer does to each number: rope and the norm of heads of q and k, the gate.
 */
struct passes {
    struct buffer rows, gates, out, table, position, weight;
    int64_t m, stride, heads, d, f;
};

static void rope_call(struct queue *q, void *context)
{
    const struct passes *p = context;
    q->op->rope(q, p->rows.data, p->stride, p->position.data, p->table.data, p->m, p->heads, p->d,
                false);
}

static void head_norm_call(struct queue *q, void *context)
{
    const struct passes *p = context;
    q->op->head_norm(q, p->out.data, p->stride, NULL, p->rows.data, p->stride, p->weight.data, p->m,
                     p->heads, p->d, 1e-6f);
}

static void silu_call(struct queue *q, void *context)
{
    const struct passes *p = context;
    q->op->gated_activation(q, ACTIVATION_SILU, p->out.data, p->gates.data, p->m, p->f);
}

static void passes_close(struct queue *q, struct passes *p)
{
    buffer_release(q, &p->rows);
    buffer_release(q, &p->gates);
    buffer_release(q, &p->out);
    buffer_release(q, &p->table);
    buffer_release(q, &p->position);
    buffer_release(q, &p->weight);
}

static status passes_open(struct queue *q, struct passes *p, int64_t positions)
{
    const int64_t out = p->f > p->stride ? p->f : p->stride;
    int32_t *position = memory_allocate((size_t)p->m * sizeof *position);
    bench_ids(position, p->m, 0, (int32_t)positions, 9);
    status s = buffer_upload(q, &p->position, position, (size_t)p->m * sizeof *position);
    free(position);
    if (!s) s = bench_reals(q, &p->rows, p->m * p->stride, 10);
    if (!s) s = bench_reals(q, &p->gates, 2 * p->m * p->f, 11);
    if (!s) s = bench_floats(q, &p->table, positions * p->d, 12);
    if (!s) s = bench_floats(q, &p->weight, p->d, 13);
    if (!s) s = buffer_reserve(q, &p->out, (size_t)(p->m * out) * q->real_bytes);
    return s;
}

static status bench_passes(const struct bench *b, json_t *list)
{
    struct queue *q = b->queue;
    const struct bench_scale *scale = b->scale;
    struct passes p = {.m = 8 * scale->history_tokens,
                       .stride = (scale->heads + 2 * scale->kv_heads) * scale->d_kv,
                       .heads = scale->heads + scale->kv_heads,
                       .d = scale->d_kv,
                       .f = scale->d_ff};
    const double rotated = 2.0 * (double)(p.m * p.heads * p.d), gated = 3.0 * (double)(p.m * p.f);
    const struct {
        const char *name;
        void (*call)(struct queue *q, void *context);
        int64_t width;
        double reals;
    } lines[] = {{"rope", rope_call, p.heads * p.d, rotated},
                 {"head_norm", head_norm_call, p.heads * p.d, rotated},
                 {"silu", silu_call, p.f, gated}};
    status s = passes_open(q, &p, scale->history_tokens);
    for (size_t i = 0; !s && i < sizeof lines / sizeof *lines; i++) {
        char name[64];
        double seconds;
        snprintf(name, sizeof name, "%s %lld x %lld", lines[i].name, (long long)p.m,
                 (long long)lines[i].width);
        s = bench_time(q, lines[i].call, &p, &seconds);
        if (!s)
            json_array_append_new(list, bench_kernel_line(name, &b->peaks, seconds, 0,
                                                          lines[i].reals * (double)q->real_bytes));
    }
    passes_close(q, &p);
    return s;
}

status bench_rows(const struct bench *b, json_t *list)
{
    TRY(bench_softmax(b, list));
    if (b->scale->kv_heads) TRY(bench_passes(b, list));
    return bench_rmsnorm(b, list);
}
