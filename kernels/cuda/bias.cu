/* Biases of products: added to each row; their gradient, the sum of the rows. */
#include "octet.cuh"
#include "strips.cuh"

enum { threads = 256 };

/* A thread has eight neighbours of one row; moved at once where `vectorized` (n, stride are
 * multiples of 8 then). */
template <class T>
static __global__ void __launch_bounds__(threads)
    bias_add_kernel(T *__restrict__ y, int64_t stride, const float *__restrict__ bias, int64_t m,
                    int64_t n, int64_t row_octets, bool vectorized)
{
    const int64_t at = (int64_t)blockIdx.x * threads + threadIdx.x, row = at / row_octets;
    const int64_t first = 8 * (at % row_octets);
    if (row >= m) return;
    y += row * stride;
    if (vectorized) {
        octet<T> x = octet_load(y + first);
        const octet<float> b = octet_load(bias + first);
        GPU_UNROLL
        for (int k = 0; k < 8; k++) element_store(x.v + k, element_load(x.v + k) + b.v[k]);
        octet_store(y + first, x);
        return;
    }
    for (int64_t i = first; i < first + 8 && i < n; i++)
        element_store(y + i, element_load(y + i) + bias[i]);
}

void cuda_bias_add(struct queue *q, real *y, int64_t stride, const float *bias, int64_t m,
                   int64_t n)
{
    if (m == 0 || n == 0) return;
    const int64_t row_octets = cuda_divide_up(n, 8);
    const bool vectorized = stride % 8 == 0 && octets_fit(n, (char *)y, (const char *)bias);
    cuda_with_element(q, cuda_launch(q, bias_add_kernel<element>,
                                     cuda_divide_up(m * row_octets, threads), threads, 0,
                                     (element *)y, stride, bias, m, n, row_octets, vectorized));
}

/* partial[part, column] = sum over the part's rows. */
template <class T>
static __global__ void __launch_bounds__(strip_columns *strip_strands)
    bias_strips_kernel(float *__restrict__ partial, const T *__restrict__ dy, int64_t stride,
                       int64_t m, int64_t n, int64_t part_rows)
{
    __shared__ float strand[strip_strands][strip_columns + 1];
    const int64_t column = (int64_t)blockIdx.y * strip_columns + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.x * part_rows;
    float sum = 0.0f;
    if (column < n)
        for (int64_t row = first + threadIdx.y; row < m && row < first + part_rows;
             row += strip_strands)
            sum += element_load(dy + row * stride + column);
    strand[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= n) return;
    for (int i = 1; i < strip_strands; i++) sum += strand[i][threadIdx.x];
    partial[(int64_t)blockIdx.x * n + column] = sum;
}

void cuda_bias_backward(struct queue *q, float *dbias, const real *dy, int64_t stride, int64_t m,
                        int64_t n)
{
    if (m == 0 || n == 0) return;
    const int64_t part_rows = strip_part_rows(m), parts = cuda_divide_up(m, part_rows);
    float *partial = (float *)cuda_scratch(q, (size_t)(parts * n) * sizeof *partial);
    if (!partial) return;
    const dim3 grid((unsigned)parts, (unsigned)cuda_divide_up(n, strip_columns));
    cuda_with_element(q, cuda_launch(q, bias_strips_kernel<element>, grid,
                                     dim3(strip_columns, strip_strands), 0, partial,
                                     (const element *)dy, stride, m, n, part_rows));
    strips_add(q, dbias, partial, parts, n);
}
