#include "src/model/linear.h"

status linear_create(struct queue *queue, struct linear *w, bool with_gradients)
{
    if (w->frozen) return NULL;
    return queue->op->matrix_create(queue, w->n, w->k, with_gradients, &w->packed);
}

void linear_destroy(struct queue *queue, struct linear *w)
{
    if (w->packed && !w->frozen) queue->op->matrix_destroy(queue, w->packed);
    w->packed = NULL;
}

void linear_pack(struct queue *queue, const struct linear *w, const float *values,
                 const struct rounding *rounding)
{
    queue->op->matrix_pack(queue, w->packed, values + w->offset, rounding);
}

void linear_forward(struct queue *queue, const struct linear *w, real *y, const real *x,
                    int64_t rows)
{
    queue->op->matmul(queue, y, x, w->packed, rows, false);
    if (w->adapter) adapter_forward(queue, w->adapter, y, x, rows);
}

void linear_forward_relu(struct queue *queue, const struct linear *w, real *y, const real *x,
                         int64_t rows)
{
    if (!w->adapter) {
        queue->op->matmul_relu(queue, y, x, w->packed, rows);
        return;
    }
    linear_forward(queue, w, y, x, rows);
    queue->op->relu_backward(queue, y, y, y, rows * w->n); /* y where y > 0, else 0 */
}

void linear_forward_onto(struct queue *queue, const struct linear *w, real *to, const real *from,
                         const real *x, int64_t rows)
{
    if (to != from) queue->op->copy(queue, to, from, (size_t)(rows * w->n) * queue->real_bytes);
    queue->op->matmul(queue, to, x, w->packed, rows, true);
    if (w->adapter) adapter_forward(queue, w->adapter, to, x, rows);
}

void linear_forward_float(struct queue *queue, const struct linear *w, float *y, const real *x,
                          int64_t rows, bool accumulate)
{
    queue->op->matmul_float(queue, y, x, w->packed, rows, accumulate);
    if (w->adapter) adapter_forward_float(queue, w->adapter, y, x, rows);
}

void linear_backward_weight(struct queue *queue, const struct linear *w, const real *dy,
                            const real *x, int64_t rows, float *gradients)
{
    queue->op->matmul_weight_gradient(queue, gradients + w->offset, dy, x, rows, w->n, w->k, true);
}

void linear_backward(struct queue *queue, const struct linear *w, const real *dy, const real *x,
                     real *dx, bool accumulate, int64_t rows, float *gradients)
{
    if (!w->frozen) linear_backward_weight(queue, w, dy, x, rows, gradients);
    queue->op->matmul_input_gradient(queue, dx, dy, w->packed, rows, accumulate);
    if (w->adapter) adapter_backward(queue, w->adapter, dy, x, dx, rows, gradients);
}
