/* A table of operations that calls another one's and takes the time.  It is the first member of its
 * struct, so that a call finds the rest by its queue's table.  See profile.h. */
#include "kernels/profile.h"

#include "src/base/clock.h"
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define OPERATIONS(X)                                                                              \
    X(upload)                                                                                      \
    X(download)                                                                                    \
    X(copy)                                                                                        \
    X(zero)                                                                                        \
    X(matrix_pack)                                                                                 \
    X(matmul)                                                                                      \
    X(matmul_relu)                                                                                 \
    X(matmul_float)                                                                                \
    X(matmul_input_gradient)                                                                       \
    X(matmul_weight_gradient)                                                                      \
    X(narrow)                                                                                      \
    X(embedding)                                                                                   \
    X(embedding_backward)                                                                          \
    X(rmsnorm)                                                                                     \
    X(rmsnorm_backward)                                                                            \
    X(add)                                                                                         \
    X(scale)                                                                                       \
    X(relu_backward)                                                                               \
    X(gated_activation)                                                                            \
    X(gated_activation_backward)                                                                   \
    X(bias_add)                                                                                    \
    X(bias_backward)                                                                               \
    X(head_norm)                                                                                   \
    X(head_norm_backward)                                                                          \
    X(rope)                                                                                        \
    X(relative_bias)                                                                               \
    X(relative_bias_backward)                                                                      \
    X(attention)                                                                                   \
    X(attention_backward)                                                                          \
    X(attention_alignment)                                                                         \
    X(attention_summary)                                                                           \
    X(attention_received)                                                                          \
    X(head_statistics_sampled)                                                                     \
    X(head_row_entropy)                                                                            \
    X(cache_append)                                                                                \
    X(advance)                                                                                     \
    X(mean_rows)                                                                                   \
    X(mean_rows_backward)                                                                          \
    X(softmax_loss)                                                                                \
    X(softmax_loss_backward)                                                                       \
    X(sample)                                                                                      \
    X(ppo_loss)                                                                                    \
    X(square_sum)                                                                                  \
    X(adamw)

#define NUMBER(name) OP_##name,
enum operation { OPERATIONS(NUMBER) OPERATION_COUNT };
#define NAME(name) #name,
static const char *const names[] = {OPERATIONS(NAME)};

struct product {
    const struct packed_matrix *w;
    double elements;
};

struct profile {
    struct ops table;
    struct queue *queue;
    const struct ops *inner;
    double begun;
    bool inside; /* a call of an operation's own is part of it */
    struct count {
        int64_t calls;
        double seconds, flops;
    } counts[OPERATION_COUNT];
    struct product *products;
    int64_t product_count;
};

static struct profile *profile_of(const struct queue *q)
{
    return (struct profile *)(uintptr_t)q->op;
}

static void profile_add(struct profile *p, enum operation operation, double begun, double flops)
{
    p->inside = false;
    p->counts[operation].calls++;
    p->counts[operation].seconds += seconds_now() - begun;
    p->counts[operation].flops += flops;
}

/* Elements of a matrix that was created here; 0: unknown. */
static double product_elements(const struct profile *p, const struct packed_matrix *w)
{
    for (int64_t i = 0; i < p->product_count; i++)
        if (p->products[i].w == w) return p->products[i].elements;
    return 0;
}

static status timed_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                                  struct packed_matrix **out)
{
    struct profile *p = profile_of(q);
    TRY(p->inner->matrix_create(q, n, k, with_input_gradient, out));
    p->products = memory_resize(p->products, (size_t)(p->product_count + 1) * sizeof *p->products);
    p->products[p->product_count++] =
        (struct product){.w = *out, .elements = (double)n * (double)k};
    return NULL;
}

static void timed_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    struct profile *p = profile_of(q);
    for (int64_t i = 0; i < p->product_count; i++)
        if (p->products[i].w == w) p->products[i] = p->products[--p->product_count];
    p->inner->matrix_destroy(q, w);
}

