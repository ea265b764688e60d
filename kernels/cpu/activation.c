/* The gated activation, y = activation(gate) up with x [m, 2f]: gate, then up; and the rotary
 * embedding.  Formulas: kernels/ops.h. */
#include "kernels/cpu/rows.h"

void cpu_gated_activation(struct queue *q, enum activation activation, real *y_, const real *x_,
                          int64_t m, int64_t f)
{
    float *y = y_;
    const float *x = x_;
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * f > 4096)
    for (int64_t i = 0; i < m; i++)
        rows->gated[activation](y + i * f, x + 2 * i * f, x + (2 * i + 1) * f, f);
}

void cpu_gated_activation_backward(struct queue *q, enum activation activation, real *dx_,
                                   const real *dy_, const real *x_, int64_t m, int64_t f)
{
    float *dx = dx_;
    const float *dy = dy_;
    const float *x = x_;
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * f > 4096)
    for (int64_t i = 0; i < m; i++) {
        const int64_t gate = 2 * i * f, up = gate + f;
        rows->gated_backward[activation](dx + gate, dx + up, dy + i * f, x + gate, x + up, f);
    }
}

void cpu_rope(struct queue *q, real *x_, int64_t stride, const int32_t *position,
              const float *table, int64_t m, int64_t heads, int64_t d, bool inverse)
{
    float *x = x_;
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * heads * d > 16384)
    for (int64_t i = 0; i < m; i++)
        rows->rope(x + i * stride, table + position[i] * d, heads, d, inverse);
}
