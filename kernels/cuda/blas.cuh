/* One matrix product, of cuBLASLt under nvcc (blas_lt.cuh) and of plain loops under g++ (tests
 * without a GPU, blas_host.cuh): same arguments, same result up to the order of additions, queued
 * like a kernel. */
#pragma once
#include "cuda.cuh"

/* c[rows, columns] (+)= left right, over `depth`, fp32 sums.  All row-major, without gaps. */
struct blas_product {
    int64_t rows, columns, depth;
    const void *left, *right; /* `real` */
    void *c;                  /* `real`, or fp32 with c_is_float */
    bool left_turned;         /* stored as [depth, rows], not [rows, depth] */
    bool right_turned;        /* stored as [columns, depth], not [depth, columns] */
    bool c_is_float, accumulate;
};

/* No size may be 0. */
static void blas_multiply(struct queue *q, const struct blas_product *p);

/* What the queue keeps for products; NULL is allowed. */
static void blas_release(struct blas *blas);

#ifdef __CUDACC__
#include "blas_lt.cuh"
#else
#include "blas_host.cuh"
#endif
