/* What every operation of ops.h costs: floating-point operations and bytes moved, by its arguments
 * alone.  A fused multiply-add is two operations; an exponential, a root or a division is one.
 * Bytes are those that must move once: each input read, each output written, and read too where
 * it is added to.  Caches may save some of a key row's reads, which are counted for every segment
 * that has it in its list.
 *
 * The costs of attention, attention_backward, attention_alignment, mean_rows and its gradient
 * depend on lengths that stand in device memory, and read them: only where that is host memory. */
#ifndef REGARD_KERNELS_COST_H
#define REGARD_KERNELS_COST_H

#include "kernels/ops.h"

struct cost {
    double flops, bytes;
};

/* A roofline: the launch, and the longer of computing and moving. */
double cost_seconds(struct cost cost, const struct cost_rates *rates);

/* A packed matrix is known to its back end alone: [n, k]. */
struct matrix_size {
    int64_t n, k;
};

/* `count` elements at so many operations and bytes each. */
static inline struct cost cost_each(double count, double flops, double bytes)
{
    return (struct cost){count * flops, count * bytes};
}

/* A product of [m, k] and [n, k], into elements of out_bytes. */
struct cost cost_product(const struct queue *q, int64_t m, struct matrix_size size,
                         size_t out_bytes, bool accumulate);
/* Of reals [m, n] and [m, k] into fp32 [n, k]. */
struct cost cost_weight_gradient(const struct queue *q, int64_t m, int64_t n, int64_t k,
                                 bool accumulate);

/* What a call of attention goes over. */
struct attention_work {
    double pairs; /* of a query and a key that it sees, of one head */
    double keys;  /* rows of k and v, each for every segment that reads it */
};
struct attention_work attention_work(const struct attention *a);
struct cost cost_attention(const struct queue *q, const struct attention *a,
                           struct attention_work work);
struct cost cost_attention_backward(const struct queue *q, const struct attention *a,
                                    const struct attention_gradients *g,
                                    struct attention_work work);
struct cost cost_alignment(const struct queue *q, const struct alignment *a);

/* Rows of all segments. */
static inline double segment_rows(const int32_t *begin, int64_t segments)
{
    return (double)begin[segments] - (double)begin[0];
}

/* X(name, cost, arguments, parameters behind the queue): every operation that computes or moves.
 * `cost` is an expression of the parameters; matrix_size(q, w) in it is the user's function.
 * R: bytes of a real. */
