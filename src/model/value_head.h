/* A scalar on hidden rows: value = w . row + b.  A critic's head, a reward model's. */
#ifndef REGARD_MODEL_VALUE_HEAD_H
#define REGARD_MODEL_VALUE_HEAD_H

#include "src/model/adapter.h"
#include "src/model/buffer.h"
#include "src/model/linear.h"
#include "src/model/model.h"

struct value_head {
    struct queue *queue;
    struct linear weight, bias; /* [1, width], [1, 1]: packed with the model's */
    struct buffer workspace, ones;
    struct host_buffer host; /* [rows] values, then their gradients */
    int64_t ones_count;      /* of `ones`, a 1 for each row's bias */
    float *values, *dvalues; /* [rows] in `workspace`; */
    real *dv;                /* dvalues as activations */
};

/* A model with a head behind its own parameters: value_head.weight [width], value_head.bias [1],
 * zero at the start.  The head stays where it is as long as the model. */
status value_head_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                         struct value_head *head, struct model **model);
/* The same behind adapters on a base. */
status value_head_create_adapted(struct model *base, const struct model_shape *shape,
                                 const struct adapter_settings *adapter, bool with_gradients,
                                 struct value_head *head, struct model **model);
/* Whether a parameter is the head's. */
bool value_head_owns(const struct parameter *parameter);
void value_head_release(struct value_head *head);
/* Room for so many rows: later calls within it allocate nothing. */
status value_head_reserve(struct value_head *head, int64_t rows);
/* values (host) of x [rows, width]; waits for the device. */
status value_head_forward(struct value_head *head, const real *x, int64_t rows, float *values);
/* From dvalues (host [rows]): adds the head's gradients, leaves dx [rows, width].  Waits for
 * nothing: one call after each forward. */
void value_head_backward(struct value_head *head, const float *dvalues, const real *x, real *dx,
                         int64_t rows, float *gradients);

#endif
