/* Operations whose outputs each depend on a few inputs: sums, ReLU, caches, counters, means. */
#include "octet.cuh"

enum { threads = 256 };

struct summed {
    __device__ float operator()(float a, float b) const
    {
        return a + b;
    }
};
struct scaled {
    float factor;
    __device__ float operator()(float a, float) const
    {
        return a * factor;
    }
};
struct same {
    __device__ float operator()(float a, float) const
    {
        return a;
    }
};
/* b where a > 0, else 0; a NaN in `a` stays visible where b is a. */
struct gated {
    __device__ float operator()(float a, float b) const
    {
        return a <= 0.0f ? 0.0f : b;
    }
};

/* y[i] = f(a[i], b[i]); y may be a or b.  A thread has eight neighbours. */
template <class Y, class A, class F>
static __global__ void __launch_bounds__(threads)
    map_kernel(Y *y, const A *a, const A *b, int64_t count, bool aligned, F f)
{
    const int64_t first = 8 * ((int64_t)blockIdx.x * threads + threadIdx.x);
    if (aligned && first + 8 <= count) {
        const octet<A> left = octet_load(a + first), right = octet_load(b + first);
        octet<Y> out;
        GPU_UNROLL
        for (int k = 0; k < 8; k++)
            element_store(out.v + k, f(element_load(left.v + k), element_load(right.v + k)));
        octet_store(y + first, out);
        return;
    }
    for (int64_t i = first; i < first + 8 && i < count; i++)
        element_store(y + i, f(element_load(a + i), element_load(b + i)));
}

template <class Y, class A, class F>
static void map(struct queue *q, Y *y, const A *a, const A *b, int64_t count, F f)
{
    if (count == 0) return;
    const bool aligned = octets_fit(0, y, a, b);
    cuda_launch(q, (map_kernel<Y, A, F>), cuda_divide_up(count, 8 * threads), threads, 0, y, a, b,
                count, aligned, f);
}

void cuda_add(struct queue *q, float *y, const float *a, const float *b, int64_t count)
{
    map(q, y, a, b, count, summed());
}

void cuda_narrow(struct queue *q, real *y, const float *x, int64_t count)
{
    cuda_with_element(q, map(q, (element *)y, x, x, count, same()));
}

void cuda_scale(struct queue *q, real *y, const real *a, float factor, int64_t count)
{
    cuda_with_element(q, const element *from = (const element *)a;
                      map(q, (element *)y, from, from, count, scaled{factor}));
}

/* dx = dy where x > 0, else 0; x: relu's input or its output. */
void cuda_relu_backward(struct queue *q, real *dx, const real *dy, const real *x, int64_t count)
{
    cuda_with_element(
        q, map(q, (element *)dx, (const element *)x, (const element *)dy, count, gated()));
}

/* A block a row; strides and width in words. */
template <class T>
static __global__ void __launch_bounds__(threads)
    cache_append_kernel(T *__restrict__ to, int64_t slot_stride, const int32_t *__restrict__ slot,
                        const int32_t *__restrict__ position, const T *__restrict__ from,
                        int64_t from_stride, int64_t width)
{
    const int64_t row = blockIdx.x;
    to += slot[row] * slot_stride + position[row] * width;
    from += row * from_stride;
    for (int64_t i = threadIdx.x; i < width; i += threads) to[i] = from[i];
}

template <class T>
static void append(struct queue *q, void *to, int64_t slot_bytes, const int32_t *slot,
                   const int32_t *position, const void *from, int64_t from_bytes, int64_t rows,
                   int64_t row_bytes)
{
    const int64_t word = sizeof(T);
    cuda_launch(q, cache_append_kernel<T>, rows, threads, 0, (T *)to, slot_bytes / word, slot,
                position, (const T *)from, from_bytes / word, row_bytes / word);
}

