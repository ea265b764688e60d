/* The kernels' figures: matrix products of the model's shapes, attention (bench_attention.c), and
 * what goes over rows of numbers (bench_rows.c), each beside the matrix rate and the copy
 * bandwidth of the same run. */
#include "kernels/cost.h"
#include "mpi/setup.h"
#include "tools/regard/bench.h"

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

/* Weights [n, k] and inputs for up to max_m rows. */
static status product_open(struct queue *q, struct product *p, int64_t n, int64_t k, int64_t max_m)
{
    *p = (struct product){.n = n, .k = k};
    struct buffer values = {0};
    status s = bench_floats(q, &values, n * k, 1);
    if (!s) s = q->op->matrix_create(q, n, k, false, &p->w);
    if (!s) q->op->matrix_pack(q, p->w, values.data, NULL);
    if (!s) s = q->op->synchronize(q);
    if (!s) s = bench_reals(q, &p->x, max_m * k, 2);
    if (!s) s = buffer_reserve(q, &p->y, (size_t)(max_m * n) * q->real_bytes);
    buffer_release(q, &values);
    if (s) product_close(q, p);
    return s;
}

static double product_flops(const struct queue *q, const struct product *p)
{
    return cost_product(q, p->m, (struct matrix_size){p->n, p->k}, q->real_bytes, false).flops;
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

static status peaks_of(struct queue *q, const struct bench_scale *scale, struct bench_peaks *peaks)
{
    struct product p;
    double seconds;
    TRY(product_open(q, &p, scale->peak_n, scale->peak_k, scale->peak_m));
    p.m = scale->peak_m;
    status s = bench_time(q, product_call, &p, &seconds);
    peaks->flops = s ? 0 : product_flops(q, &p) / seconds;
    product_close(q, &p);
    if (s) return s;

    struct copy c = {.bytes = (size_t)scale->copy_bytes};
    s = buffer_reserve(q, &c.from, c.bytes);
    if (!s) s = buffer_reserve(q, &c.to, c.bytes);
    if (!s) {
        q->op->zero(q, c.from.data, c.bytes); /* touched, so that pages are there */
        s = bench_time(q, copy_call, &c, &seconds);
    }
    if (!s) peaks->bytes = 2 * (double)c.bytes / seconds;
    peaks->read = 0;
    if (!s && q->on_host) s = bench_read_rate(q->threads, scale->copy_bytes, &peaks->read);
    buffer_release(q, &c.from);
    buffer_release(q, &c.to);
    return s;
}

/* On a queue of its own: its memory is not what the benchmark needs. */
status bench_peaks_measure(const struct bench *b, struct bench_peaks *peaks, json_t *out)
{
    const struct bench_scale *scale = b->scale;
    struct queue *q;
    TRY(queue_open(&b->config, 0, 1, &q));
    status s = peaks_of(q, scale, peaks);
    q->op->destroy(q);
    if (s) return s;
    json_object_set_new(out, "matmul_gflops", json_real(peaks->flops * 1e-9));
    json_object_set_new(out, "matmul_shape",
                        json_sprintf("m %lld, n %lld, k %lld", (long long)scale->peak_m,
                                     (long long)scale->peak_n, (long long)scale->peak_k));
    json_object_set_new(out, "copy_gb_s", json_real(peaks->bytes * 1e-9));
    json_object_set_new(out, "copy_of",
                        json_sprintf("%lld MiB by op->copy, read plus written",
                                     (long long)(scale->copy_bytes >> 20)));
    if (peaks->read > 0) json_object_set_new(out, "read_gb_s", json_real(peaks->read * 1e-9));
    return NULL;
}

json_t *bench_kernel_line(const char *name, const struct bench_peaks *peaks, double seconds,
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
static status bench_products(const struct bench *b, json_t *list)
{
    struct queue *q = b->queue;
    const struct bench_scale *scale = b->scale;
    const int64_t inner = scale->heads * scale->d_kv, kv = scale->kv_heads * scale->d_kv;
    /* A decoder-only model has q, k and v in one product, gate and up in another. */
    const bool fused = kv > 0;
    const int64_t shapes[][2] = {{inner + 2 * kv, scale->d_model},
                                 {(fused ? 2 : 1) * scale->d_ff, scale->d_model},
                                 {scale->d_model, scale->d_ff},
                                 {fused ? scale->vocabulary : 32128, scale->d_model}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct product p;
        int64_t max_m = 1;
        for (int r = 0; r < 5; r++)
            if (b->scale->rows[r] > max_m) max_m = b->scale->rows[r];
        TRY(product_open(q, &p, shapes[i][0], shapes[i][1], max_m));
        status s = NULL;
        for (int r = 0; !s && r < 5 && b->scale->rows[r]; r++) {
            double seconds;
            p.m = b->scale->rows[r];
            s = bench_time(q, product_call, &p, &seconds);
            if (s) break;
            json_t *line = bench_kernel_line("matmul", &b->peaks, seconds, product_flops(q, &p),
                                             (double)(p.n * p.k) * (double)q->real_bytes);
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

status bench_kernels(const struct bench *b, json_t *out)
{
    json_t *list = json_array();
    json_object_set_new(out, "kernels", list);
    TRY(bench_products(b, list));
    TRY(bench_attention(b, list));
    return bench_rows(b, list);
}
