/* The gated activation: y = gelu(gate) up, gelu(g) = g/2 (1 + tanh(sqrt(2/pi)
 * (g + 0.044715 g^3))).  x is [m, 2f]: gate, then up. */
#include "kernels/cpu/rows.h"

void cpu_gated_gelu(struct queue *q, real *y_, const real *x_, int64_t m, int64_t f)
{
    float *y = y_;
    const float *x = x_;
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * f > 4096)
    for (int64_t i = 0; i < m; i++)
        rows->gated_gelu(y + i * f, x + 2 * i * f, x + (2 * i + 1) * f, f);
}

void cpu_gated_gelu_backward(struct queue *q, real *dx_, const real *dy_, const real *x_, int64_t m,
                             int64_t f)
{
    float *dx = dx_;
    const float *dy = dy_;
    const float *x = x_;
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * f > 4096)
    for (int64_t i = 0; i < m; i++) {
        const int64_t gate = 2 * i * f, up = gate + f;
        rows->gated_gelu_backward(dx + gate, dx + up, dy + i * f, x + gate, x + up, f);
    }
}
