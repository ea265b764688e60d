/* A matrix product as the operations describe it, and as the code that chooses its algorithm does.
 * Two ways lead to a result:
 *
 *   matmul_thin.cu   weights with less than 8 rows or columns (a value head): kernels of our own
 *   blas.cuh         all others: cuBLASLt */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct queue;

/* c[rows, columns] (+)= left right, over `depth`, fp32 sums.  All row-major, without gaps. */
struct product {
    int64_t rows, columns, depth;
    const void *left, *right; /* `real` */
    void *c;                  /* `real`, or fp32 with c_is_float */
    bool left_transposed;     /* stored as [depth, rows], not [rows, depth] */
    bool right_transposed;    /* stored as [columns, depth], not [depth, columns] */
    bool c_is_float, accumulate;
    bool relu;    /* c = max(0, sum); not with accumulate */
    bool by_rows; /* the batch is the rows, whose bits exact queues keep; else it is the depth */
};

/* Whether a weight of this size is too thin for cuBLASLt, which may have no algorithm for it. */
static inline bool product_is_thin(int64_t n, int64_t k)
{
    return n < 8 || k < 8;
}

/* A product with a thin weight.  No size may be 0.  A row's bits depend on neither the number of
 * rows nor their place; a weight's gradient is added in an order that depends on the number of rows
 * alone. */
void cuda_multiply_thin(struct queue *q, const struct product *p);

/* What the choice of an algorithm depends on.  Without gaps: compared, hashed and written to disk
 * byte by byte. */
struct blas_shape {
    int64_t rows, columns, depth;
    int32_t element_bytes, c_bytes;
    int32_t left_transposed, right_transposed, accumulate, relu;
    int32_t alignment[3]; /* bytes, of left, right, c: what the algorithm may rely on */
    int32_t exact;        /* no workspace that could hold parts of sums */
};

/* cublasLtMatmulAlgo_t: opaque, valid for one version of the library. */
struct blas_algorithm {
    uint64_t data[8];
};

static_assert(sizeof(struct blas_shape) == 64 && sizeof(struct blas_algorithm) == 64,
              "the file of choices holds both as they are");

static inline uint64_t blas_hash(const void *bytes, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}
