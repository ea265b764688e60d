/* Tiles in plain C, for any machine: 4 rows by 16 columns in vectors of 4 that the compiler
 * maps to what there is.  fmaf is exact with or without the instruction. */
#include "kernels/cpu/matmul_tiles.h"

#include <math.h>
#include <stddef.h>

typedef float vector4 __attribute__((vector_size(16)));
typedef float vector4_in_memory __attribute__((vector_size(16), aligned(4), may_alias));

static inline vector4 vector4_multiply_add(vector4 x, vector4 y, vector4 z)
{
    return (vector4){fmaf(x[0], y[0], z[0]), fmaf(x[1], y[1], z[1]), fmaf(x[2], y[2], z[2]),
                     fmaf(x[3], y[3], z[3])};
}

#define TARGET
#define VECTOR vector4
#define LANES 4
#define PANEL_VECTORS 4
#define PACKED_ROWS 4
#define PREFETCH_ROWS 99 /* never */
#define BROADCAST(x) ((vector4){(x), (x), (x), (x)})
#define LOAD(p) ((vector4)(*(const vector4_in_memory *)(p)))
#define STORE(p, x) (*(vector4_in_memory *)(p) = (x))
#define MULTIPLY_ADD vector4_multiply_add
#define ADD(x, y) ((x) + (y))
#include "kernels/cpu/matmul_body.h"

PACKED_TILE(1)
PACKED_TILE(2)
PACKED_TILE(3)
PACKED_TILE(4)
SMALL_TILE(1)
SMALL_TILE(2)
SMALL_TILE(3)
SMALL_TILE(4)

const struct matmul_tiles *matmul_tiles_c(void)
{
    static const struct matmul_tiles tiles = {
        .rows = PACKED_ROWS,
        .width = PANEL_VECTORS * LANES,
        .small_rows = 4,
        .packed = {NULL, packed_1, packed_2, packed_3, packed_4},
        .small = {NULL, small_1, small_2, small_3, small_4},
    };
    return &tiles;
}
