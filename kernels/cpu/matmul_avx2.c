/* Tiles for AVX2: 6 rows by 16 columns, 12 of 16 registers hold sums. */
#include "kernels/cpu/matmul_tiles.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256
#define LANES 8
#define PANEL_VECTORS 2
#define PACKED_ROWS 6
#define PREFETCH_ROWS 3
#define BROADCAST _mm256_set1_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define MULTIPLY_ADD _mm256_fmadd_ps
#define ADD _mm256_add_ps
#include "kernels/cpu/matmul_body.h"

PACKED_TILE(1)
PACKED_TILE(2)
PACKED_TILE(3)
PACKED_TILE(4)
PACKED_TILE(5)
PACKED_TILE(6)
SMALL_TILE(1)
SMALL_TILE(2)
SMALL_TILE(3)
SMALL_TILE(4)
SMALL_TILE(5)
SMALL_TILE(6)
WIDE_TILE(1, 4)
WIDE_TILE(2, 2)

const struct matmul_tiles *matmul_tiles_avx2(void)
{
    static const struct matmul_tiles tiles = {
        .rows = PACKED_ROWS,
        .width = PANEL_VECTORS * LANES,
        .small_rows = 6,
        .panels = {0, 4, 2},
        .packed = {NULL, packed_1, packed_2, packed_3, packed_4, packed_5, packed_6},
        .small = {NULL, small_1, small_2, small_3, small_4, small_5, small_6},
        .wide = {NULL, wide_1, wide_2},
    };
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &tiles : NULL;
}

#else

const struct matmul_tiles *matmul_tiles_avx2(void)
{
    return NULL;
}

#endif
