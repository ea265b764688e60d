/* Inner functions of attention, norms, activations, softmax and sampling, one row or one small
 * matrix a call, compiled once for each instruction set (rows.inl); all give the same bits. */
#ifndef REGARD_KERNELS_CPU_ROWS_H
#define REGARD_KERNELS_CPU_ROWS_H

#include "kernels/cpu/cpu.h"

#include <math.h>

/* The columns of a padded row are a multiple of this. */
enum { row_padding = 32 };

static inline int64_t row_padded(int64_t count)
{
    return (count + row_padding - 1) / row_padding * row_padding;
}

struct logits_sums {
    float largest;   /* of z = logits / temperature */
    float log_sum;   /* log of sum e^(z - largest) */
    double sum;      /* sum e^(z - largest) */
    double weighted; /* sum e^(z - largest) (z - largest) */
};

/* What a row of weights over keys [0, keys) of a history and others behind them comes to.  Sums of
 * e = e^(score - largest); a weight is e / total. */
struct weights_read {
    int64_t keys;
    const float *visible, *sink; /* [keys] masks */
    double total;
    float seen, weighted, sunk, reply, peak; /* on V: e, e (score - largest), largest e; on sinks;
                                              * behind the history */
};

struct row_functions {
    /* c[rows, cols] (+)= a b; a[i,k] = a[i * a_row + k * a_depth], b[depth, cols].  One chain
     * of additions over k, ascending, an element. */
    void (*product)(float *c, int64_t c_stride, const float *a, int64_t a_row, int64_t a_depth,
                    const float *b, int64_t b_stride, int64_t rows, int64_t cols, int64_t depth,
                    bool accumulate);
    /* to[cols, rows] = from[rows, cols]^T */
    void (*transpose)(float *to, int64_t to_stride, const float *from, int64_t from_stride,
                      int64_t rows, int64_t cols);
    /* s[padded]: softmax(scale s + bias) over [0, visible), 0 past it.  The log-sum-exp. */
    float (*attention_weights)(float *s, float scale, const float *bias, int64_t visible,
                               int64_t padded);
    /* The same with the same bits, which fills `read` besides. */
    float (*attention_weights_read)(float *s, float scale, const float *bias, int64_t visible,
                                    int64_t padded, struct weights_read *read);
    /* The sum of x over a mask, and of x log x; x >= 0, 0 log 0 = 0. */
    void (*masked_logs)(const float *x, const float *mask, int64_t count, double *sum,
                        double *logs);
    /* to[count] (+)= the sum, ascending, of rows that stand `stride` apart */
    void (*sum_rows)(float *to, const float *from, int64_t stride, int64_t rows, int64_t count,
                     bool accumulate);
    /* d = w * (d - sum(w d)), all [padded] */
    void (*attention_scores_gradient)(float *d, const float *w, int64_t padded);
    /* y = x w / sqrt(mean(x^2) + eps); returns 1 / sqrt(...) */
    float (*rmsnorm)(float *y, const float *x, const float *w, int64_t d, float eps);
    /* dx (+)= inverse dy w - x inverse^3 / d sum(dy w x) */
    void (*rmsnorm_backward)(float *dx, const float *dy, const float *x, const float *w,
                             float inverse, int64_t d, bool accumulate);
    /* dw[begin, end) += sum over m rows, ascending, of (dy x) inverse */
    void (*rmsnorm_weight)(float *dw, const float *dy, const float *x, const float *inverse,
                           int64_t m, int64_t d, int64_t begin, int64_t end);
    /* By enum activation; gate, up, y [f] */
    void (*gated[2])(float *y, const float *gate, const float *up, int64_t f);
    void (*gated_backward[2])(float *dgate, float *dup, const float *dy, const float *gate,
                              const float *up, int64_t f);
    /* x[heads, d] turned by the angles of one row of the table, or backwards */
    void (*rope)(float *x, const float *angles, int64_t heads, int64_t d, bool inverse);
    void (*logits)(struct logits_sums *out, const float *logits, float temperature,
                   int64_t vocabulary);
    /* The sum of a row. */
    double (*total)(const float *x, int64_t count);
    /* KL(policy || reference), of rows whose sums are known */
    float (*divergence)(const float *logits, const struct logits_sums *policy,
                        const float *reference_logits, const struct logits_sums *reference,
                        float temperature, int64_t vocabulary);
    /* out = e^(logits / temperature - shift) */
    void (*exponentials)(float *out, const float *logits, float temperature, float shift,
                         int64_t vocabulary);
    /* out = factor * (uniform - e^(logits / temperature - lse)); out may be logits */
    void (*softmax_gradient)(float *out, const float *logits, float temperature, float lse,
                             float uniform, float factor, int64_t vocabulary);
    /* The same and bonus * p (log p + entropy), p = e^(logits / temperature - lse); 0 log 0 = 0 */
    void (*softmax_entropy_gradient)(float *out, const float *logits, float temperature, float lse,
                                     float uniform, float factor, float entropy, float bonus,
                                     int64_t vocabulary);
};

extern const struct row_functions rows_c, rows_avx2, rows_avx512;

static inline const struct row_functions *rows_of(struct queue *q)
{
    switch (cpu_queue_of(q)->instructions) {
    case CPU_AVX512:
        return &rows_avx512;
    case CPU_AVX2:
        return &rows_avx2;
    default:
        return &rows_c;
    }
}

/* What softmax_loss and sample both report of a row; total: of its logits. */
static inline float logits_logp(const struct logits_sums *s, float logit, float temperature)
{
    return (logit / temperature - s->largest) - s->log_sum;
}

static inline float logits_entropy(const struct logits_sums *s)
{
    return (float)((double)s->log_sum - s->weighted / s->sum);
}

static inline float logits_self_certainty(const struct logits_sums *s, double total,
                                          float temperature, int64_t vocabulary)
{
    const double tokens = (double)vocabulary;
    return (float)((double)s->largest + (double)s->log_sum - log(tokens) -
                   total / tokens / (double)temperature);
}

#endif
