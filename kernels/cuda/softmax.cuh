/* What softmax_loss and sample share: the sums of a row of logits.  A block of softmax_threads has
 * a row.  Both use these functions, so their log-probabilities have the same bits. */
#pragma once
#include "reduce.cuh"

enum { softmax_threads = 256 };

struct logits_sums {
    float largest;   /* of z = logits / temperature */
    float log_sum;   /* log of sum e^(z - largest) */
    double sum;      /* sum e^(z - largest) */
    double weighted; /* sum e^(z - largest) (z - largest) */
};

/* f(x[i], i) for this thread's part of a row: every 256th four neighbours, whether or not they can
 * be read at once. */
template <class F>
static __device__ inline void row_visit(const float *x, int64_t count, const F &f)
{
    const bool aligned = (uintptr_t)x % 16 == 0;
    for (int64_t i = 4 * threadIdx.x; i < count; i += 4 * softmax_threads) {
        if (aligned && i + 4 <= count) {
            const float4 v = *(const float4 *)(x + i);
            f(v.x, i), f(v.y, i + 1), f(v.z, i + 2), f(v.w, i + 3);
        } else {
            for (int64_t k = i; k < i + 4 && k < count; k++) f(x[k], k);
        }
    }
}

/* e^z times z, 0 where e^z is: 0 log 0 = 0; a NaN stays one. */
static __device__ inline float weighted_by(float e, float z)
{
    return e > 0.0f ? z : e;
}

/* Every thread gets all of them.  The row is read twice: seen(x[i], i) is called for each element
 * of the first time, weighed(e^(z - largest), i) of the second, which reads from `again`. */
template <class S, class W>
static __device__ inline struct logits_sums logits_row(const float *x, const float *again,
                                                       float temperature, int64_t vocabulary,
                                                       const S &seen, const W &weighed)
{
    float top = -INFINITY, sum = 0.0f, weighted = 0.0f;
    row_visit(x, vocabulary, [&](float v, int64_t i) {
        top = fmaxf(top, v);
        seen(v, i);
    });
    const float largest = block_max(top) / temperature; /* division keeps the order */
    row_visit(again, vocabulary, [&](float v, int64_t i) {
        const float z = v / temperature - largest, e = expf(z);
        sum += e;
        weighted = __fmaf_rn(e, weighted_by(e, z), weighted);
        weighed(e, i);
    });
    struct logits_sums sums;
    sums.largest = largest;
    sums.sum = block_sum((double)sum);
    sums.weighted = block_sum((double)weighted);
    sums.log_sum = (float)log(sums.sum);
    return sums;
}

static __device__ inline struct logits_sums logits_row(const float *x, float temperature,
                                                       int64_t vocabulary)
{
    const auto nothing = [](float, int64_t) {};
    return logits_row(x, x, temperature, vocabulary, nothing, nothing);
}

static __device__ inline float logits_logp(const struct logits_sums &sums, float logit,
                                           float temperature)
{
    return (logit / temperature - sums.largest) - sums.log_sum;
}

static __device__ inline float logits_entropy(const struct logits_sums &sums)
{
    return (float)((double)sums.log_sum - sums.weighted / sums.sum);
}

/* All threads call it and get it: the row is read once more. */
static __device__ inline float logits_self_certainty(const struct logits_sums &sums, const float *x,
                                                     float temperature, int64_t vocabulary)
{
    float sum = 0.0f;
    row_visit(x, vocabulary, [&](float v, int64_t) { sum += v; });
    const double tokens = (double)vocabulary, total = block_sum((double)sum);
    return (float)((double)sums.largest + (double)sums.log_sum - log(tokens) -
                   total / tokens / (double)temperature);
}
