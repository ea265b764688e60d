/* What describes a matrix product to the code that chooses its algorithm, and an algorithm as the
 * library keeps it.  Plain numbers: both are written to disk. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Without gaps: compared and hashed byte by byte. */
struct blas_shape {
    int64_t rows, columns, depth;
    int32_t element_bytes, c_bytes;
    int32_t left_turned, right_turned, accumulate, relu;
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
