/* Products of tiles in shared memory, for attention: one multiply-add at a time (plain), or by
 * tensor cores (tensor: bf16, rows of a multiple of 16 elements).  Both give a result whose bits
 * depend on its own row and column alone.  A policy has
 *   element, stride(d)  of tiles [rows, d] in shared memory;
 *   padded(rows)        rows of a tile that are read, those past `rows` as zeros;
 *   pairs(...)          f(i, j, left_i . right_j), the same thread for the same pair each time;
 *   sums                a [ROWS, D] sum in registers. */
#pragma once
#include "cuda.cuh"

template <class T> struct plain {
    typedef T element;

    /* An odd number of words, so that the same column of 32 rows lies in 32 banks. */
    static __host__ __device__ inline int stride(int64_t d)
    {
        return (int)(((d * (int64_t)sizeof(T) + 3) / 4 | 1) * 4 / (int64_t)sizeof(T));
    }

    static __device__ inline int padded(int rows)
    {
        return rows;
    }

    /* Rows [first, last) of left, COLUMNS of right of which `present` are there; 0 for pairs that
     * are not wanted(i, j).  A dot product is one chain over d. */
    template <int COLUMNS, class W, class F>
    static __device__ inline void pairs(const T *left, const T *right, int first, int last,
                                        int present, int d, const W &wanted, const F &f)
    {
        const int step = stride(d);
        for (int n = (int)threadIdx.x; n < (last - first) * COLUMNS; n += (int)blockDim.x) {
            const int i = first + n / COLUMNS, j = n % COLUMNS;
            float sum = 0.0f;
            if (j < present && wanted(i, j))
                for (int k = 0; k < d; k++)
                    sum = __fmaf_rn(element_load(left + i * step + k),
                                    element_load(right + j * step + k), sum);
            f(i, j, sum);
        }
    }

    template <int ROWS, int D, int threads> struct sums {
        static constexpr int items = (ROWS * D + threads - 1) / threads;
        float x[items];

        __device__ inline void clear()
        {
            for (int n = 0; n < items; n++) x[n] = 0.0f;
        }

        /* Of rows that keep(i): x_i = scale(i) x_i + sum over k < depth of weight(i, k) value_k. */
        template <class K, class S, class W>
        __device__ inline void add(const T *value, int depth, int d, const K &keep, const S &scale,
                                   const W &weight)
        {
            const int step = stride(d);
            GPU_UNROLL
            for (int n = 0; n < items; n++) {
                const int at = (int)threadIdx.x + n * threads, row = at / D, column = at % D;
                if (row >= ROWS || column >= d || !keep(row)) continue;
                float sum = x[n] * scale(row);
                for (int k = 0; k < depth; k++)
                    sum = __fmaf_rn(weight(row, k), element_load(value + k * step + column), sum);
                x[n] = sum;
            }
        }

        /* f(row, column, sum) */
        template <class F> __device__ inline void visit(int d, const F &f) const
        {
            GPU_UNROLL
            for (int n = 0; n < items; n++) {
                const int at = (int)threadIdx.x + n * threads;
                if (at / D < ROWS && at % D < d) f(at / D, at % D, x[n]);
            }
        }
    };
};

/* A block is whole warps; a warp has whole 16 x 8 tiles of a result.  Of such a tile lane
 * 4 g + t has columns 2 t and 2 t + 1 of rows g and g + 8. */
struct tensor {
    typedef __nv_bfloat16 element;

    /* 4 words modulo 8: rows g, words t of a fragment lie in 32 banks. */
    static __host__ __device__ inline int stride(int64_t d)
    {
        return (int)d + 8;
    }

    static __device__ inline int padded(int rows)
    {
        return (rows + 15) / 16 * 16;
    }

    static __device__ inline uint32_t packed(__nv_bfloat16 low, __nv_bfloat16 high)
    {
        return __bfloat16_as_ushort(low) | (uint32_t)__bfloat16_as_ushort(high) << 16;
    }

    static __device__ inline uint32_t word_of(const __nv_bfloat16 *two)
    {
        return *(const uint32_t *)two;
    }

