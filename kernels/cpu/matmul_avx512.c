/* Tiles for AVX-512: 12 rows by 32 columns, 24 of 32 registers hold sums. */
#include "kernels/cpu/matmul_tiles.h"

#include <stddef.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,fma")))
#define VECTOR __m512
#define LANES 16
#define PANEL_VECTORS 2
#define PACKED_ROWS 12
#define PREFETCH_ROWS 5
#define BROADCAST _mm512_set1_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define MULTIPLY_ADD _mm512_fmadd_ps
#define ADD _mm512_add_ps
#include "kernels/cpu/matmul_body.h"

PACKED_TILE(1)
PACKED_TILE(2)
PACKED_TILE(3)
PACKED_TILE(4)
PACKED_TILE(5)
PACKED_TILE(6)
PACKED_TILE(7)
PACKED_TILE(8)
PACKED_TILE(9)
PACKED_TILE(10)
PACKED_TILE(11)
PACKED_TILE(12)
SMALL_TILE(1)
SMALL_TILE(2)
SMALL_TILE(3)
SMALL_TILE(4)
SMALL_TILE(5)
SMALL_TILE(6)
SMALL_TILE(7)
SMALL_TILE(8)
WIDE_TILE(1, 4)
WIDE_TILE(2, 2)

const struct matmul_tiles *matmul_tiles_avx512(void)
{
    static const struct matmul_tiles tiles = {
        .rows = PACKED_ROWS,
        .width = PANEL_VECTORS * LANES,
        .small_rows = 8,
        .panels = {0, 4, 2},
        .packed = {NULL, packed_1, packed_2, packed_3, packed_4, packed_5, packed_6, packed_7,
                   packed_8, packed_9, packed_10, packed_11, packed_12},
        .small = {NULL, small_1, small_2, small_3, small_4, small_5, small_6, small_7, small_8},
        .wide = {NULL, wide_1, wide_2},
    };
    return __builtin_cpu_supports("avx512f") ? &tiles : NULL;
}

#else

const struct matmul_tiles *matmul_tiles_avx512(void)
{
    return NULL;
}

#endif
