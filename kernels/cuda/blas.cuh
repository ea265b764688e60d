/* One matrix product, of cuBLASLt under nvcc (blas_lt.cuh) and of plain loops under g++ (tests
 * without a GPU, blas_host.cuh): same arguments, same result up to the order of additions, queued
 * like a kernel.  Which of the library's algorithms runs is chosen here, in one of two ways:
 *
 *   blas_fast.cuh   the fastest for the shape, by the library's word or, with `tune`, by the clock
 *   blas_exact.cuh  exact queues: the same order of additions for every number of rows */
#pragma once
#include "blas_cache.cuh"
#include "cuda.cuh"

/* c[rows, columns] (+)= left right, over `depth`, fp32 sums.  All row-major, without gaps. */
struct blas_product {
    int64_t rows, columns, depth;
    const void *left, *right; /* `real` */
    void *c;                  /* `real`, or fp32 with c_is_float */
    bool left_turned;         /* stored as [depth, rows], not [rows, depth] */
    bool right_turned;        /* stored as [columns, depth], not [depth, columns] */
    bool c_is_float, accumulate;
    bool relu;    /* c = max(0, sum); not with accumulate */
    bool by_rows; /* the batch is the rows, whose bits exact queues keep; else it is the depth */
};

/* No size may be 0. */
static void blas_multiply(struct queue *q, const struct blas_product *p);

/* The library: what blas_lt.cuh and blas_host.cuh both define.  A message is NULL, or says what
 * went wrong; it stays valid. */
struct blas_library;
enum { blas_most_suggested = 8 };

static bool blas_library_open(struct queue *q, struct blas_library *library);
static void blas_library_close(struct queue *q, struct blas_library *library);

/* GPU, library and driver: equal words, equal algorithms. */
static void blas_library_identity(struct queue *q, char *words, size_t size);

/* Bytes to write so that nothing read before is left in the GPU's caches. */
static size_t blas_library_cached_bytes(struct queue *q);

/* Up to `most` algorithms, the best first by the library's own word, none of which splits the depth
 * and adds parts in whatever order: equal calls give equal bits.  Returns how many, 0 with a
 * message. */
static int blas_library_suggest(struct blas_library *library, const struct blas_shape *shape,
                                struct blas_algorithm *algorithms, int most, const char **message);

/* Whether the algorithm can do this shape. */
static bool blas_library_takes(struct blas_library *library, const struct blas_shape *shape,
                               const struct blas_algorithm *algorithm);

static const char *blas_library_run(struct queue *q, struct blas_library *library,
                                    const struct blas_shape *shape,
                                    const struct blas_algorithm *algorithm, const void *left,
                                    const void *right, void *c);

#ifdef __CUDACC__
#include "blas_lt.cuh"
#else
#include "blas_host.cuh"
#endif
#include "blas_plan.cuh"

#include "blas_exact.cuh"
#include "blas_fast.cuh"

static void blas_multiply(struct queue *q, const struct blas_product *p)
{
    struct blas *blas = blas_of(q);
    if (!blas) return;
    if (q->exact && p->by_rows)
        blas_exact_multiply(q, blas, p);
    else
        blas_fast_multiply(q, blas, p);
}
