/* Weights of the matrix products: [n, k] in the queue's element type.  The products read them in
 * either direction, so one copy serves the input gradient too. */
#include "cuda.cuh"
#include "philox.cuh"

#include <stdlib.h>

enum { threads = 256, together = 8 }; /* elements that share one Philox call */

size_t cuda_matrix_bytes(const struct queue *q, int64_t n, int64_t k, bool with_input_gradient)
{
    (void)with_input_gradient;
    return (size_t)(n * k) * q->real_bytes;
}

status cuda_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                          struct packed_matrix **out)
{
    *out = NULL;
    struct packed_matrix *w = (struct packed_matrix *)calloc(1, sizeof *w);
    if (!w) FAIL(STATUS_INTERNAL, "no memory for a matrix");
    w->n = n;
    w->k = k;
    w->with_input_gradient = with_input_gradient;
    const size_t bytes = cuda_matrix_bytes(q, n, k, with_input_gradient);
    status error = cuda_blas_reserve(q, n, k);
    if (!error) error = cuda_allocate(q, MEMORY_WEIGHTS, bytes, &w->values);
    if (error)
        free(w);
    else
        *out = w;
    return error;
}

void cuda_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    if (!w) return;
    cuda_release(q, w->values);
    free(w);
}

/* bf16's bits; 16 random bits added below carry as often as x lies above the lower neighbour.
 * A NaN stays one, as in rounding to nearest. */
static __device__ inline uint32_t bf16_rounded(float x, uint32_t random)
{
    const uint32_t bits = __float_as_uint(x);
    return x == x ? (bits + (random & 0xffffu)) >> 16 : 0x7fffu;
}

/* y[count] bf16, x[count]: eight neighbours a thread. */
static __global__ void __launch_bounds__(threads)
    round_kernel(uint16_t *__restrict__ y, const float *__restrict__ x, int64_t count, bool aligned,
                 struct rounding rounding)
{
    const int64_t at = together * ((int64_t)blockIdx.x * threads + threadIdx.x);
    if (at >= count) return;
    const uint64_t block = (uint64_t)(rounding.first + at) / together;
    const struct philox_words random =
        philox4x32((uint32_t)block, (uint32_t)(block >> 32), rounding.counter[0],
                   rounding.counter[1], rounding.key[0], rounding.key[1]);
    if (aligned && at + together <= count) {
        const float4 low = *(const float4 *)(x + at), high = *(const float4 *)(x + at + 4);
        const float from[together] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        uint32_t pair[together / 2];
        GPU_UNROLL for (int k = 0; k < together / 2; k++) pair[k] =
            bf16_rounded(from[2 * k], random.word[k]) |
            bf16_rounded(from[2 * k + 1], random.word[k] >> 16) << 16;
        *(uint4 *)(y + at) = make_uint4(pair[0], pair[1], pair[2], pair[3]);
        return;
    }
    GPU_UNROLL for (int k = 0; k < together; k++) if (at + k < count) y[at + k] =
        (uint16_t)bf16_rounded(x[at + k], random.word[k / 2] >> 16 * (k % 2));
}

void cuda_matrix_pack(struct queue *q, struct packed_matrix *w, const float *values,
                      const struct rounding *rounding)
{
    const int64_t count = w->n * w->k;
    if (!rounding || q->real_bytes == sizeof(float)) {
        cuda_narrow(q, w->values, values, count);
        return;
    }
    if (rounding->first % together) {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "rounding from element %lld on, no multiple of %d",
                           (long long)rounding->first, together));
        return;
    }
    const bool aligned = (uintptr_t)values % sizeof(float4) == 0;
    cuda_launch(q, round_kernel, cuda_divide_up(count, threads * together), threads, 0,
                (uint16_t *)w->values, values, count, aligned, *rounding);
}
