/* Products of tiles in shared memory, for attention of fp32 and of odd heads: one multiply-add at a
 * time.  A result's bits depend on its own row and column alone.  A policy has
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