/* In the widest words that everything is a multiple of. */
void cuda_cache_append(struct queue *q, void *to, int64_t slot_stride, const int32_t *slot,
                       const int32_t *position, const void *from, int64_t from_stride, int64_t rows,
                       int64_t width, size_t bytes)
{
    if (rows == 0 || width == 0) return;
    const int64_t slot_bytes = slot_stride * (int64_t)bytes, row_bytes = width * (int64_t)bytes;
    const int64_t from_bytes = from_stride * (int64_t)bytes;
    const uintptr_t any = (uintptr_t)to | (uintptr_t)from | (uintptr_t)slot_bytes |
                          (uintptr_t)row_bytes | (uintptr_t)from_bytes;
    if (any % sizeof(uint4) == 0)
        append<uint4>(q, to, slot_bytes, slot, position, from, from_bytes, rows, row_bytes);
    else if (any % sizeof(uint32_t) == 0)
        append<uint32_t>(q, to, slot_bytes, slot, position, from, from_bytes, rows, row_bytes);
    else
        append<uint8_t>(q, to, slot_bytes, slot, position, from, from_bytes, rows, row_bytes);
}

static __global__ void __launch_bounds__(threads)
    advance_kernel(int32_t *counters, int32_t value, int64_t count, int64_t stride)
{
    const int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i < count) counters[i * stride] += value;
}

void cuda_advance(struct queue *q, int32_t *counters, int32_t value, int64_t count, int64_t stride)
{
    if (count == 0) return;
    cuda_launch(q, advance_kernel, cuda_divide_up(count, threads), threads, 0, counters, value,
                count, stride);
}

/* out[segments, d], x[rows, d]; a segment of no rows gives zeros.  Blocks: columns, segments. */
template <class T>
static __global__ void __launch_bounds__(threads)
    mean_rows_kernel(T *__restrict__ out, const T *__restrict__ x,
                     const int32_t *__restrict__ begin, int64_t d)
{
    const int64_t column = (int64_t)blockIdx.x * threads + threadIdx.x, segment = blockIdx.y;
    if (column >= d) return;
    const int64_t first = begin[segment], end = begin[segment + 1];
    float sum = 0.0f;
    for (int64_t i = first; i < end; i++) sum += element_load(x + i * d + column);
    element_store(out + segment * d + column, end > first ? sum / (float)(end - first) : 0.0f);
}

/* dx[i, :] = dout[segment, :] / rows of the segment; rows of none are left alone. */
template <class T>
static __global__ void __launch_bounds__(threads)
    mean_rows_backward_kernel(T *__restrict__ dx, const T *__restrict__ dout,
                              const int32_t *__restrict__ begin, int64_t d)
{
    const int64_t column = (int64_t)blockIdx.x * threads + threadIdx.x, segment = blockIdx.y;
    if (column >= d) return;
    const int64_t first = begin[segment], end = begin[segment + 1];
    const float share = element_load(dout + segment * d + column) / (float)(end - first);
    for (int64_t i = first; i < end; i++) element_store(dx + i * d + column, share);
}

void cuda_mean_rows(struct queue *q, real *out, const real *x, const int32_t *begin,
                    int64_t segments, int64_t d)
{
    if (segments == 0) return;
    const dim3 grid((unsigned)cuda_divide_up(d, threads), (unsigned)segments);
    cuda_with_element(q, cuda_launch(q, mean_rows_kernel<element>, grid, threads, 0, (element *)out,
                                     (const element *)x, begin, d));
}

void cuda_mean_rows_backward(struct queue *q, real *dx, const real *dout, const int32_t *begin,
                             int64_t segments, int64_t d)
{
    if (segments == 0) return;
    const dim3 grid((unsigned)cuda_divide_up(d, threads), (unsigned)segments);
    cuda_with_element(q, cuda_launch(q, mean_rows_backward_kernel<element>, grid, threads, 0,
                                     (element *)dx, (const element *)dout, begin, d));
}
