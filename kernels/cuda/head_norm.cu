/* RMS norm of heads, a warp each: y = x w / sqrt(mean(x^2) + eps) over a head's d elements, and its
 * gradients. */
#include "cuda.cuh"
#include "reduce.cuh"
#include "strips.cuh"

enum { threads = 256, warps = threads / 32 };

/* Rows of heads that stand `stride` elements apart. */
template <class T> struct heads_at {
    T *values;
    int64_t stride, heads, d;
    __device__ T *operator()(int64_t item) const /* row * heads + head */
    {
        return values + item / heads * stride + item % heads * d;
    }
};

/* y may be x: a lane reads and writes elements of its own. */
template <class T>
static __global__ void __launch_bounds__(threads)
    head_norm_kernel(struct heads_at<T> y, float *__restrict__ inverse, struct heads_at<const T> x,
                     const float *__restrict__ w, int64_t items, float eps)
{
    const int64_t item = (int64_t)blockIdx.x * warps + threadIdx.x / 32, d = x.d;
    const int lane = threadIdx.x % 32;
    if (item >= items) return;
    const T *from = x(item);
    T *to = y(item);
    float sum = 0.0f;
    for (int64_t i = lane; i < d; i += 32) {
        const float v = element_load(from + i);
        sum += v * v;
    }
    const float scale = 1.0f / sqrtf(warp_sum(sum) / (float)d + eps);
    for (int64_t i = lane; i < d; i += 32)
        element_store(to + i, element_load(from + i) * scale * w[i]);
    if (lane == 0 && inverse) inverse[item] = scale;
}

/* dx may be dy, likewise. */
template <class T>
static __global__ void __launch_bounds__(threads)
    head_norm_input_kernel(struct heads_at<T> dx, struct heads_at<const T> dy,
                           struct heads_at<const T> x, const float *__restrict__ w,
                           const float *__restrict__ inverse, int64_t items)
{
    const int64_t item = (int64_t)blockIdx.x * warps + threadIdx.x / 32, d = x.d;
    const int lane = threadIdx.x % 32;
    if (item >= items) return;
    const T *from = x(item), *gradient = dy(item);
    T *to = dx(item);
    const float scale = inverse[item];
    float sum = 0.0f;
    for (int64_t i = lane; i < d; i += 32)
        sum += element_load(gradient + i) * w[i] * element_load(from + i);
    const float mean = warp_sum(sum) / (float)d * scale * scale;
    for (int64_t i = lane; i < d; i += 32)
        element_store(to + i,
                      scale * (element_load(gradient + i) * w[i] - element_load(from + i) * mean));
}

/* partial[part, column] = sum over the part's heads of dy x inverse. */
template <class T>
static __global__ void __launch_bounds__(strip_columns *strip_strands)
    head_norm_weight_kernel(float *__restrict__ partial, struct heads_at<const T> dy,
                            struct heads_at<const T> x, const float *__restrict__ inverse,
                            int64_t items, int64_t part_items)
{
    __shared__ float strand[strip_strands][strip_columns + 1];
    const int64_t column = (int64_t)blockIdx.y * strip_columns + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.x * part_items;
    float sum = 0.0f;
    if (column < x.d)
        for (int64_t item = first + threadIdx.y; item < items && item < first + part_items;
             item += strip_strands)
            sum += element_load(dy(item) + column) * element_load(x(item) + column) * inverse[item];
    strand[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= x.d) return;
    for (int i = 1; i < strip_strands; i++) sum += strand[i][threadIdx.x];
    partial[(int64_t)blockIdx.x * x.d + column] = sum;
}

void cuda_head_norm(struct queue *q, real *y, int64_t y_stride, float *inverse, const real *x,
                    int64_t x_stride, const float *w, int64_t m, int64_t heads, int64_t d,
                    float eps)
{
    if (m * heads == 0) return;
    cuda_with_element(
        q, const struct heads_at<element> to{(element *)y, y_stride, heads, d};
        const struct heads_at<const element> from{(const element *)x, x_stride, heads, d};
        cuda_launch(q, head_norm_kernel<element>, cuda_divide_up(m * heads, warps), threads, 0, to,
                    inverse, from, w, m * heads, eps));
}

/* dw first: dx may take the place of dy. */
void cuda_head_norm_backward(struct queue *q, real *dx, int64_t dx_stride, float *dw,
                             const real *dy, int64_t dy_stride, const real *x, int64_t x_stride,
                             const float *w, const float *inverse, int64_t m, int64_t heads,
                             int64_t d)
{
    const int64_t items = m * heads;
    if (items == 0) return;
    const int64_t part_items = strip_part_rows(items), parts = cuda_divide_up(items, part_items);
    float *partial = NULL;
    if (dw) {
        partial = (float *)cuda_scratch(q, (size_t)(parts * d) * sizeof *partial);
        if (!partial) return;
    }
    const dim3 grid((unsigned)parts, (unsigned)cuda_divide_up(d, strip_columns));
    cuda_with_element(
        q, const struct heads_at<const element> gradient{(const element *)dy, dy_stride, heads, d};
        const struct heads_at<const element> from{(const element *)x, x_stride, heads, d};
        const struct heads_at<element> to{(element *)dx, dx_stride, heads, d};
        if (partial) cuda_launch(q, head_norm_weight_kernel<element>, grid,
                                 dim3(strip_columns, strip_strands), 0, partial, gradient, from,
                                 inverse, items, part_items);
        cuda_launch(q, head_norm_input_kernel<element>, cuda_divide_up(items, warps), threads, 0,
                    to, gradient, from, w, inverse, items));
    if (partial) strips_add(q, dw, partial, parts, d);
}
