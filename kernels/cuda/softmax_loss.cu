/* Softmax over the vocabulary: log-probabilities of targets, entropy, KL and gradient. */
#include "octet.cuh"
#include "softmax.cuh"

enum { threads = softmax_threads };

/* KL(policy || reference) of two rows whose sums are known. */
static __device__ inline float divergence(const float *x, const struct logits_sums &policy,
                                          const float *y, const struct logits_sums &reference,
                                          float temperature, int64_t vocabulary)
{
    float sum = 0.0f;
    row_visit(x, vocabulary, [&](float v, int64_t i) {
        const float z = v / temperature - policy.largest, e = expf(z);
        const float r = y[i] / temperature - reference.largest;
        sum = __fmaf_rn(e, weighted_by(e, z - r), sum);
    });
    return (float)(block_sum((double)sum) / policy.sum - log(policy.sum) + log(reference.sum));
}

/* One block a row. */
static __global__ void __launch_bounds__(threads)
    softmax_loss_kernel(float *__restrict__ logp, float *__restrict__ entropy,
                        float *__restrict__ lse, float *__restrict__ kl,
                        float *__restrict__ self_certainty, const float *__restrict__ logits,
                        const float *__restrict__ reference_logits,
                        const int32_t *__restrict__ targets, float temperature, int64_t vocabulary,
                        int *__restrict__ mistake)
{
    const int64_t row = blockIdx.x;
    const float *x = logits + row * vocabulary;
    const struct logits_sums sums = logits_row(x, temperature, vocabulary);
    if (threadIdx.x == 0) {
        if (logp) {
            const int32_t target = targets[row];
            if (target >= 0 && target < vocabulary)
                logp[row] = logits_logp(sums, x[target], temperature);
            else
                mistake_raise(mistake, CUDA_MISTAKE_TARGET);
        }
        if (entropy) entropy[row] = logits_entropy(sums);
        if (lse) lse[row] = sums.largest + sums.log_sum;
    }
    if (self_certainty) {
        const float certainty = logits_self_certainty(sums, x, temperature, vocabulary);
        if (threadIdx.x == 0) self_certainty[row] = certainty;
    }
    if (!kl || !reference_logits) return;
    const float *y = reference_logits + row * vocabulary;
    const struct logits_sums reference = logits_row(y, temperature, vocabulary);
    const float apart = divergence(x, sums, y, reference, temperature, vocabulary);
    if (threadIdx.x == 0) kl[row] = apart;
}

/* dlogits may be logits.  Blocks: rows, parts of the vocabulary.  A thread has eight neighbours,
 * moved at once where `vectorized` (the vocabulary is a multiple of 8 then). */
template <class T>
static __global__ void __launch_bounds__(threads)
    softmax_loss_backward_kernel(T *dlogits, const float *logits, const float *__restrict__ lse,
                                 const int32_t *__restrict__ targets,
                                 const float *__restrict__ dlogp, float temperature,
                                 float smoothing, struct entropy_bonus bonus, int64_t vocabulary,
                                 bool vectorized, int *__restrict__ mistake)
{
    const int64_t row = blockIdx.x, first = 8 * ((int64_t)blockIdx.y * threads + threadIdx.x);
    const int32_t target = targets[row];
    if (target < 0 || target >= vocabulary) {
        if (first == 0) mistake_raise(mistake, CUDA_MISTAKE_TARGET);
        return;
    }
    const float factor = dlogp[row] / temperature, uniform = smoothing / (float)vocabulary;
    const float total = lse[row];
    const bool with_bonus = bonus.entropy != NULL;
    const float entropy = with_bonus ? bonus.entropy[row] : 0.0f;
    const float share = with_bonus ? bonus.coef * bonus.weight[row] / temperature : 0.0f;
    const auto gradient = [&](float logit, int64_t i) {
        const float z = logit / temperature - total, p = expf(z);
        float rest = (uniform - p) * factor;
        if (with_bonus) rest += share * (p * weighted_by(p, z + entropy));
        return i == target ? rest + (1.0f - smoothing) * factor : rest;
    };
    logits += row * vocabulary, dlogits += row * vocabulary;
    if (vectorized && first < vocabulary) {
        const octet<float> x = octet_load(logits + first);
        octet<T> out;
        GPU_UNROLL
        for (int k = 0; k < 8; k++) element_store(out.v + k, gradient(x.v[k], first + k));
        octet_store(dlogits + first, out);
        return;
    }
    for (int64_t i = first; i < first + 8 && i < vocabulary; i++)
        element_store(dlogits + i, gradient(logits[i], i));
}

void cuda_softmax_loss(struct queue *q, float *logp, float *entropy, float *lse, float *kl,
                       float *self_certainty, const float *logits, const float *reference_logits,
                       const int32_t *targets, float temperature, int64_t m, int64_t vocabulary)
{
    if (m == 0) return;
    cuda_launch(q, softmax_loss_kernel, m, threads, 0, logp, entropy, lse, kl, self_certainty,
                logits, reference_logits, targets, temperature, vocabulary,
                cuda_queue_of(q)->mistake);
}

void cuda_softmax_loss_backward(struct queue *q, real *dlogits, const float *logits,
                                const float *lse, const int32_t *targets, const float *dlogp,
                                float temperature, float smoothing,
                                const struct entropy_bonus *bonus, int64_t m, int64_t vocabulary)
{
    if (m == 0) return;
    const dim3 grid((unsigned)m, (unsigned)cuda_divide_up(vocabulary, 8 * threads));
    const bool vectorized = octets_fit(vocabulary, (char *)dlogits, logits);
    const struct entropy_bonus none = {NULL, NULL, 0.0f};
    cuda_with_element(q, cuda_launch(q, softmax_loss_backward_kernel<element>, grid, threads, 0,
                                     (element *)dlogits, logits, lse, targets, dlogp, temperature,
                                     smoothing, bonus ? *bonus : none, vocabulary, vectorized,
                                     cuda_queue_of(q)->mistake));
}
