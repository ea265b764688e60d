/* RMS norm (Zhang and Sennrich 2019, eq. 4): y = x w / sqrt(mean(x^2) + eps),
 * and its gradients.
 * Rows of usual sizes (a multiple of 8 up to 2048) are read once, by a warp each, 16 bytes a lane;
 * the backward pass adds up dw as it goes.  Other rows take a block each, see the end. */
#include "octet.cuh"
#include "reduce.cuh"
#include "strips.cuh"

enum { threads = 256, warps = threads / 32 };
enum { lane_columns = 8, group_columns = 32 * lane_columns, max_groups = 8 };

/* The columns of group g that a lane has: [column, column + 8), all of them below d or none. */
static __device__ inline int64_t lane_column(int g)
{
    return g * group_columns + (int64_t)(threadIdx.x % 32) * lane_columns;
}

template <class T, int groups>
static __global__ void __launch_bounds__(threads)
    rmsnorm_row_kernel(T *__restrict__ y, float *__restrict__ inverse, const T *__restrict__ x,
                       const float *__restrict__ w, int64_t m, int64_t d, float eps)
{
    const int64_t row = (int64_t)blockIdx.x * warps + threadIdx.x / 32;
    if (row >= m) return;
    octet<T> mine[groups];
    float sum = 0.0f;
    GPU_UNROLL
    for (int g = 0; g < groups; g++) {
        if (lane_column(g) >= d) continue;
        mine[g] = octet_load(x + row * d + lane_column(g));
        GPU_UNROLL
        for (int k = 0; k < 8; k++) {
            const float v = element_load(mine[g].v + k);
            sum += v * v;
        }
    }
    const float scale = 1.0f / sqrtf(warp_sum(sum) / (float)d + eps);
    GPU_UNROLL
    for (int g = 0; g < groups; g++) {
        if (lane_column(g) >= d) continue;
        const octet<float> weight = octet_load(w + lane_column(g));
        octet<T> out;
        GPU_UNROLL
        for (int k = 0; k < 8; k++)
            element_store(out.v + k, element_load(mine[g].v + k) * scale * weight.v[k]);
        octet_store(y + row * d + lane_column(g), out);
    }
    if (threadIdx.x % 32 == 0 && inverse) inverse[row] = scale;
}

/* dx (+)= inverse (dy w - x inverse^2 mean(dy w x)), and partial[block, column] = the sum over the
 * block's rows of dy x inverse: each warp adds up its rows, then the warps one after another. */
template <class T, int groups>
static __global__ void __launch_bounds__(threads)
    rmsnorm_row_backward_kernel(T *__restrict__ dx, float *__restrict__ partial,
                                const T *__restrict__ dy, const T *__restrict__ x,
                                const float *__restrict__ w, const float *__restrict__ inverse,
                                int64_t m, int64_t d, int64_t block_rows, bool accumulate)
{
    __shared__ float shared[groups * group_columns];
    const int warp = threadIdx.x / 32;
    const int64_t first = (int64_t)blockIdx.x * block_rows;
    const int64_t end = first + block_rows < m ? first + block_rows : m;
    float dw[groups][8] = {};
    for (int64_t row = first + warp; row < end; row += warps) {
        const float scale = inverse[row];
        octet<T> gradient[groups], mine[groups];
        float sum = 0.0f;
        GPU_UNROLL
        for (int g = 0; g < groups; g++) {
            if (lane_column(g) >= d) continue;
            const int64_t at = row * d + lane_column(g);
            const octet<float> weight = octet_load(w + lane_column(g));
            gradient[g] = octet_load(dy + at);
            mine[g] = octet_load(x + at);
            GPU_UNROLL
            for (int k = 0; k < 8; k++) {
                const float product = element_load(gradient[g].v + k) * element_load(mine[g].v + k);
                sum += product * weight.v[k];
                dw[g][k] += product * scale;
            }
        }
        const float mean = warp_sum(sum) / (float)d * scale * scale;
        GPU_UNROLL
        for (int g = 0; g < groups; g++) {
            if (lane_column(g) >= d) continue;
            const int64_t at = row * d + lane_column(g);
            const octet<float> weight = octet_load(w + lane_column(g));
            octet<T> out;
            if (accumulate) out = octet_load(dx + at);
            GPU_UNROLL
            for (int k = 0; k < 8; k++) {
                const float before = accumulate ? element_load(out.v + k) : 0.0f;
                element_store(out.v + k,
                              before + scale * (element_load(gradient[g].v + k) * weight.v[k] -
                                                element_load(mine[g].v + k) * mean));
            }
            octet_store(dx + at, out);
        }
    }
    if (!partial) return;
    for (int turn = 0; turn < warps; turn++) {
        if (turn == warp)
            for (int g = 0; g < groups; g++)
                for (int k = 0; k < 8; k++) {
                    const int64_t column = lane_column(g) + k;
                    shared[column] = turn ? shared[column] + dw[g][k] : dw[g][k];
                }
        __syncthreads();
    }
    for (int64_t column = threadIdx.x; column < d; column += threads)
        partial[(int64_t)blockIdx.x * d + column] = shared[column];
}

