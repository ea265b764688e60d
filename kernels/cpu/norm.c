/* RMS norm: y = x w / sqrt(mean(x^2) + eps), and its gradients. */
#include "kernels/cpu/rows.h"

void cpu_rmsnorm(struct queue *q, real *y_, float *inverse, const real *x_, const float *w,
                 int64_t m, int64_t d, float eps)
{
    float *y = y_;
    const float *x = x_;
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * d > 16384)
    for (int64_t i = 0; i < m; i++) {
        float scale = rows->rmsnorm(y + i * d, x + i * d, w, d, eps);
        if (inverse) inverse[i] = scale;
    }
}

/* dw is added row by row, ascending; threads share out columns. */
void cpu_rmsnorm_backward(struct queue *q, real *dx_, float *dw, const real *dy_, const real *x_,
                          const float *w, const float *inverse, int64_t m, int64_t d,
                          bool accumulate)
{
    float *dx = dx_;
    const float *dy = dy_;
    const float *x = x_;
    enum { columns = 64 };
    const struct row_functions *rows = rows_of(q);
    if (dw) {
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * d > 16384)
        for (int64_t begin = 0; begin < d; begin += columns)
            rows->rmsnorm_weight(dw, dy, x, inverse, m, d, begin,
                                 begin + columns < d ? begin + columns : d);
    }
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * d > 16384)
    for (int64_t i = 0; i < m; i++)
        rows->rmsnorm_backward(dx + i * d, dy + i * d, x + i * d, w, inverse[i], d, accumulate);
}
