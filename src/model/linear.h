/* A linear layer: y [rows, n] = x [rows, k] W^T with a weight W [n, k] among the model's
 * parameters and a copy of it packed for products.  The one place through which a family
 * multiplies by weights, so that what is added to a weight (an adapter) is added here. */
#ifndef REGARD_MODEL_LINEAR_H
#define REGARD_MODEL_LINEAR_H

#include "src/model/adapter.h"

struct linear {
    int64_t offset; /* of W, in floats from the parameters' start */
    int64_t n, k;   /* n 0: the model has none */
    struct packed_matrix *packed;
    bool frozen;             /* W and `packed` are another model's (adapted.h): no gradient of W */
    struct adapter *adapter; /* added to a frozen W, or NULL */
};

/* with_gradients: packed for linear_backward too. */
status linear_create(struct queue *queue, struct linear *w, bool with_gradients);
void linear_destroy(struct queue *queue, struct linear *w);
/* Packs W as it stands in parameters `values` (device); rounding may be NULL. */
void linear_pack(struct queue *queue, const struct linear *w, const float *values,
                 const struct rounding *rounding);

/* y = x W^T; y = relu(x W^T). */
void linear_forward(struct queue *queue, const struct linear *w, real *y, const real *x,
                    int64_t rows);
void linear_forward_relu(struct queue *queue, const struct linear *w, real *y, const real *x,
                         int64_t rows);
/* to = from + x W^T; in place when from is to, with the same bits. */
void linear_forward_onto(struct queue *queue, const struct linear *w, real *to, const real *from,
                         const real *x, int64_t rows);
/* y (+)= x W^T in fp32 whatever `real` is: logits, values. */
void linear_forward_float(struct queue *queue, const struct linear *w, float *y, const real *x,
                          int64_t rows, bool accumulate);
/* From dy [rows, n]: gradients (laid out as what is trained) at W += dy^T x, or those of the
 * adapter, and dx [rows, k] (+)= dy W, with the adapter's part. */
void linear_backward(struct queue *queue, const struct linear *w, const real *dy, const real *x,
                     real *dx, bool accumulate, int64_t rows, float *gradients);
/* The first half alone, of a weight that is not frozen. */
void linear_backward_weight(struct queue *queue, const struct linear *w, const real *dy,
                            const real *x, int64_t rows, float *gradients);

#endif
