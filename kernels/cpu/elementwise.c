/* Operations whose outputs each depend on a few inputs: sums, ReLU, biases, caches, counters,
 * means.
 */
#include "kernels/cpu/cpu.h"

#include <string.h>

enum { thread_work = 1 << 15 }; /* floats below which one thread does all */

static int threads_for(const struct queue *q, int64_t work)
{
    return work < thread_work ? 1 : q->threads;
}

void cpu_add(struct queue *q, float *y, const float *a, const float *b, int64_t count)
{
    const int threads = threads_for(q, count);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

void cpu_scale(struct queue *q, real *y_, const real *a_, float factor, int64_t count)
{
    float *y = y_;
    const float *a = a_;
    const int threads = threads_for(q, count);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < count; i++) y[i] = a[i] * factor;
}

/* dx = dy where x > 0, else 0; x: relu's input or its output. */
void cpu_relu_backward(struct queue *q, real *dx_, const real *dy_, const real *x_, int64_t count)
{
    float *dx = dx_;
    const float *dy = dy_;
    const float *x = x_;
    const int threads = threads_for(q, count);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < count; i++) dx[i] = x[i] <= 0.0f ? 0.0f : dy[i];
}

void cpu_bias_add(struct queue *q, real *y_, int64_t stride, const float *bias, int64_t m,
                  int64_t n)
{
    float *y = y_;
    const int threads = threads_for(q, m * n);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * stride + j] += bias[j];
}

/* Rows are added one by one, ascending; threads share out columns. */
void cpu_bias_backward(struct queue *q, float *dbias, const real *dy_, int64_t stride, int64_t m,
                       int64_t n)
{
    const float *dy = dy_;
    enum { columns = 64 };
    const int threads = threads_for(q, m * n);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t begin = 0; begin < n; begin += columns) {
        const int64_t end = begin + columns < n ? begin + columns : n;
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = begin; j < end; j++) dbias[j] += dy[i * stride + j];
    }
}

void cpu_cache_append(struct queue *q, void *to, int64_t slot_stride, const int32_t *slot,
                      const int32_t *position, const void *from, int64_t from_stride, int64_t rows,
                      int64_t width, size_t bytes)
{
    (void)q;
    const int64_t element = (int64_t)bytes;
    for (int64_t i = 0; i < rows; i++)
        memcpy((char *)to + (slot[i] * slot_stride + position[i] * width) * element,
               (const char *)from + i * from_stride * element, (size_t)(width * element));
}

void cpu_narrow(struct queue *q, real *y, const float *x, int64_t count)
{
    cpu_copy(q, y, x, (size_t)count * sizeof *x);
}

void cpu_advance(struct queue *q, int32_t *counters, int32_t value, int64_t count, int64_t stride)
{
    (void)q;
    for (int64_t i = 0; i < count; i++) counters[i * stride] += value;
}

/* out[segments, d], x[rows, d]; a segment of no rows gives zeros. */
void cpu_mean_rows(struct queue *q, real *out_, const real *x_, const int32_t *begin,
                   int64_t segments, int64_t d)
{
    float *out = out_;
    const float *x = x_;
    const int threads = threads_for(q, (segments ? begin[segments] - begin[0] : 0) * d);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t s = 0; s < segments; s++) {
        float *mean = out + s * d;
        const float rows = (float)(begin[s + 1] - begin[s]);
        memset(mean, 0, (size_t)d * sizeof *mean);
        for (int64_t i = begin[s]; i < begin[s + 1]; i++)
            for (int64_t j = 0; j < d; j++) mean[j] += x[i * d + j];
        for (int64_t j = 0; rows > 0 && j < d; j++) mean[j] /= rows;
    }
}

/* dx[i, :] = dout[s, :] / rows of s, for the rows of the segments; others are left alone. */
void cpu_mean_rows_backward(struct queue *q, real *dx_, const real *dout_, const int32_t *begin,
                            int64_t segments, int64_t d)
{
    float *dx = dx_;
    const float *dout = dout_;
    const int threads = threads_for(q, (segments ? begin[segments] - begin[0] : 0) * d);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t s = 0; s < segments; s++) {
        const float rows = (float)(begin[s + 1] - begin[s]);
        for (int64_t i = begin[s]; i < begin[s + 1]; i++)
            for (int64_t j = 0; j < d; j++) dx[i * d + j] = dout[s * d + j] / rows;
    }
}
