/* Sums down the columns of a gradient: blocks add up parts of its rows, then the parts' sums are
 * added, both in strips of 32 columns by 8 strands. */
#pragma once
#include "cuda.cuh"

enum { strip_columns = 32, strip_strands = 8 };

/* Rows of one part: enough blocks for the device, and few parts for the sum behind them. */
static inline int64_t strip_part_rows(int64_t m)
{
    return m >= 8192 ? 64 : m >= 4096 ? 32 : 16;
}

/* out[column] += the sums of all parts.  A block has 32 columns and 8 strands of parts, added in
 * one fixed order. */
static __global__ void __launch_bounds__(strip_columns *strip_strands)
    strips_add_kernel(float *__restrict__ out, const float *__restrict__ partial, int64_t parts,
                      int64_t d)
{
    __shared__ float strand[strip_strands][strip_columns + 1];
    const int64_t column = (int64_t)blockIdx.x * strip_columns + threadIdx.x;
    float sum = 0.0f;
    if (column < d)
        for (int64_t i = threadIdx.y; i < parts; i += strip_strands) sum += partial[i * d + column];
    strand[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= d) return;
    for (int i = 1; i < strip_strands; i++) sum += strand[i][threadIdx.x];
    out[column] += sum;
}

/* out[d] += the sums down partial[parts, d]. */
static inline void strips_add(struct queue *q, float *out, const float *partial, int64_t parts,
                              int64_t d)
{
    cuda_launch(q, strips_add_kernel, cuda_divide_up(d, strip_columns),
                dim3(strip_columns, strip_strands), 0, out, partial, parts, d);
}
