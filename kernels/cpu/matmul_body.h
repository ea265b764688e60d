/* The tiles' one body.  A file includes this once, after defining TARGET (a target attribute
 * or nothing), VECTOR, LANES, PANEL_VECTORS, PACKED_ROWS, PREFETCH_ROWS and
 * the functions BROADCAST, LOAD, STORE, MULTIPLY_ADD, ADD; then instances with PACKED_TILE
 * and IN_PLACE_TILE.  No include guard is needed: each file is one set. */

#define UNROLLED _Pragma("GCC unroll 32")

/* `rows`, `panels` and the strides are constants wherever this is inlined, so that the sums
 * live in registers.  Formula and shapes: matmul_tiles.h. */
TARGET static inline __attribute__((always_inline)) void
tile_body(const int rows, const int panels, int64_t steps, const float *a, int64_t row_stride,
          int64_t step_stride, const float *b, int64_t panel_stride, float *c, int64_t c_stride,
          bool add, const char *ahead, int64_t ahead_step)
{
    VECTOR sum[matmul_max_rows][4 * PANEL_VECTORS], value[4 * PANEL_VECTORS];
    const int vectors = panels * PANEL_VECTORS;
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] =
        BROADCAST(0.0f);
    _Pragma("GCC unroll 4") for (int64_t step = 0; step < steps; step++)
    {
        UNROLLED for (int v = 0; v < vectors; v++) value[v] =
            LOAD(b + v / PANEL_VECTORS * panel_stride + v % PANEL_VECTORS * LANES);
        /* With fewer rows the hardware's own prefetch does better (20-30%). */
        if (rows >= PREFETCH_ROWS) {
            UNROLLED for (int v = 0; v < PANEL_VECTORS * LANES; v += 16)
                __builtin_prefetch(ahead + 4 * v, 0, 2); /* into L2: B and A fill L1 */
            ahead += ahead_step;
        }
        UNROLLED for (int i = 0; i < rows; i++)
        {
            VECTOR row = BROADCAST(a[i * row_stride]);
            UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] =
                MULTIPLY_ADD(row, value[v], sum[i][v]);
        }
        a += step_stride;
        b += PANEL_VECTORS * LANES;
    }
    UNROLLED for (int i = 0; i < rows; i++) UNROLLED for (int v = 0; v < vectors; v++)
    {
        float *to = c + i * c_stride + v * LANES;
        STORE(to, add ? ADD(LOAD(to), sum[i][v]) : sum[i][v]);
    }
}

#define TILE(name, rows, panels, row_stride, step_stride)                                          \
    TARGET static void name(int64_t steps, const float *a, int64_t a_stride, const float *b,       \
                            int64_t panel_stride, float *c, int64_t c_stride, bool add,            \
                            const char *ahead, int64_t ahead_step)                                 \
    {                                                                                              \
        (void)a_stride;                                                                            \
        tile_body(rows, panels, steps, a, row_stride, step_stride, b, panel_stride, c, c_stride,   \
                  add, ahead, ahead_step);                                                         \
    }
#define PACKED_TILE(rows) TILE(packed_##rows, rows, 1, 1, PACKED_ROWS)
#define SMALL_TILE(rows) TILE(small_##rows, rows, 1, a_stride, 1)
#define WIDE_TILE(rows, panels) TILE(wide_##rows, rows, panels, a_stride, 1)
