/* Rows of a table by index, and the gradient's way back. */
#include "kernels/cpu/cpu.h"

#include <omp.h>
#include <string.h>

enum { thread_work = 1 << 15 }; /* floats below which one thread does all */

void cpu_embedding(struct queue *q, real *y_, const float *table, const int32_t *ids, int64_t m,
                   int64_t d)
{
    float *y = y_;
    const int threads = m * d < thread_work ? 1 : q->threads;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < m; i++) memcpy(y + i * d, table + ids[i] * d, (size_t)d * sizeof *y);
}

/* Rows may meet in one row of the table, so threads take columns: every sum keeps ascending i. */
void cpu_embedding_backward(struct queue *q, float *dtable, const real *dy_, const int32_t *ids,
                            int64_t m, int64_t d)
{
    const float *dy = dy_;
    const int wanted = m * d < thread_work ? 1 : q->threads;
#pragma omp parallel num_threads(wanted) if (wanted > 1)
    {
        const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
        const int64_t first = d * thread / threads, last = d * (thread + 1) / threads;
        for (int64_t i = 0; i < m; i++) {
            float *to = dtable + ids[i] * d;
            const float *from = dy + i * d;
            for (int64_t j = first; j < last; j++) to[j] += from[j];
        }
    }
}
