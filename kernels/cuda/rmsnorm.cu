/* RMS norm (Zhang and Sennrich 2019, eq. 4; T5's layer norm): y = x w / sqrt(mean(x^2) + eps),
 * and its gradients. */
#include "cuda.cuh"
#include "reduce.cuh"

enum { threads = 256, strip_columns = 32, strip_strands = 8, chunk_rows = 128 };

/* One block a row. */
template <class T>
static __global__ void __launch_bounds__(threads)
    rmsnorm_kernel(T *__restrict__ y, float *__restrict__ inverse, const T *__restrict__ x,
                   const float *__restrict__ w, int64_t d, float eps)
{
    const int64_t row = blockIdx.x;
    x += row * d, y += row * d;
    float sum = 0.0f;
    for (int64_t i = threadIdx.x; i < d; i += threads) {
        const float v = element_load(x + i);
        sum += v * v;
    }
    const float scale = 1.0f / sqrtf(block_sum(sum) / (float)d + eps);
    for (int64_t i = threadIdx.x; i < d; i += threads)
        element_store(y + i, element_load(x + i) * scale * w[i]);
    if (threadIdx.x == 0 && inverse) inverse[row] = scale;
}

/* dx (+)= inverse (dy w - x inverse^2 mean(dy w x)).  One block a row. */
template <class T>
static __global__ void __launch_bounds__(threads)
    rmsnorm_input_kernel(T *__restrict__ dx, const T *__restrict__ dy, const T *__restrict__ x,
                         const float *__restrict__ w, const float *__restrict__ inverse, int64_t d,
                         bool accumulate)
{
    const int64_t row = blockIdx.x;
    dx += row * d, dy += row * d, x += row * d;
    const float scale = inverse[row];
    float sum = 0.0f;
    for (int64_t i = threadIdx.x; i < d; i += threads)
        sum += element_load(dy + i) * w[i] * element_load(x + i);
    const float mean = block_sum(sum) / (float)d * scale * scale;
    for (int64_t i = threadIdx.x; i < d; i += threads) {
        const float before = accumulate ? element_load(dx + i) : 0.0f;
        element_store(dx + i,
                      before + scale * (element_load(dy + i) * w[i] - element_load(x + i) * mean));
    }
}

/* partial[chunk, column] = sum over the chunk's rows of dy x inverse.  A block has 32 columns and
 * 8 strands of rows, added in one fixed order. */
template <class T>
static __global__ void __launch_bounds__(strip_columns *strip_strands)
    rmsnorm_weight_kernel(float *__restrict__ partial, const T *__restrict__ dy,
                          const T *__restrict__ x, const float *__restrict__ inverse, int64_t m,
                          int64_t d)
{
    __shared__ float strand[strip_strands][strip_columns + 1];
    const int64_t column = (int64_t)blockIdx.x * strip_columns + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.y * chunk_rows;
    float sum = 0.0f;
    if (column < d)
        for (int64_t row = first + threadIdx.y; row < m && row < first + chunk_rows;
             row += strip_strands)
            sum += element_load(dy + row * d + column) * element_load(x + row * d + column) *
                   inverse[row];
    strand[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= d) return;
    for (int i = 1; i < strip_strands; i++) sum += strand[i][threadIdx.x];
    partial[blockIdx.y * d + column] = sum;
}

/* dw[column] += the chunks' sums, ascending. */
static __global__ void __launch_bounds__(threads)
    rmsnorm_weight_sum_kernel(float *__restrict__ dw, const float *__restrict__ partial,
                              int64_t chunks, int64_t d)
{
    const int64_t column = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (column >= d) return;
    float sum = 0.0f;
    for (int64_t i = 0; i < chunks; i++) sum += partial[i * d + column];
    dw[column] += sum;
}

void cuda_rmsnorm(struct queue *q, real *y, float *inverse, const real *x, const float *w,
                  int64_t m, int64_t d, float eps)
{
    if (m == 0) return;
    cuda_with_element(q, cuda_launch(q, rmsnorm_kernel<element>, m, threads, 0, (element *)y,
                                     inverse, (const element *)x, w, d, eps));
}

void cuda_rmsnorm_backward(struct queue *q, real *dx, float *dw, const real *dy, const real *x,
                           const float *w, const float *inverse, int64_t m, int64_t d,
                           bool accumulate)
{
    if (m == 0) return;
    if (dw) {
        const int64_t chunks = cuda_divide_up(m, chunk_rows);
        float *partial = (float *)cuda_scratch(q, (size_t)(chunks * d) * sizeof *partial);
        if (!partial) return;
        const dim3 grid((unsigned)cuda_divide_up(d, strip_columns), (unsigned)chunks);
        cuda_with_element(q, cuda_launch(q, rmsnorm_weight_kernel<element>, grid,
                                         dim3(strip_columns, strip_strands), 0, partial,
                                         (const element *)dy, (const element *)x, inverse, m, d));
        cuda_launch(q, rmsnorm_weight_sum_kernel, cuda_divide_up(d, threads), threads, 0, dw,
                    partial, chunks, d);
    }
    cuda_with_element(q, cuda_launch(q, rmsnorm_input_kernel<element>, m, threads, 0, (element *)dx,
                                     (const element *)dy, (const element *)x, w, inverse, d,
                                     accumulate));
}