/* flops: of this call, by its arguments. */
#define TIMED_PRODUCT(name, flops, arguments, ...)                                                 \
    static void timed_##name(struct queue *q, __VA_ARGS__)                                         \
    {                                                                                              \
        struct profile *p = profile_of(q);                                                         \
        const bool outer = !p->inside;                                                             \
        const double begun = seconds_now();                                                        \
        p->inside = true;                                                                          \
        p->inner->name arguments;                                                                  \
        if (outer) profile_add(p, OP_##name, begun, flops);                                        \
    }
#define TIMED(name, arguments, ...) TIMED_PRODUCT(name, 0, arguments, __VA_ARGS__)
#define FLOPS (2 * (double)m * product_elements(p, w))

TIMED(upload, (q, to, from, bytes), void *to, const void *from, size_t bytes)
TIMED(download, (q, to, from, bytes), void *to, const void *from, size_t bytes)
TIMED(copy, (q, to, from, bytes), void *to, const void *from, size_t bytes)
TIMED(zero, (q, to, bytes), void *to, size_t bytes)
TIMED(matrix_pack, (q, w, values, rounding), struct packed_matrix *w, const float *values,
      const struct rounding *rounding)
TIMED_PRODUCT(matmul, FLOPS, (q, y, x, w, m, accumulate), real *y, const real *x,
              const struct packed_matrix *w, int64_t m, bool accumulate)
TIMED_PRODUCT(matmul_relu, FLOPS, (q, y, x, w, m), real *y, const real *x,
              const struct packed_matrix *w, int64_t m)
TIMED_PRODUCT(matmul_float, FLOPS, (q, y, x, w, m, accumulate), float *y, const real *x,
              const struct packed_matrix *w, int64_t m, bool accumulate)
TIMED_PRODUCT(matmul_input_gradient, FLOPS, (q, dx, dy, w, m, accumulate), real *dx, const real *dy,
              const struct packed_matrix *w, int64_t m, bool accumulate)
TIMED_PRODUCT(matmul_weight_gradient, 2 * (double)m * (double)n * (double)k,
              (q, dw, dy, x, m, n, k, accumulate), float *dw, const real *dy, const real *x,
              int64_t m, int64_t n, int64_t k, bool accumulate)
TIMED(narrow, (q, y, x, count), real *y, const float *x, int64_t count)
TIMED(embedding, (q, y, table, ids, m, d), real *y, const float *table, const int32_t *ids,
      int64_t m, int64_t d)
TIMED(embedding_backward, (q, dtable, dy, ids, m, d), float *dtable, const real *dy,
      const int32_t *ids, int64_t m, int64_t d)
TIMED(rmsnorm, (q, y, inverse, x, w, m, d, eps), real *y, float *inverse, const real *x,
      const float *w, int64_t m, int64_t d, float eps)
TIMED(rmsnorm_backward, (q, dx, dw, dy, x, w, inverse, m, d, accumulate), real *dx, float *dw,
      const real *dy, const real *x, const float *w, const float *inverse, int64_t m, int64_t d,
      bool accumulate)
TIMED(add, (q, y, a, b, count), float *y, const float *a, const float *b, int64_t count)
TIMED(scale, (q, y, a, factor, count), real *y, const real *a, float factor, int64_t count)
TIMED(relu_backward, (q, dx, dy, x, count), real *dx, const real *dy, const real *x, int64_t count)
TIMED(gated_activation, (q, activation, y, x, m, f), enum activation activation, real *y,
      const real *x, int64_t m, int64_t f)
TIMED(gated_activation_backward, (q, activation, dx, dy, x, m, f), enum activation activation,
      real *dx, const real *dy, const real *x, int64_t m, int64_t f)
TIMED(bias_add, (q, y, stride, bias, m, n), real *y, int64_t stride, const float *bias, int64_t m,
      int64_t n)
TIMED(bias_backward, (q, dbias, dy, stride, m, n), float *dbias, const real *dy, int64_t stride,
      int64_t m, int64_t n)
TIMED(head_norm, (q, y, y_stride, inverse, x, x_stride, w, m, heads, d, eps), real *y,
      int64_t y_stride, float *inverse, const real *x, int64_t x_stride, const float *w, int64_t m,
      int64_t heads, int64_t d, float eps)
TIMED(head_norm_backward,
      (q, dx, dx_stride, dw, dy, dy_stride, x, x_stride, w, inverse, m, heads, d), real *dx,
      int64_t dx_stride, float *dw, const real *dy, int64_t dy_stride, const real *x,
      int64_t x_stride, const float *w, const float *inverse, int64_t m, int64_t heads, int64_t d)
TIMED(rope, (q, x, stride, position, table, m, heads, d, inverse), real *x, int64_t stride,
      const int32_t *position, const float *table, int64_t m, int64_t heads, int64_t d,
      bool inverse)
TIMED(relative_bias, (q, bias, table, span, heads, buckets, max_distance, bidirectional),
      float *bias, const float *table, int64_t span, int64_t heads, int64_t buckets,
      int64_t max_distance, bool bidirectional)
TIMED(relative_bias_backward, (q, dtable, dbias, span, heads, buckets, max_distance, bidirectional),
      float *dtable, const float *dbias, int64_t span, int64_t heads, int64_t buckets,
      int64_t max_distance, bool bidirectional)
TIMED(attention, (q, a), const struct attention *a)
TIMED(attention_backward, (q, a, g), const struct attention *a, const struct attention_gradients *g)
TIMED(attention_alignment, (q, a), const struct alignment *a)
TIMED(attention_summary, (q, s), const struct attention_summary *s)
TIMED(attention_received, (q, a), const struct attention_received *a)
TIMED(head_statistics_sampled, (q, s, rows), const struct head_statistics *s, int64_t rows)
TIMED(head_row_entropy, (q, s, history, first, replies), const struct head_statistics *s,
      const int32_t *history, const int32_t *first, int64_t replies)
TIMED(cache_append, (q, to, slot_stride, slot, position, from, from_stride, rows, width, bytes),
      void *to, int64_t slot_stride, const int32_t *slot, const int32_t *position, const void *from,
      int64_t from_stride, int64_t rows, int64_t width, size_t bytes)
TIMED(advance, (q, counters, value, count, stride), int32_t *counters, int32_t value, int64_t count,
      int64_t stride)
TIMED(mean_rows, (q, out, x, begin, segments, d), real *out, const real *x, const int32_t *begin,
      int64_t segments, int64_t d)
TIMED(mean_rows_backward, (q, dx, dout, begin, segments, d), real *dx, const real *dout,
      const int32_t *begin, int64_t segments, int64_t d)
TIMED(softmax_loss,
      (q, logp, entropy, lse, kl, self_certainty, logits, reference, targets, temperature, m,
       vocabulary),
      float *logp, float *entropy, float *lse, float *kl, float *self_certainty,
      const float *logits, const float *reference, const int32_t *targets, float temperature,
      int64_t m, int64_t vocabulary)
TIMED(softmax_loss_backward,
      (q, dlogits, logits, lse, targets, dlogp, temperature, smoothing, bonus, m, vocabulary),
      real *dlogits, const float *logits, const float *lse, const int32_t *targets,
      const float *dlogp, float temperature, float smoothing, const struct entropy_bonus *bonus,
      int64_t m, int64_t vocabulary)
TIMED(sample, (q, s), const struct sampling *s)
TIMED(ppo_loss, (q, t), const struct ppo_tokens *t)
TIMED(square_sum, (q, sum, x, count), double *sum, const float *x, int64_t count)
TIMED(adamw, (q, w, first, second, gradient, count, settings), float *w, float *first,
      float *second, const float *gradient, int64_t count, const struct adamw *settings)

status profile_begin(struct queue *q, struct profile **out)
{
    *out = NULL;
    if (!q->on_host)
        FAIL(STATUS_INPUT, "--profile times operations on the CPU; on a GPU take NVIDIA's nsys, or "
                           "--set device=cpu");
    struct profile *p = memory_allocate(sizeof *p);
    p->queue = q;
    p->inner = q->op;
    p->table = *q->op;
    p->table.matrix_create = timed_matrix_create;
    p->table.matrix_destroy = timed_matrix_destroy;
#define TAKE(name) p->table.name = timed_##name;
    OPERATIONS(TAKE)
    q->op = &p->table;
    profile_clear(p);
    *out = p;
    return NULL;
}

void profile_clear(struct profile *p)
{
    memset(p->counts, 0, sizeof p->counts);
    p->begun = seconds_now();
}

void profile_print(const struct profile *p, const char *title, FILE *out)
{
    const double whole = seconds_now() - p->begun;
    bool printed[OPERATION_COUNT] = {false};
    double rest = whole;
    fprintf(out, "%s: %.2f s\n%10s %6s %9s %8s\n", title, whole, "seconds", "%", "calls",
            "GFLOP/s");
    for (;;) {
        int next = -1;
        for (int i = 0; i < OPERATION_COUNT; i++)
            if (!printed[i] && p->counts[i].calls &&
                (next < 0 || p->counts[i].seconds > p->counts[next].seconds))
                next = i;
        if (next < 0) break;
        const struct count *count = &p->counts[next];
        printed[next] = true;
        rest -= count->seconds;
        char rate[32] = "";
        if (count->flops > 0)
            snprintf(rate, sizeof rate, "%.1f", count->flops / count->seconds * 1e-9);
        fprintf(out, "%10.3f %6.1f %9lld %8s  %s\n", count->seconds, 100 * count->seconds / whole,
                (long long)count->calls, rate, names[next]);
    }
    fprintf(out, "%10.3f %6.1f %27s\n", rest, 100 * rest / whole, "outside of operations");
}

void profile_end(struct profile *p)
{
    if (!p) return;
    p->queue->op = p->inner;
    free(p->products);
    free(p);
}
