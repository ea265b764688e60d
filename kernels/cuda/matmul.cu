/* Matrix products with packed weights, which are [n, k] in the queue's element type: a product
 * reads them either way round.  Formulas are in kernels/ops.h, the products in blas.cuh. */
#include "blas.cuh"

void cuda_blas_release(struct blas *blas)
{
    blas_release(blas);
}

static void multiply(struct queue *q, void *y, const real *x, const struct packed_matrix *w,
                     int64_t m, bool y_is_float, bool accumulate)
{
    if (m == 0) return;
    struct blas_product p = {};
    p.rows = m, p.columns = w->n, p.depth = w->k;
    p.left = x;
    p.right = w->values, p.right_turned = true;
    p.c = y, p.c_is_float = y_is_float, p.accumulate = accumulate;
    blas_multiply(q, &p);
}

void cuda_matmul(struct queue *q, real *y, const real *x, const struct packed_matrix *w, int64_t m,
                 bool accumulate)
{
    multiply(q, y, x, w, m, false, accumulate);
}

void cuda_matmul_relu(struct queue *q, real *y, const real *x, const struct packed_matrix *w,
                      int64_t m)
{
    multiply(q, y, x, w, m, false, false);
    cuda_relu(q, y, y, m * w->n);
}

void cuda_matmul_float(struct queue *q, float *y, const real *x, const struct packed_matrix *w,
                       int64_t m, bool accumulate)
{
    multiply(q, y, x, w, m, true, accumulate);
}

void cuda_matmul_input_gradient(struct queue *q, real *dx, const real *dy,
                                const struct packed_matrix *w, int64_t m, bool accumulate)
{
    if (!w->with_input_gradient) {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "the input gradient of a matrix made without one"));
        return;
    }
    if (m == 0) return;
    struct blas_product p = {};
    p.rows = m, p.columns = w->k, p.depth = w->n;
    p.left = dy;
    p.right = w->values;
    p.c = dx, p.accumulate = accumulate;
    blas_multiply(q, &p);
}

void cuda_matmul_weight_gradient(struct queue *q, float *dw, const real *dy, const real *x,
                                 int64_t m, int64_t n, int64_t k, bool accumulate)
{
    if (m == 0) {
        if (!accumulate) cuda_zero(q, dw, (size_t)(n * k) * sizeof *dw);
        return;
    }
    struct blas_product p = {};
    p.rows = n, p.columns = k, p.depth = m;
    p.left = dy, p.left_turned = true;
    p.right = x;
    p.c = dw, p.c_is_float = true, p.accumulate = accumulate;
    blas_multiply(q, &p);
}
