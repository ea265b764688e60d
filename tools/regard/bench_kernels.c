/* The kernels' figures: matrix products of a T5-small's shapes, attention, the fused loss and
 * the norm, each beside the matrix rate and the copy bandwidth of the same run. */
#include "src/base/arena.h"
#include "tools/regard/bench.h"

#include <stdlib.h>

struct product {
    struct packed_matrix *w;
    struct buffer x, y;
    int64_t n, k, m;
};

static void product_call(struct queue *q, void *context)
{
    const struct product *p = context;
    q->op->matmul(q, p->y.data, p->x.data, p->w, p->m, false);
}

static void product_close(struct queue *q, struct product *p)
{
    if (p->w) q->op->matrix_destroy(q, p->w);
    buffer_release(q, &p->x);
    buffer_release(q, &p->y);
}

/* Weights [n, k] and inputs for up to most_m rows. */
static status product_open(struct queue *q, struct product *p, int64_t n, int64_t k, int64_t most_m)
{
    *p = (struct product){.n = n, .k = k};
    struct buffer values = {0};
    status s = bench_floats(q, &values, n * k, 1);
    if (!s) s = q->op->matrix_create(q, n, k, false, &p->w);
    if (!s) q->op->matrix_pack(q, p->w, values.data, NULL);
    if (!s) s = q->op->synchronize(q);
    if (!s) s = bench_floats(q, &p->x, most_m * k, 2);
    if (!s) s = buffer_reserve(q, &p->y, (size_t)(most_m * n) * sizeof(float));
    buffer_release(q, &values);
    if (s) product_close(q, p);
    return s;
}

static double product_flops(const struct product *p)
{
    return 2.0 * (double)p->m * (double)p->n * (double)p->k;
}

struct copy {
    struct buffer from, to;
    size_t bytes;
};

static void copy_call(struct queue *q, void *context)
{
    const struct copy *c = context;
    q->op->copy(q, c->to.data, c->from.data, c->bytes);
}

status bench_peaks_measure(struct queue *q, struct bench_peaks *peaks, json_t *out)
{
    const int64_t side = 2048, rows = 256;
    struct product p;
    double seconds;
    TRY(product_open(q, &p, side, side, rows));
    p.m = rows;
    status s = bench_time(q, product_call, &p, &seconds);
    peaks->flops = s ? 0 : product_flops(&p) / seconds;
    product_close(q, &p);
    if (s) return s;

    struct copy c = {.bytes = (size_t)256 << 20};
    s = buffer_reserve(q, &c.from, c.bytes);
    if (!s) s = buffer_reserve(q, &c.to, c.bytes);
    if (!s) {
        q->op->zero(q, c.from.data, c.bytes); /* touched, so that pages are there */
        s = bench_time(q, copy_call, &c, &seconds);
    }
    if (!s) peaks->bytes = 2 * (double)c.bytes / seconds;
    buffer_release(q, &c.from);
    buffer_release(q, &c.to);
    if (s) return s;
    json_object_set_new(out, "matmul_gflops", json_real(peaks->flops * 1e-9));
    json_object_set_new(out, "matmul_shape", json_string("m 256, n 2048, k 2048"));
    json_object_set_new(out, "copy_gb_s", json_real(peaks->bytes * 1e-9));
    json_object_set_new(out, "copy_of", json_string("256 MiB by op->copy, read plus written"));
    return NULL;
}

/* One kernel's line; flops or bytes 0: not told. */
static json_t *kernel_line(const char *name, const struct bench_peaks *peaks, double seconds,
                           double flops, double bytes)
{
    json_t *line = json_object();
    json_object_set_new(line, "kernel", json_string(name));
    json_object_set_new(line, "microseconds", json_real(seconds * 1e6));
    if (flops > 0) {
        json_object_set_new(line, "gflops", json_real(flops / seconds * 1e-9));
        json_object_set_new(line, "share_of_matmul_peak",
                            json_real(flops / seconds / peaks->flops));
    }
    if (bytes > 0) {
        json_object_set_new(line, "gb_s", json_real(bytes / seconds * 1e-9));
        json_object_set_new(line, "share_of_copy", json_real(bytes / seconds / peaks->bytes));
    }
    return line;
}

/* gb_s is of the weights alone: they are in cache when they fit, and the share may pass 1. */
static status bench_products(struct queue *q, const struct bench_peaks *peaks, json_t *list)
{
    static const int64_t shapes[][2] = {{512, 512}, {2048, 512}, {512, 2048}, {32128, 512}};
    static const int64_t rows[] = {1, 4, 16, 64, 256};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct product p;
        TRY(product_open(q, &p, shapes[i][0], shapes[i][1], 256));
        status s = NULL;
        for (size_t r = 0; !s && r < sizeof rows / sizeof *rows; r++) {
            double seconds;
            p.m = rows[r];
            s = bench_time(q, product_call, &p, &seconds);
            if (s) break;
            json_t *line = kernel_line("matmul", peaks, seconds, product_flops(&p),
                                       (double)(p.n * p.k) * sizeof(float));
            json_object_set_new(line, "m", json_integer(p.m));
            json_object_set_new(line, "n", json_integer(p.n));
            json_object_set_new(line, "k", json_integer(p.k));
            json_array_append_new(list, line);
        }
        product_close(q, &p);
        if (s) return s;
    }
    return NULL;
}

