/* Matrix products with packed weights, which are [n, k] in the queue's element type: a product
 * reads them either way round.  Formulas are in kernels/ops.h; product.cuh says what makes them. */
#include "blas_exact.cuh"
#include "blas_fast.cuh"
#include "blas_report.cuh"

void cuda_blas_release(struct queue *q)
{
    struct blas *blas = cuda_queue_of(q)->blas;
    if (!blas) return;
    blas_report(q, blas);
    blas_library_close(q, &blas->library);
    cuda_release(q, blas->padding);
    blas_cache_close(&blas->cache);
    free(blas);
    cuda_queue_of(q)->blas = NULL;
}

status cuda_blas_reserve(struct queue *q, int64_t n, int64_t k)
{
    if (!q->exact || product_is_thin(n, k)) return NULL;
    struct blas *blas = blas_of(q);
    return blas ? blas_exact_reserve(q, blas, n, k) : NULL; /* NULL: the error is kept */
}

/* No size may be 0. */
static void multiply(struct queue *q, const struct product *p)
{
    const int64_t n = p->by_rows ? p->columns : p->rows, k = p->by_rows ? p->depth : p->columns;
    if (product_is_thin(n, k)) {
        cuda_multiply_thin(q, p);
        return;
    }
    struct blas *blas = blas_of(q);
    if (!blas) return;
    if (q->exact && p->by_rows)
        blas_exact_multiply(q, blas, p);
    else
        blas_fast_multiply(q, blas, p);
}

/* y = x W^T, as the other members of `form` say. */
static void multiply_forward(struct queue *q, void *y, const real *x, const struct packed_matrix *w,
                             int64_t m, struct product form)
{
    if (m == 0) return;
    form.rows = m, form.columns = w->n, form.depth = w->k;
    form.left = x;
    form.right = w->values, form.right_transposed = true;
    form.c = y, form.by_rows = true;
    multiply(q, &form);
}

void cuda_matmul(struct queue *q, real *y, const real *x, const struct packed_matrix *w, int64_t m,
                 bool accumulate)
{
    struct product form = {};
    form.accumulate = accumulate;
    multiply_forward(q, y, x, w, m, form);
}

void cuda_matmul_relu(struct queue *q, real *y, const real *x, const struct packed_matrix *w,
                      int64_t m)
{
    struct product form = {};
    form.relu = true;
    multiply_forward(q, y, x, w, m, form);
}

void cuda_matmul_float(struct queue *q, float *y, const real *x, const struct packed_matrix *w,
                       int64_t m, bool accumulate)
{
    struct product form = {};
    form.c_is_float = true, form.accumulate = accumulate;
    multiply_forward(q, y, x, w, m, form);
}

void cuda_matmul_input_gradient(struct queue *q, real *dx, const real *dy,
                                const struct packed_matrix *w, int64_t m, bool accumulate)
{
    if (!w->with_input_gradient) {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "the input gradient of a matrix made without one"));
        return;
    }
    if (m == 0) return;
    struct product p = {};
    p.rows = m, p.columns = w->k, p.depth = w->n;
    p.left = dy;
    p.right = w->values;
    p.c = dx, p.accumulate = accumulate, p.by_rows = true;
    multiply(q, &p);
}

void cuda_matmul_weight_gradient(struct queue *q, float *dw, const real *dy, const real *x,
                                 int64_t m, int64_t n, int64_t k, bool accumulate)
{
    if (m == 0) {
        if (!accumulate) cuda_zero(q, dw, (size_t)(n * k) * sizeof *dw);
        return;
    }
    struct product p = {};
    p.rows = n, p.columns = k, p.depth = m;
    p.left = dy, p.left_transposed = true;
    p.right = x;
    p.c = dw, p.c_is_float = true, p.accumulate = accumulate;
    multiply(q, &p);
}
