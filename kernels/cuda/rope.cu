/* The rotary embedding: elements j and j + d/2 of a head are turned by angle j of the row's place
 * in the table. */
#include "octet.cuh"

enum { threads = 256 };

/* The fused operations are written out: both paths below give the same bits. */
static __device__ inline float2 turned(float a, float b, float cosine, float sine)
{
    return make_float2(fmaf(a, cosine, -(b * sine)), fmaf(b, cosine, a * sine));
}

/* A thread has eight neighbours of a head's first half, or fewer at its end, and their partners;
 * moved at once where `vectorized` (half and stride are multiples of 8 then). */
template <class T>
static __global__ void __launch_bounds__(threads)
    rope_kernel(T *__restrict__ x, int64_t stride, const int32_t *__restrict__ position,
                const float *__restrict__ table, int64_t m, int64_t heads, int64_t half,
                float direction, bool vectorized)
{
    const int64_t octets = (half + 7) / 8, at = (int64_t)blockIdx.x * threads + threadIdx.x;
    const int64_t row = at / (heads * octets), head = at / octets % heads;
    const int64_t first = 8 * (at % octets);
    if (row >= m) return;
    const float *cosine = table + position[row] * 2 * half, *sine = cosine + half;
    T *low = x + row * stride + head * 2 * half, *high = low + half;
    if (vectorized) {
        octet<T> a = octet_load(low + first), b = octet_load(high + first);
        const octet<float> c = octet_load(cosine + first), s = octet_load(sine + first);
        GPU_UNROLL
        for (int k = 0; k < 8; k++) {
            const float2 y =
                turned(element_load(a.v + k), element_load(b.v + k), c.v[k], direction * s.v[k]);
            element_store(a.v + k, y.x);
            element_store(b.v + k, y.y);
        }
        octet_store(low + first, a);
        octet_store(high + first, b);
        return;
    }
    for (int64_t i = first; i < first + 8 && i < half; i++) {
        const float2 y =
            turned(element_load(low + i), element_load(high + i), cosine[i], direction * sine[i]);
        element_store(low + i, y.x);
        element_store(high + i, y.y);
    }
}

void cuda_rope(struct queue *q, real *x, int64_t stride, const int32_t *position,
               const float *table, int64_t m, int64_t heads, int64_t d, bool inverse)
{
    const int64_t items = m * heads * cuda_divide_up(d / 2, 8);
    if (items == 0) return;
    const bool vectorized = stride % 8 == 0 && octets_fit(d / 2, (char *)x, (const char *)table);
    cuda_with_element(q, cuda_launch(q, rope_kernel<element>, cuda_divide_up(items, threads),
                                     threads, 0, (element *)x, stride, position, table, m, heads,
                                     d / 2, inverse ? -1.0f : 1.0f, vectorized));
}