    template <int COLUMNS, class W, class F>
    static __device__ inline void pairs(const __nv_bfloat16 *left, const __nv_bfloat16 *right,
                                        int first, int last, int present, int d, const W &wanted,
                                        const F &f)
    {
        constexpr int across = COLUMNS / 8;
        const int step = stride(d), lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
        const int top = first / 16, down = (last + 15) / 16 - top;
        for (int n = (int)threadIdx.x / 32; n < down * across; n += (int)blockDim.x / 32) {
            const int row = (top + n / across) * 16, column = n % across * 8;
            float sum[4] = {};
            if (column < present)
                for (int k = 0; k < d; k += 16) {
                    const __nv_bfloat16 *l = left + (row + g) * step + k + 2 * t;
                    const __nv_bfloat16 *r = right + (column + g) * step + k + 2 * t;
                    const uint32_t a[4] = {word_of(l), word_of(l + 8 * step), word_of(l + 8),
                                           word_of(l + 8 * step + 8)};
                    const uint32_t b[2] = {word_of(r), word_of(r + 8)};
                    mma_m16n8k16(sum, a, b);
                }
            for (int r = 0; r < 4; r++) {
                const int i = row + g + r / 2 * 8, j = column + 2 * t + r % 2;
                if (i >= first && i < last) f(i, j, j < present && wanted(i, j) ? sum[r] : 0.0f);
            }
        }
    }

    /* Weights are rounded to bf16. */
    template <int ROWS, int D, int threads> struct sums {
        static constexpr int across = D / 8, items = ROWS / 16 * across / (threads / 32);
        static_assert(ROWS % 16 == 0 && ROWS / 16 * across % (threads / 32) == 0,
                      "each warp has as many tiles");
        float x[items][4];

        __device__ inline void clear()
        {
            for (int n = 0; n < items; n++)
                for (int r = 0; r < 4; r++) x[n][r] = 0.0f;
        }

        template <class K, class S, class W>
        __device__ inline void add(const __nv_bfloat16 *value, int depth, int d, const K &keep,
                                   const S &scale, const W &weight)
        {
            const int step = stride(d), lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
            GPU_UNROLL
            for (int n = 0; n < items; n++) {
                const int tile = (int)threadIdx.x / 32 + n * (threads / 32);
                const int row = tile / across * 16 + g, column = tile % across * 8;
                if (column >= d) continue;
                const bool upper = keep(row), lower = keep(row + 8);
                const auto weight_at = [&](int i, bool kept, int k) {
                    const float w = kept && k < depth ? weight(i, k) : 0.0f;
                    return __float2bfloat16_rn(w);
                };
                float part[4] = {};
                for (int k0 = 0; k0 < padded(depth); k0 += 16) { /* as often in every lane */
                    const int k = k0 + 2 * t;
                    const __nv_bfloat16 *v = value + k * step + column + g;
                    const uint32_t a[4] = {
                        packed(weight_at(row, upper, k), weight_at(row, upper, k + 1)),
                        packed(weight_at(row + 8, lower, k), weight_at(row + 8, lower, k + 1)),
                        packed(weight_at(row, upper, k + 8), weight_at(row, upper, k + 9)),
                        packed(weight_at(row + 8, lower, k + 8), weight_at(row + 8, lower, k + 9))};
                    const uint32_t b[2] = {packed(v[0], v[step]), packed(v[8 * step], v[9 * step])};
                    mma_m16n8k16(part, a, b);
                }
                for (int r = 0; r < 4; r++)
                    if (r < 2 ? upper : lower)
                        x[n][r] = __fmaf_rn(x[n][r], scale(row + r / 2 * 8), part[r]);
            }
        }

        template <class F> __device__ inline void visit(int d, const F &f) const
        {
            const int lane = (int)threadIdx.x % 32;
            GPU_UNROLL
            for (int n = 0; n < items; n++) {
                const int tile = (int)threadIdx.x / 32 + n * (threads / 32);
                const int row = tile / across * 16 + lane / 4;
                const int column = tile % across * 8 + lane % 4 * 2;
                for (int r = 0; r < 4 && column < d; r++)
                    f(row + r / 2 * 8, column + r % 2, x[n][r]);
            }
        }
    };
};