/* ---- Rows of any size, a block each. ---- */

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

/* partial[part, column] = sum over the part's rows of dy x inverse. */
template <class T>
static __global__ void __launch_bounds__(strip_columns *strip_strands)
    rmsnorm_weight_kernel(float *__restrict__ partial, const T *__restrict__ dy,
                          const T *__restrict__ x, const float *__restrict__ inverse, int64_t m,
                          int64_t d, int64_t part_rows)
{
    __shared__ float strand[strip_strands][strip_columns + 1];
    const int64_t column = (int64_t)blockIdx.x * strip_columns + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.y * part_rows;
    float sum = 0.0f;
    if (column < d)
        for (int64_t row = first + threadIdx.y; row < m && row < first + part_rows;
             row += strip_strands)
            sum += element_load(dy + row * d + column) * element_load(x + row * d + column) *
                   inverse[row];
    strand[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= d) return;
    for (int i = 1; i < strip_strands; i++) sum += strand[i][threadIdx.x];
    partial[blockIdx.y * d + column] = sum;
}

/* ---- The operations. ---- */

/* Runs the statement with `groups` enough for d columns. */
#define with_groups(d, ...)                                                                        \
    do {                                                                                           \
        if ((d) <= group_columns) {                                                                \
            constexpr int groups = 1;                                                              \
            __VA_ARGS__;                                                                           \
        } else if ((d) <= 2 * group_columns) {                                                     \
            constexpr int groups = 2;                                                              \
            __VA_ARGS__;                                                                           \
        } else if ((d) <= 4 * group_columns) {                                                     \
            constexpr int groups = 4;                                                              \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            constexpr int groups = max_groups;                                                     \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

void cuda_rmsnorm(struct queue *q, real *y, float *inverse, const real *x, const float *w,
                  int64_t m, int64_t d, float eps)
{
    if (m == 0) return;
    if (d <= max_groups * group_columns && octets_fit(d, (char *)y, (const char *)x, w))
        cuda_with_element(
            q, with_groups(d, cuda_launch(q, (rmsnorm_row_kernel<element, groups>),
                                          cuda_divide_up(m, warps), threads, 0, (element *)y,
                                          inverse, (const element *)x, w, m, d, eps)));
    else
        cuda_with_element(q, cuda_launch(q, rmsnorm_kernel<element>, m, threads, 0, (element *)y,
                                         inverse, (const element *)x, w, d, eps));
}

/* dw NULL: not wanted. */
void cuda_rmsnorm_backward(struct queue *q, real *dx, float *dw, const real *dy, const real *x,
                           const float *w, const float *inverse, int64_t m, int64_t d,
                           bool accumulate)
{
    if (m == 0) return;
    const int64_t part_rows = strip_part_rows(m);
    const int64_t parts = cuda_divide_up(m, part_rows);
    float *partial = NULL;
    if (dw) {
        partial = (float *)cuda_scratch(q, (size_t)(parts * d) * sizeof *partial);
        if (!partial) return;
    }
    if (d <= max_groups * group_columns &&
        octets_fit(d, (char *)dx, (const char *)dy, (const char *)x, w)) {
        cuda_with_element(
            q, with_groups(d, cuda_launch(q, (rmsnorm_row_backward_kernel<element, groups>), parts,
                                          threads, 0, (element *)dx, partial, (const element *)dy,
                                          (const element *)x, w, inverse, m, d, part_rows,
                                          accumulate)));
    } else {
        const dim3 grid((unsigned)cuda_divide_up(d, strip_columns), (unsigned)parts);
        if (partial)
            cuda_with_element(q, cuda_launch(q, rmsnorm_weight_kernel<element>, grid,
                                             dim3(strip_columns, strip_strands), 0, partial,
                                             (const element *)dy, (const element *)x, inverse, m, d,
                                             part_rows));
        cuda_with_element(q, cuda_launch(q, rmsnorm_input_kernel<element>, m, threads, 0,
                                         (element *)dx, (const element *)dy, (const element *)x, w,
                                         inverse, d, accumulate));
    }
    if (partial) strips_add(q, dw, partial, parts, d);
}
