/* The CPU back end's private header: its queue, and every operation of the table.
 * Formulas and shapes are in kernels/ops.h; a call here has finished when it returns. */
#ifndef REGARD_KERNELS_CPU_H
#define REGARD_KERNELS_CPU_H

#include "kernels/ops.h"

enum cpu_instructions { CPU_C, CPU_AVX2, CPU_AVX512 };

struct cpu_scratch {
    void *memory;
    size_t bytes;
};

struct matmul_tiles; /* matmul_tiles.h */

struct cpu_queue {
    struct queue base;
    enum cpu_instructions instructions;
    const struct matmul_tiles *tiles; /* of those instructions */
    status error;                     /* the first one since the last synchronize */
    struct cpu_scratch *scratch;      /* [threads + 1] */
};

static inline struct cpu_queue *cpu_queue_of(struct queue *q)
{
    return (struct cpu_queue *)q;
}

/* Keeps the first error for synchronize and frees later ones; any thread may call it. */
void cpu_fail(struct queue *q, status error);

/* Working memory of at least `bytes`, 64-byte aligned, contents undefined, owned by the queue.
 * Slots 0 .. threads-1 are for the threads of a parallel region, slot `threads` for the call
 * as a whole.  Valid until the slot is asked for again.  NULL (and the error is kept) when
 * there is no memory: the caller returns. */
void *cpu_scratch(struct queue *q, int slot, size_t bytes);

status cpu_allocate(struct queue *q, enum memory_kind kind, size_t bytes,
                    void **out); /* 64-byte aligned */
void cpu_release(struct queue *q, void *memory);
status cpu_memory_reserve(struct queue *q, const size_t bytes[MEMORY_KINDS]);
void cpu_memory_report(struct queue *q, struct memory_report *out);
size_t cpu_memory_scratch(const struct queue *q, const size_t bytes[MEMORY_KINDS]);
void cpu_upload(struct queue *q, void *to, const void *host_from, size_t bytes);
void cpu_download(struct queue *q, void *host_to, const void *from, size_t bytes);
void cpu_copy(struct queue *q, void *to, const void *from, size_t bytes);
void cpu_zero(struct queue *q, void *to, size_t bytes);
status cpu_synchronize(struct queue *q);
status cpu_host_allocate(struct queue *q, size_t bytes, void **out);
void cpu_mark(struct queue *q, int slot);
void cpu_destroy(struct queue *q);
size_t cpu_matrix_bytes(const struct queue *q, int64_t n, int64_t k, bool with_input_gradient);
status cpu_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                         struct packed_matrix **out);
void cpu_matrix_destroy(struct queue *q, struct packed_matrix *w);
void cpu_matrix_pack(struct queue *q, struct packed_matrix *w, const float *values,
                     const struct rounding *rounding);
void cpu_matrix_hash(struct queue *q, uint64_t *sum, const struct packed_matrix *w);
void cpu_matmul(struct queue *q, real *y, const real *x, const struct packed_matrix *w, int64_t m,
                bool accumulate);
void cpu_matmul_relu(struct queue *q, real *y, const real *x, const struct packed_matrix *w,
                     int64_t m);
void cpu_matmul_float(struct queue *q, float *y, const real *x, const struct packed_matrix *w,
                      int64_t m, bool accumulate);
void cpu_narrow(struct queue *q, real *y, const float *x, int64_t count);
void cpu_matmul_input_gradient(struct queue *q, real *dx, const real *dy,
                               const struct packed_matrix *w, int64_t m, bool accumulate);
void cpu_matmul_weight_gradient(struct queue *q, float *dw, const real *dy, const real *x,
                                int64_t m, int64_t n, int64_t k, bool accumulate);
void cpu_embedding(struct queue *q, real *y, const float *table, const int32_t *ids, int64_t m,
                   int64_t d);
void cpu_embedding_backward(struct queue *q, float *dtable, const real *dy, const int32_t *ids,
                            int64_t m, int64_t d);
void cpu_rmsnorm(struct queue *q, real *y, float *inverse, const real *x, const float *w, int64_t m,
                 int64_t d, float eps);
void cpu_rmsnorm_backward(struct queue *q, real *dx, float *dw, const real *dy, const real *x,
                          const float *w, const float *inverse, int64_t m, int64_t d,
                          bool accumulate);
