/* blas.cuh by plain loops, run by one thread of the shim: fp32 sums, ascending over the depth.
 * Each element of the factors is read once and each of c written once by code that checks look at;
 * the products in between are not looked at, which would take minutes. */
#pragma once
#include "blas.cuh"

#include <stdlib.h>

#define BLAS_UNCHECKED CUDA_HOST_UNCHECKED __attribute__((noinline))

static void blas_release(struct blas *)
{
}

BLAS_UNCHECKED static void blas_put(float *to, int64_t at, float x)
{
    to[at] = x;
}

BLAS_UNCHECKED static float blas_get(const float *from, int64_t at)
{
    return from[at];
}

/* to[rows, columns], from as it is or stored the other way round */
template <class T>
static void blas_read(float *to, const T *from, int64_t rows, int64_t columns, bool turned)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            blas_put(to, i * columns + j,
                     element_load(from + (turned ? j * rows + i : i * columns + j)));
}

BLAS_UNCHECKED __attribute__((optimize("O3"))) static void
blas_add_products(float *c, const float *left, const float *right, int64_t rows, int64_t columns,
                  int64_t depth)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < depth; k++) {
            const float x = left[i * depth + k];
            const float *__restrict__ y = right + k * columns;
            float *__restrict__ to = c + i * columns;
            for (int64_t j = 0; j < columns; j++) to[j] += x * y[j];
        }
}

template <class T, class C>
static __global__ void blas_kernel(C *c, const T *left, const T *right, struct blas_product p)
{
    float *a = (float *)calloc((size_t)(p.rows * p.depth), sizeof *a);
    float *b = (float *)calloc((size_t)(p.columns * p.depth), sizeof *b);
    float *sum = (float *)calloc((size_t)(p.rows * p.columns), sizeof *sum);
    if (!a || !b || !sum) cuda_host::fault("no memory for a product");
    blas_read(a, left, p.rows, p.depth, p.left_turned);
    blas_read(b, right, p.depth, p.columns, p.right_turned);
    blas_add_products(sum, a, b, p.rows, p.columns, p.depth);
    for (int64_t i = 0; i < p.rows * p.columns; i++)
        element_store(c + i, blas_get(sum, i) + (p.accumulate ? element_load(c + i) : 0.0f));
    free(a);
    free(b);
    free(sum);
}

template <class T, class C> static void blas_launch(struct queue *q, const struct blas_product *p)
{
    cuda_launch(q, (blas_kernel<T, C>), 1, 1, 0, (C *)p->c, (const T *)p->left, (const T *)p->right,
                *p);
}

static void blas_multiply(struct queue *q, const struct blas_product *p)
{
    cuda_with_element(q, if (p->c_is_float) blas_launch<element, float>(q, p);
                      else blas_launch<element, element>(q, p));
}