#define COST_R ((double)q->real_bytes)
#define OPERATIONS(X)                                                                              \
    X(upload, cost_each((double)bytes, 0, 1), (q, to, from, bytes), void *to, const void *from,    \
      size_t bytes)                                                                                \
    X(download, cost_each((double)bytes, 0, 1), (q, to, from, bytes), void *to, const void *from,  \
      size_t bytes)                                                                                \
    X(copy, cost_each((double)bytes, 0, 2), (q, to, from, bytes), void *to, const void *from,      \
      size_t bytes)                                                                                \
    X(zero, cost_each((double)bytes, 0, 1), (q, to, bytes), void *to, size_t bytes)                \
    X(matrix_pack,                                                                                 \
      cost_each((double)matrix_size(q, w).n *(double)matrix_size(q, w).k, 0, 4 + COST_R),          \
      (q, w, values, rounding), struct packed_matrix *w, const float *values,                      \
      const struct rounding *rounding)                                                             \
    X(matrix_hash, cost_each((double)matrix_size(q, w).n *(double)matrix_size(q, w).k, 0, COST_R), \
      (q, sum, w), uint64_t *sum, const struct packed_matrix *w)                                   \
    X(matmul, cost_product(q, m, matrix_size(q, w), q->real_bytes, accumulate),                    \
      (q, y, x, w, m, accumulate), real *y, const real *x, const struct packed_matrix *w,          \
      int64_t m, bool accumulate)                                                                  \
    X(matmul_relu, cost_product(q, m, matrix_size(q, w), q->real_bytes, false), (q, y, x, w, m),   \
      real *y, const real *x, const struct packed_matrix *w, int64_t m)                            \
    X(matmul_float, cost_product(q, m, matrix_size(q, w), sizeof(float), accumulate),              \
      (q, y, x, w, m, accumulate), float *y, const real *x, const struct packed_matrix *w,         \
      int64_t m, bool accumulate)                                                                  \
    X(matmul_input_gradient, cost_product(q, m, matrix_size(q, w), q->real_bytes, accumulate),     \
      (q, dx, dy, w, m, accumulate), real *dx, const real *dy, const struct packed_matrix *w,      \
      int64_t m, bool accumulate)                                                                  \
    X(matmul_weight_gradient, cost_weight_gradient(q, m, n, k, accumulate),                        \
      (q, dw, dy, x, m, n, k, accumulate), float *dw, const real *dy, const real *x, int64_t m,    \
      int64_t n, int64_t k, bool accumulate)                                                       \
    X(narrow, cost_each((double)count, 0, 4 + COST_R), (q, y, x, count), real *y, const float *x,  \
      int64_t count)                                                                               \
    X(embedding, cost_each((double)m *(double)d, 0, 4 + COST_R), (q, y, table, ids, m, d),         \
      real *y, const float *table, const int32_t *ids, int64_t m, int64_t d)                       \
    X(embedding_backward, cost_each((double)m *(double)d, 1, 8 + COST_R),                          \
      (q, dtable, dy, ids, m, d), float *dtable, const real *dy, const int32_t *ids, int64_t m,    \
      int64_t d)                                                                                   \
    X(rmsnorm, cost_each((double)m *(double)d, 4, 2 * COST_R), (q, y, inverse, x, w, m, d, eps),   \
      real *y, float *inverse, const real *x, const float *w, int64_t m, int64_t d, float eps)     \
    X(rmsnorm_backward, cost_each((double)m *(double)d, 9, (accumulate ? 4 : 3) * COST_R),         \
      (q, dx, dw, dy, x, w, inverse, m, d, accumulate), real *dx, float *dw, const real *dy,       \
      const real *x, const float *w, const float *inverse, int64_t m, int64_t d, bool accumulate)  \
    X(add, cost_each((double)count, 1, 12), (q, y, a, b, count), float *y, const float *a,         \
      const float *b, int64_t count)                                                               \
    X(scale, cost_each((double)count, 1, 2 * COST_R), (q, y, a, factor, count), real *y,           \
      const real *a, float factor, int64_t count)                                                  \
    X(relu_backward, cost_each((double)count, 1, 3 * COST_R), (q, dx, dy, x, count), real *dx,     \
      const real *dy, const real *x, int64_t count)                                                \
    X(gated_activation, cost_each((double)m *(double)f, 10, 3 * COST_R),                           \
      (q, activation, y, x, m, f), enum activation activation, real *y, const real *x, int64_t m,  \
      int64_t f)                                                                                   \
    X(gated_activation_backward, cost_each((double)m *(double)f, 20, 5 * COST_R),                  \
      (q, activation, dx, dy, x, m, f), enum activation activation, real *dx, const real *dy,      \
      const real *x, int64_t m, int64_t f)                                                         \
    X(bias_add, cost_each((double)m *(double)n, 1, 2 * COST_R), (q, y, stride, bias, m, n),        \
      real *y, int64_t stride, const float *bias, int64_t m, int64_t n)                            \
    X(bias_backward, cost_each((double)m *(double)n, 1, COST_R), (q, dbias, dy, stride, m, n),     \
      float *dbias, const real *dy, int64_t stride, int64_t m, int64_t n)                          \
    X(head_norm, cost_each((double)(m * heads) * (double)d, 4, 2 * COST_R),                        \
      (q, y, y_stride, inverse, x, x_stride, w, m, heads, d, eps), real *y, int64_t y_stride,      \
      float *inverse, const real *x, int64_t x_stride, const float *w, int64_t m, int64_t heads,   \
      int64_t d, float eps)                                                                        \
    X(head_norm_backward, cost_each((double)(m * heads) * (double)d, 9, 3 * COST_R),               \
      (q, dx, dx_stride, dw, dy, dy_stride, x, x_stride, w, inverse, m, heads, d), real *dx,       \
      int64_t dx_stride, float *dw, const real *dy, int64_t dy_stride, const real *x,              \
      int64_t x_stride, const float *w, const float *inverse, int64_t m, int64_t heads, int64_t d) \
    X(rope, cost_each((double)(m * heads) * (double)d, 3, 2 * COST_R),                             \
      (q, x, stride, position, table, m, heads, d, inverse), real *x, int64_t stride,              \
      const int32_t *position, const float *table, int64_t m, int64_t heads, int64_t d,            \
      bool inverse)                                                                                \
    X(relative_bias, cost_each((double)heads *(double)(2 * span - 1), 0, 4),                       \
      (q, bias, table, span, heads, buckets, max_distance, bidirectional), float *bias,            \
      const float *table, int64_t span, int64_t heads, int64_t buckets, int64_t max_distance,      \
      bool bidirectional)                                                                          \
    X(relative_bias_backward, cost_each((double)heads *(double)(2 * span - 1), 1, 4),              \
      (q, dtable, dbias, span, heads, buckets, max_distance, bidirectional), float *dtable,        \
      const float *dbias, int64_t span, int64_t heads, int64_t buckets, int64_t max_distance,      \
      bool bidirectional)                                                                          \
    X(attention, cost_attention(q, a, attention_work(a)), (q, a), const struct attention *a)       \
    X(attention_backward, cost_attention_backward(q, a, g, attention_work(a)), (q, a, g),          \
      const struct attention *a, const struct attention_gradients *g)                              \
    X(attention_alignment, cost_alignment(q, a), (q, a), const struct alignment *a)                \
    X(attention_summary, cost_each((double)s->rows *(double)s->capture_stride, 8, 8), (q, s),      \
      const struct attention_summary *s)                                                           \
    X(attention_received, cost_each((double)a->rows *(double)a->stride, 2, 12), (q, a),            \
      const struct attention_received *a)                                                          \
    X(head_statistics_sampled, cost_each((double)(rows * s->width) * (double)s->stride, 2, 4),     \
      (q, s, rows), const struct head_statistics *s, int64_t rows)                                 \
    X(head_row_entropy, cost_each((double)(replies * s->width) * (double)s->stride, 4, 4),         \
      (q, s, history, first, replies), const struct head_statistics *s, const int32_t *history,    \
      const int32_t *first, int64_t replies)                                                       \
    X(cache_append, cost_each((double)rows *(double)width, 0, 2 * (double)bytes),                  \
      (q, to, slot_stride, slot, position, from, from_stride, rows, width, bytes), void *to,       \
      int64_t slot_stride, const int32_t *slot, const int32_t *position, const void *from,         \
      int64_t from_stride, int64_t rows, int64_t width, size_t bytes)                              \
    X(advance, cost_each((double)count, 0, 8), (q, counters, value, count, stride),                \
      int32_t *counters, int32_t value, int64_t count, int64_t stride)                             \
    X(mean_rows, cost_each(segment_rows(begin, segments) * (double)d, 1, COST_R),                  \
      (q, out, x, begin, segments, d), real *out, const real *x, const int32_t *begin,             \
      int64_t segments, int64_t d)                                                                 \
    X(mean_rows_backward, cost_each(segment_rows(begin, segments) * (double)d, 1, COST_R),         \
      (q, dx, dout, begin, segments, d), real *dx, const real *dout, const int32_t *begin,         \
      int64_t segments, int64_t d)                                                                 \
    X(softmax_loss,                                                                                \
      cost_each((double)m *(double)vocabulary, reference ? 10 : 5, reference ? 8 : 4),             \
      (q, logp, entropy, lse, kl, self_certainty, logits, reference, targets, temperature, m,      \
       vocabulary),                                                                                \
      float *logp, float *entropy, float *lse, float *kl, float *self_certainty,                   \
      const float *logits, const float *reference, const int32_t *targets, float temperature,      \
      int64_t m, int64_t vocabulary)                                                               \
    X(softmax_loss_backward, cost_each((double)m *(double)vocabulary, bonus ? 8 : 4, 4 + COST_R),  \
      (q, dlogits, logits, lse, targets, dlogp, temperature, smoothing, bonus, m, vocabulary),     \
      real *dlogits, const float *logits, const float *lse, const int32_t *targets,                \
      const float *dlogp, float temperature, float smoothing, const struct entropy_bonus *bonus,   \
      int64_t m, int64_t vocabulary)                                                               \
    X(sample, cost_each((double)s->rows *(double)s->vocabulary, 8, 8), (q, s),                     \
      const struct sampling *s)                                                                    \
    X(ppo_loss, cost_each((double)t->tokens, 20, 40), (q, t), const struct ppo_tokens *t)          \
    X(square_sum, cost_each((double)count, 2, 4), (q, sum, x, count), double *sum, const float *x, \
      int64_t count)                                                                               \
    X(hash, cost_each((double)count, 4, 4), (q, sum, x, first, count), uint64_t *sum,              \
      const float *x, int64_t first, int64_t count)                                                \
    X(adamw, cost_each((double)count, 14, 28), (q, w, first, second, gradient, count, settings),   \
      float *w, float *first, float *second, const float *gradient, int64_t count,                 \
      const struct adamw *settings)

#endif
