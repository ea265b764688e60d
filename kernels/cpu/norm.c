/* RMS norm of rows and of heads: y = x w / sqrt(mean(x^2) + eps), and its gradients. */
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

void cpu_head_norm(struct queue *q, real *y_, int64_t y_stride, float *inverse, const real *x_,
                   int64_t x_stride, const float *w, int64_t m, int64_t heads, int64_t d, float eps)
{
    float *y = y_;
    const float *x = x_;
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * heads * d > 16384)
    for (int64_t i = 0; i < m; i++)
        for (int64_t h = 0; h < heads; h++) {
            const float scale =
                rows->rmsnorm(y + i * y_stride + h * d, x + i * x_stride + h * d, w, d, eps);
            if (inverse) inverse[i * heads + h] = scale;
        }
}

/* dw is added row by row and in a row head by head, ascending, before dx takes the place of dy. */
void cpu_head_norm_backward(struct queue *q, real *dx_, int64_t dx_stride, float *dw,
                            const real *dy_, int64_t dy_stride, const real *x_, int64_t x_stride,
                            const float *w, const float *inverse, int64_t m, int64_t heads,
                            int64_t d)
{
    float *dx = dx_;
    const float *dy = dy_;
    const float *x = x_;
    enum { columns = 32 };
    const struct row_functions *rows = rows_of(q);
    if (dw) {
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * heads * d > 16384)
        for (int64_t begin = 0; begin < d; begin += columns)
            for (int64_t i = 0; i < m; i++)
                rows->rmsnorm_weight(dw, dy + i * dy_stride, x + i * x_stride, inverse + i * heads,
                                     heads, d, begin, begin + columns < d ? begin + columns : d);
    }
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m * heads * d > 16384)
    for (int64_t i = 0; i < m; i++)
        for (int64_t h = 0; h < heads; h++)
            rows->rmsnorm_backward(dx + i * dx_stride + h * d, dy + i * dy_stride + h * d,
                                   x + i * x_stride + h * d, w, inverse[i * heads + h], d, false);
}
