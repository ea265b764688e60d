/* Attention's figures, beside the matrix rate: T5's encoder over a turn's histories; of a
 * decoder-only model a step of decoding, with its rows one by one beside it, and a prefill. */
#include "src/base/memory.h"
#include "tools/regard/bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { ranges_each = 2 }; /* of a row that is decoded: its history, its own keys */

struct call {
    struct attention a;
    struct buffer rows, store, bias, out, index;
    int32_t *host;   /* of index: query_begin, range_begin, key_begin, key_end */
    double products; /* multiply-adds of head_dim each, twice a pair that sees each other */
};

static void call_together(struct queue *q, void *context)
{
    const struct call *c = context;
    q->op->attention(q, &c->a);
}

/* A call for each row of a decode step. */
static void call_one_by_one(struct queue *q, void *context)
{
    const struct call *c = context;
    struct attention a = c->a;
    a.segments = a.query_rows = 1;
    for (int64_t row = 0; row < c->a.query_rows; row++) {
        a.q = real_at(q, c->a.q, row * a.q_stride);
        a.out = real_at(q, c->a.out, row * a.heads * a.head_dim);
        a.key_begin = c->a.key_begin + row * ranges_each;
        a.key_end = c->a.key_end + row * ranges_each;
        q->op->attention(q, &a);
    }
}

/* Segments of `ranges` ranges each, to be set in `host` before call_open. */
static void call_make(struct call *c, const struct bench *b, int64_t segments, int64_t ranges)
{
    const struct bench_scale *scale = b->scale;
    const int64_t kv_heads = scale->kv_heads ? scale->kv_heads : scale->heads;
    *c = (struct call){.a = {.segments = segments,
                             .head_dim = scale->d_kv,
                             .heads = scale->heads,
                             .kv_heads = kv_heads,
                             .scale = 1.0f,
                             .bias_span = 1}};
    c->host =
        memory_allocate((size_t)(2 * (segments + 1) + 2 * segments * ranges) * sizeof(int32_t));
    for (int64_t s = 0; s <= segments; s++) c->host[segments + 1 + s] = (int32_t)(s * ranges);
}

/* Rows of q, k and v side by side; with `store` keys of their own, k and v in so many rows. */
static status call_open(struct queue *q, struct call *c, int64_t ranges, int64_t store)
{
    struct attention *a = &c->a;
    const int64_t heads = a->segments + 1, all = a->segments * ranges, d = a->head_dim;
    const int64_t width = (a->heads + 2 * a->kv_heads) * d;
    a->query_rows = c->host[a->segments];
    TRY(bench_reals(q, &c->rows, a->query_rows * width, 3));
    if (store) TRY(bench_reals(q, &c->store, store * 2 * a->kv_heads * d, 4));
    TRY(buffer_reserve(q, &c->out, (size_t)(a->query_rows * a->heads * d) * q->real_bytes));
    TRY(buffer_upload(q, &c->index, c->host, (size_t)(2 * heads + 2 * all) * sizeof(int32_t)));
    const int32_t *index = c->index.data;
    a->query_begin = index;
    a->range_begin = index + heads;
    a->key_begin = index + 2 * heads;
    a->key_end = index + 2 * heads + all;
    a->q = c->rows.data;
    a->k = store ? c->store.data : real_at(q, c->rows.data, a->heads * d);
    a->v = real_at(q, a->k, a->kv_heads * d);
    a->q_stride = width;
    a->k_stride = a->v_stride = store ? 2 * a->kv_heads * d : width;
    a->out = c->out.data;
    return NULL;
}

static void call_close(struct queue *q, struct call *c)
{
    buffer_release(q, &c->rows);
    buffer_release(q, &c->store);
    buffer_release(q, &c->bias);
    buffer_release(q, &c->out);
    buffer_release(q, &c->index);
    free(c->host);
}

static status call_time(const struct bench *b, struct call *c, const char *what, json_t *list,
                        void (*run)(struct queue *q, void *context))
{
    double seconds;
    char name[128];
    const double flops = 4.0 * c->products * (double)(c->a.heads * c->a.head_dim);
    snprintf(name, sizeof name, "attention, %s, %lld heads on %lld of %lld", what,
             (long long)c->a.heads, (long long)c->a.kv_heads, (long long)c->a.head_dim);
    TRY(bench_time(b->queue, run, c, &seconds));
    json_array_append_new(list, bench_kernel_line(name, &b->peaks, seconds, flops, 0));
    return NULL;
}

/* Each of so many histories reads itself: T5's encoder, or a decoder-only model's prefill. */
static status bench_histories(const struct bench *b, int64_t histories, bool causal, json_t *list)
{
    struct queue *q = b->queue;
    const int64_t n = b->scale->history_tokens;
    struct call c;
    call_make(&c, b, histories, 1);
    int32_t *key_begin = c.host + 2 * (histories + 1), *key_end = key_begin + histories;
    for (int64_t h = 0; h <= histories; h++) c.host[h] = (int32_t)(h * n);
    for (int64_t h = 0; h < histories; h++) {
        key_begin[h] = (int32_t)(h * n);
        key_end[h] = (int32_t)((h + 1) * n);
    }
    c.products = (double)(histories * (causal ? n * (n + 1) / 2 : n * n));
    status s = call_open(q, &c, 1, 0);
    if (!s && !causal) s = bench_floats(q, &c.bias, c.a.heads * (2 * n - 1), 4);
    if (!s) {
        char what[64];
        c.a.causal = causal;
        c.a.bias = c.bias.data;
        c.a.bias_span = n;
        snprintf(what, sizeof what, "%s, %lld x %lld tokens", causal ? "prefill" : "encoder self",
                 (long long)histories, (long long)n);
        s = call_time(b, &c, what, list, call_together);
    }
    call_close(q, &c);
    return s;
}

/* A turn's candidates half way through their replies. */
static status bench_decode_step(const struct bench *b, json_t *list)
{
    struct queue *q = b->queue;
    const struct bench_scale *scale = b->scale;
    const int64_t n = scale->history_tokens, each = scale->candidates, own = scale->new_tokens;
    const int64_t rows = scale->histories * each, first = scale->histories * n;
    struct call c;
    call_make(&c, b, rows, ranges_each);
    int32_t *key_begin = c.host + 2 * (rows + 1), *key_end = key_begin + rows * ranges_each;
    for (int64_t row = 0; row <= rows; row++) c.host[row] = (int32_t)row;
    for (int64_t row = 0; row < rows; row++) {
        key_begin[ranges_each * row] = (int32_t)(row / each * n);
        key_end[ranges_each * row] = (int32_t)((row / each + 1) * n);
        key_begin[ranges_each * row + 1] = (int32_t)(first + row * own);
        key_end[ranges_each * row + 1] = (int32_t)(first + row * own + own / 2);
    }
    c.products = (double)(rows * (n + own / 2));
    status s = call_open(q, &c, ranges_each, first + rows * own);
    c.a.causal = true;
    char what[96];
    for (int single = 0; !s && single < 2; single++) {
        snprintf(what, sizeof what, "decode, %lld x %lld tokens, %lld replies of %lld%s",
                 (long long)scale->histories, (long long)n, (long long)rows, (long long)own / 2,
                 single ? ", row by row" : "");
        s = call_time(b, &c, what, list, single ? call_one_by_one : call_together);
    }
    call_close(q, &c);
    return s;
}

status bench_attention(const struct bench *b, json_t *list)
{
    if (!b->scale->kv_heads) return bench_histories(b, b->scale->histories, false, list);
    TRY(bench_decode_step(b, list));
    return bench_histories(b, b->scale->prefill_histories, true, list);
}