void cpu_add(struct queue *q, float *y, const float *a, const float *b, int64_t count);
void cpu_scale(struct queue *q, real *y, const real *a, float factor, int64_t count);
void cpu_relu_backward(struct queue *q, real *dx, const real *dy, const real *x, int64_t count);
void cpu_gated_activation(struct queue *q, enum activation activation, real *y, const real *x,
                          int64_t m, int64_t f);
void cpu_gated_activation_backward(struct queue *q, enum activation activation, real *dx,
                                   const real *dy, const real *x, int64_t m, int64_t f);
void cpu_bias_add(struct queue *q, real *y, int64_t stride, const float *bias, int64_t m,
                  int64_t n);
void cpu_bias_backward(struct queue *q, float *dbias, const real *dy, int64_t stride, int64_t m,
                       int64_t n);
void cpu_head_norm(struct queue *q, real *y, int64_t y_stride, float *inverse, const real *x,
                   int64_t x_stride, const float *w, int64_t m, int64_t heads, int64_t d,
                   float eps);
void cpu_head_norm_backward(struct queue *q, real *dx, int64_t dx_stride, float *dw, const real *dy,
                            int64_t dy_stride, const real *x, int64_t x_stride, const float *w,
                            const float *inverse, int64_t m, int64_t heads, int64_t d);
void cpu_rope(struct queue *q, real *x, int64_t stride, const int32_t *position, const float *table,
              int64_t m, int64_t heads, int64_t d, bool inverse);
void cpu_relative_bias(struct queue *q, float *bias, const float *table, int64_t span,
                       int64_t heads, int64_t buckets, int64_t max_distance, bool bidirectional);
void cpu_relative_bias_backward(struct queue *q, float *dtable, const float *dbias, int64_t span,
                                int64_t heads, int64_t buckets, int64_t max_distance,
                                bool bidirectional);
void cpu_attention(struct queue *q, const struct attention *a);
void cpu_attention_backward(struct queue *q, const struct attention *a,
                            const struct attention_gradients *g);
void cpu_attention_alignment(struct queue *q, const struct alignment *a);
void cpu_attention_summary(struct queue *q, const struct attention_summary *s);
void cpu_attention_received(struct queue *q, const struct attention_received *a);
void cpu_head_statistics_sampled(struct queue *q, const struct head_statistics *s, int64_t rows);
void cpu_head_row_entropy(struct queue *q, const struct head_statistics *s, const int32_t *history,
                          const int32_t *first, int64_t replies);
void cpu_cache_append(struct queue *q, void *to, int64_t slot_stride, const int32_t *slot,
                      const int32_t *position, const void *from, int64_t from_stride, int64_t rows,
                      int64_t width, size_t bytes);
void cpu_advance(struct queue *q, int32_t *counters, int32_t value, int64_t count, int64_t stride);
void cpu_mean_rows(struct queue *q, real *out, const real *x, const int32_t *begin,
                   int64_t segments, int64_t d);
void cpu_mean_rows_backward(struct queue *q, real *dx, const real *dout, const int32_t *begin,
                            int64_t segments, int64_t d);
void cpu_softmax_loss(struct queue *q, float *logp, float *entropy, float *lse, float *kl,
                      float *self_certainty, const float *logits, const float *reference_logits,
                      const int32_t *targets, float temperature, int64_t m, int64_t vocabulary);
void cpu_softmax_loss_backward(struct queue *q, real *dlogits, const float *logits,
                               const float *lse, const int32_t *targets, const float *dlogp,
                               float temperature, float smoothing,
                               const struct entropy_bonus *bonus, int64_t m, int64_t vocabulary);
void cpu_sample(struct queue *q, const struct sampling *s);
void cpu_ppo_loss(struct queue *q, const struct ppo_tokens *p);
void cpu_square_sum(struct queue *q, double *sum, const float *x, int64_t count);
void cpu_hash(struct queue *q, uint64_t *sum, const float *x, int64_t first, int64_t count);
void cpu_adamw(struct queue *q, float *w, float *m, float *v, const float *gradient, int64_t count,
               const struct adamw *settings);

#endif
