/* The inner tiles of the matrix product, one set an instruction set.  A tile multiplies a few
 * rows of A by one or more panels of B over one block of k; matmul.c arranges them. */
#ifndef REGARD_KERNELS_CPU_MATMUL_TILES_H
#define REGARD_KERNELS_CPU_MATMUL_TILES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    matmul_max_rows = 12,  /* of a tile */
    matmul_max_width = 128 /* floats of a tile's row of C */
};

/* sum = the chain fma(a[k], b[k], sum) from zero over `steps` ascending k; c = sum, or
 * c + sum with `add`.
 * a: A(i, k) at a[i * a_stride + k], or at a[k * rows + i] where A is packed (`rows`: the set's
 * tile height).  b: panels of `width` floats a step, panel_stride floats from one to the next.
 * c: rows c_stride floats apart.
 * ahead: what will be read next, asked for as it goes, ahead_step bytes a step. */
typedef void matmul_tile(int64_t steps, const float *a, int64_t a_stride, const float *b,
                         int64_t panel_stride, float *c, int64_t c_stride, bool add,
                         const char *ahead, int64_t ahead_step);

struct matmul_tiles {
    int rows;       /* of a whole tile, and of packed A */
    int width;      /* of a panel of B */
    int small_rows; /* up to this many rows A is read in place by `small` */
    int panels[3];  /* by rows: how many panels `wide` takes at once; 0: there is no `wide` */
    matmul_tile *packed[matmul_max_rows + 1]; /* by rows; A packed */
    matmul_tile *small[matmul_max_rows + 1];  /* by rows; A in place, one panel */
    matmul_tile *wide[3];                     /* by rows; A in place, many panels: one row alone
                                               * would wait for its own FMAs */
};

/* NULL where the processor has no such instructions. */
const struct matmul_tiles *matmul_tiles_avx512(void);
const struct matmul_tiles *matmul_tiles_avx2(void);
const struct matmul_tiles *matmul_tiles_c(void);

#endif
