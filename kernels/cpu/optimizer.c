/* The gradient's norm, the hash of a vector and AdamW. */
#include "kernels/cpu/cpu.h"
#include "src/base/heartbeat.h"

#include <math.h>
#include <string.h>

enum {
    chunk = 4096, /* floats summed by one thread; chunk and lanes define the sum's bits */
    lanes = 16,
    hash_chunk = 1 << 14,
    thread_work = 1 << 15
};

/* Lane l sums x[i]^2 of the chunk's i = l (mod 16), ascending; lanes are added ascending. */
static double chunk_sum(const float *x, int64_t count)
{
    double lane[lanes] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes)
        for (int l = 0; l < lanes; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    for (int l = 0; i + l < count; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    for (int l = 0; l < lanes; l++) sum += lane[l];
    return sum;
}

/* Chunks are added ascending, whoever summed them. */
void cpu_square_sum(struct queue *q, double *sum, const float *x, int64_t count)
{
    const int64_t chunks = (count + chunk - 1) / chunk;
    const int threads = count < thread_work ? 1 : q->threads;
    double *sums = cpu_scratch(q, q->threads, (size_t)chunks * sizeof *sums);
    if (!sums) return;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t c = 0; c < chunks; c++) {
        const int64_t left = count - c * chunk;
        sums[c] = chunk_sum(x + c * chunk, left < chunk ? left : chunk);
    }
    double total = 0;
    for (int64_t c = 0; c < chunks; c++) total += sums[c];
    *sum = total;
}

/* Of x[0, count), the first of which is element `first` of its vector. */
static uint64_t chunk_hash(const float *x, int64_t first, int64_t count)
{
    uint64_t sum = 0, key = (uint64_t)first * HASH_STEP;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        key += HASH_STEP;
        sum += (uint64_t)(bits ^ (uint32_t)key) * (uint32_t)(key >> 32 | 1);
    }
    return sum;
}

void cpu_hash(struct queue *q, uint64_t *sum, const float *x, int64_t first, int64_t count)
{
    const int64_t chunks = (count + hash_chunk - 1) / hash_chunk;
    const int threads = count < thread_work ? 1 : q->threads;
    uint64_t total = 0;
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(+ : total)
    for (int64_t c = 0; c < chunks; c++) {
        const int64_t at = c * hash_chunk, left = count - at;
        total += chunk_hash(x + at, first + at, left < hash_chunk ? left : hash_chunk);
    }
    *sum = total;
}

/* Decoupled decay (arXiv 1711.05101) in PyTorch's order:
 * w -= lr decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
 * w -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps). */
void cpu_adamw(struct queue *q, float *w, float *m, float *v, const float *gradient, int64_t count,
               const struct adamw *settings)
{
    const struct adamw s = *settings;
    heartbeat_note();
    const double t = (double)s.step;
    const float rate = (float)(s.lr / (1 - pow(s.beta1, t)));
    const float root = (float)sqrt(1 - pow(s.beta2, t));
    const float keep = (float)(1 - (double)s.lr * s.decay);
    const float fresh1 = (float)(1 - (double)s.beta1), fresh2 = (float)(1 - (double)s.beta2);
    const int threads = count < thread_work ? 1 : q->threads;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < count; i++) {
        const float g = gradient[i] * s.gradient_scale;
        m[i] = s.beta1 * m[i] + fresh1 * g;
        v[i] = s.beta2 * v[i] + fresh2 * g * g;
        w[i] = keep * w[i] - rate * m[i] / (sqrtf(v[i]) / root + s.eps);
    }
}
