/* Weights of the matrix products: [n, k] in the queue's element type.  The products read them in
 * either direction, so one copy serves the input gradient too. */
#include "cuda.cuh"

#include <stdlib.h>

status cuda_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                          struct packed_matrix **out)
{
    *out = NULL;
    struct packed_matrix *w = (struct packed_matrix *)calloc(1, sizeof *w);
    if (!w) FAIL(STATUS_INTERNAL, "no memory for a matrix");
    w->n = n;
    w->k = k;
    w->with_input_gradient = with_input_gradient;
    status error = cuda_allocate(q, MEMORY_WEIGHTS, (size_t)(n * k) * q->real_bytes, &w->values);
    if (error)
        free(w);
    else
        *out = w;
    return error;
}

void cuda_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    if (!w) return;
    cuda_release(q, w->values);
    free(w);
}

void cuda_matrix_pack(struct queue *q, struct packed_matrix *w, const float *values,
                      const struct rounding *rounding)
{
    (void)rounding;
    cuda_narrow(q, w->values, values, w->n * w->k);
}