static void attention_call(struct queue *q, void *context)
{
    q->op->attention(q, context);
}

/* The encoder's self-attention over one history. */
static status bench_attention(struct queue *q, const struct bench_peaks *peaks, json_t *list)
{
    const int64_t n = 128, heads = 8, d = 64, inner = heads * d;
    const int32_t ranges[] = {0, (int32_t)n};
    struct buffer qkv = {0}, bias = {0}, out = {0}, begin = {0};
    status s = bench_floats(q, &qkv, n * 3 * inner, 3);
    if (!s) s = bench_floats(q, &bias, heads * (2 * n - 1), 4);
    if (!s) s = buffer_reserve(q, &out, (size_t)(n * inner) * sizeof(float));
    if (!s) s = buffer_upload(q, &begin, ranges, sizeof ranges);
    if (!s) {
        const float *rows = qkv.data;
        const int32_t *range = begin.data;
        struct attention a = {.segments = 1,
                              .heads = heads,
                              .head_dim = d,
                              .query_rows = n,
                              .query_begin = range,
                              .key_begin = range,
                              .key_end = range + 1,
                              .q = rows,
                              .k = rows + inner,
                              .v = rows + 2 * inner,
                              .q_stride = 3 * inner,
                              .k_stride = 3 * inner,
                              .v_stride = 3 * inner,
                              .bias = bias.data,
                              .bias_span = n,
                              .out = out.data};
        double seconds;
        s = bench_time(q, attention_call, &a, &seconds);
        if (!s)
            json_array_append_new(list,
                                  kernel_line("attention, encoder self, n 128, 8 heads of 64",
                                              peaks, seconds, 4.0 * (double)(n * n * inner), 0));
    }
    buffer_release(q, &qkv);
    buffer_release(q, &bias);
    buffer_release(q, &out);
    buffer_release(q, &begin);
    return s;
}

struct rows {
    struct buffer in, out, other; /* other: targets, or the norm's weight */
    int64_t m, d;
};

static void softmax_call(struct queue *q, void *context)
{
    const struct rows *r = context;
    float *out = r->out.data;
    q->op->softmax_loss(q, out, out + r->m, out + 2 * r->m, NULL, r->in.data, NULL, r->other.data,
                        1.0f, r->m, r->d);
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

static status bench_softmax(struct queue *q, const struct bench_peaks *peaks, json_t *list)
{
    struct rows r = {.m = 64, .d = 32128};
    int32_t targets[64];
    double seconds;
    bench_ids(targets, r.m, 0, (int32_t)r.d, 5);
    status s = bench_floats(q, &r.in, r.m * r.d, 6);
    if (!s) s = buffer_reserve(q, &r.out, (size_t)(3 * r.m) * sizeof(float));
    if (!s) s = buffer_upload(q, &r.other, targets, sizeof targets);
    if (!s) s = bench_time(q, softmax_call, &r, &seconds);
    if (!s)
        json_array_append_new(list, kernel_line("softmax_loss 64 x 32128", peaks, seconds, 0,
                                                (double)(r.m * r.d) * sizeof(float)));
    rows_close(q, &r);
    return s;
}

static status bench_rmsnorm(struct queue *q, const struct bench_peaks *peaks, json_t *list)
{
    struct rows r = {.m = 1024, .d = 512};
    double seconds;
    status s = bench_floats(q, &r.in, r.m * r.d, 7);
    if (!s) s = buffer_reserve(q, &r.out, (size_t)(r.m * r.d) * sizeof(float));
    if (!s) s = bench_floats(q, &r.other, r.d, 8);
    if (!s) s = bench_time(q, rmsnorm_call, &r, &seconds);
    if (!s)
        json_array_append_new(list, kernel_line("rmsnorm 1024 x 512", peaks, seconds, 0,
                                                2.0 * (double)(r.m * r.d) * sizeof(float)));
    rows_close(q, &r);
    return s;
}

status bench_kernels(struct queue *q, const struct bench_peaks *peaks, json_t *out)
{
    json_t *list = json_array();
    json_object_set_new(out, "kernels", list);
    TRY(bench_products(q, peaks, list));
    TRY(bench_attention(q, peaks, list));
    TRY(bench_softmax(q, peaks, list));
    return bench_rmsnorm(q, peaks, list);
}
