/* The gradient's norm, the hash of a vector and AdamW. */
#include "cuda.cuh"
#include "reduce.cuh"

#include <math.h>

enum { threads = 256, chunk = 8192 }; /* both define the norm's bits */

/* partial[chunks] = sum of x^2 of each.  One block a chunk. */
static __global__ void __launch_bounds__(threads)
    square_sum_kernel(double *__restrict__ partial, const float *__restrict__ x, int64_t count)
{
    const int64_t begin = (int64_t)blockIdx.x * chunk, end = min(begin + chunk, count);
    double sum = 0;
    for (int64_t i = begin + threadIdx.x; i < end; i += threads) sum += (double)x[i] * (double)x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/* One block. */
static __global__ void __launch_bounds__(threads)
    square_sum_total_kernel(double *__restrict__ sum, const double *__restrict__ partial,
                            int64_t chunks)
{
    double total = 0;
    for (int64_t i = threadIdx.x; i < chunks; i += threads) total += partial[i];
    total = block_sum(total);
    if (threadIdx.x == 0) sum[0] = total;
}

/* The formula, of floats' bits: kernels/ops.h.  sum[0] is 0 before; additions of integers in any
 * order. */
template <typename bits>
static __global__ void __launch_bounds__(threads)
    hash_kernel(unsigned long long *__restrict__ sum, const bits *__restrict__ x, int64_t first,
                int64_t count)
{
    const int64_t begin = (int64_t)blockIdx.x * chunk, end = min(begin + chunk, count);
    unsigned long long own = 0;
    for (int64_t i = begin + threadIdx.x; i < end; i += threads) {
        const uint64_t key = (uint64_t)(first + i + 1) * HASH_STEP;
        own += (uint64_t)((uint32_t)x[i] ^ (uint32_t)key) * (uint32_t)(key >> 32 | 1);
    }
    own = block_sum(own);
    if (threadIdx.x == 0) atomicAdd(sum, own);
}

struct adamw_factors {
    float gradient_scale, beta1, beta2, fresh1, fresh2, keep, rate, root, eps;
};

static __global__ void __launch_bounds__(threads)
    adamw_kernel(float *__restrict__ w, float *__restrict__ m, float *__restrict__ v,
                 const float *__restrict__ gradient, int64_t count, struct adamw_factors f)
{
    const int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i >= count) return;
    const float g = gradient[i] * f.gradient_scale;
    const float first = f.beta1 * m[i] + f.fresh1 * g, second = f.beta2 * v[i] + f.fresh2 * g * g;
    m[i] = first;
    v[i] = second;
    w[i] = f.keep * w[i] - f.rate * first / (sqrtf(second) / f.root + f.eps);
}

void cuda_square_sum(struct queue *q, double *sum, const float *x, int64_t count)
{
    const int64_t chunks = cuda_divide_up(count, chunk);
    double *partial = (double *)cuda_scratch(q, (size_t)(chunks + 1) * sizeof *partial);
    if (!partial) return;
    if (chunks > 0) cuda_launch(q, square_sum_kernel, chunks, threads, 0, partial, x, count);
    cuda_launch(q, square_sum_total_kernel, 1, threads, 0, sum, partial, chunks);
}

template <typename bits>
static void bits_hash(struct queue *q, uint64_t *sum, const bits *x, int64_t first, int64_t count)
{
    const int64_t chunks = cuda_divide_up(count, chunk);
    cuda_zero(q, sum, sizeof *sum);
    if (chunks > 0)
        cuda_launch(q, hash_kernel<bits>, chunks, threads, 0, (unsigned long long *)sum, x, first,
                    count);
}

void cuda_hash(struct queue *q, uint64_t *sum, const float *x, int64_t first, int64_t count)
{
    bits_hash(q, sum, (const uint32_t *)x, first, count);
}

void cuda_matrix_hash(struct queue *q, uint64_t *sum, const struct packed_matrix *w)
{
    const int64_t count = w->n * w->k;
    if (q->real_bytes == sizeof(float))
        bits_hash(q, sum, (const uint32_t *)w->values, 0, count);
    else
        bits_hash(q, sum, (const uint16_t *)w->values, 0, count);
}

/* The formula and its order: kernels/cpu/optimizer.c. */
void cuda_adamw(struct queue *q, float *w, float *m, float *v, const float *gradient, int64_t count,
                const struct adamw *settings)
{
    if (count == 0) return;
    const struct adamw s = *settings;
    const double t = (double)s.step;
    struct adamw_factors f = {};
    f.gradient_scale = s.gradient_scale;
    f.beta1 = s.beta1;
    f.beta2 = s.beta2;
    f.fresh1 = (float)(1 - (double)s.beta1);
    f.fresh2 = (float)(1 - (double)s.beta2);
    f.keep = (float)(1 - (double)s.lr * s.decay);
    f.rate = (float)(s.lr / (1 - pow(s.beta1, t)));
    f.root = (float)sqrt(1 - pow(s.beta2, t));
    f.eps = s.eps;
    cuda_launch(q, adamw_kernel, cuda_divide_up(count, threads), threads, 0, w, m, v, gradient,
                count, f);
}
