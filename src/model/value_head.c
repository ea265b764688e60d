#include "src/model/value_head.h"

#include "src/model/model_state.h"
#include "src/model/workspace.h"

#include <string.h>

static void lay_out(struct model *model, void *context)
{
    struct value_head *head = context;
    struct parameters *p = model_trained(model);
    const int64_t width = model->shape->width;
    parameters_align(p);
    head->weight = (struct linear){.n = 1, .k = width};
    head->weight.offset = parameters_append(p, 1, width, 1, "value_head.weight");
    parameters_align(p);
    head->bias = (struct linear){.n = 1, .k = 1};
    head->bias.offset = parameters_append(p, 1, 1, 1, "value_head.bias");
    parameters_align(p);
    model_add_linear(model, &head->weight);
    model_add_linear(model, &head->bias);
}

status value_head_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                         struct value_head *head, struct model **model)
{
    *head = (struct value_head){.queue = queue};
    return model_create_extended(queue, shape, with_gradients, lay_out, head, model);
}

status value_head_create_adapted(struct model *base, const struct model_shape *shape,
                                 const struct adapter_settings *adapter, bool with_gradients,
                                 struct value_head *head, struct model **model)
{
    *head = (struct value_head){.queue = base->queue};
    return model_create_adapted_extended(base, shape, adapter, with_gradients, lay_out, head,
                                         model);
}

bool value_head_owns(const struct parameter *parameter)
{
    return strncmp(parameter->name, "value_head.", 11) == 0;
}

void value_head_release(struct value_head *head)
{
    if (!head->queue) return;
    buffer_release(head->queue, &head->workspace);
    buffer_release(head->queue, &head->ones);
    host_buffer_release(head->queue, &head->host);
}

static void place(struct value_head *head, struct workspace *workspace, int64_t rows)
{
    head->values = workspace_floats(workspace, rows);
    head->dvalues = workspace_floats(workspace, rows);
    head->dv = workspace_reals(workspace, rows);
}

status value_head_reserve(struct value_head *head, int64_t rows)
{
    struct queue *q = head->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place(head, &workspace, rows);
    TRY(buffer_reserve(q, &head->workspace, workspace.used));
    workspace = workspace_begin(q, head->workspace.data);
    place(head, &workspace, rows);
    TRY(host_buffer_reserve(q, &head->host, (size_t)rows * sizeof(float)));
    const size_t bytes = (size_t)rows * q->real_bytes;
    if (bytes > head->ones.size) head->ones_count = 0; /* growing forgets */
    return buffer_reserve(q, &head->ones, bytes);
}

/* At least `count` ones, made on the host when there are fewer; goes through head->values. */
static status ones_make(struct value_head *head, int64_t count)
{
    struct queue *q = head->queue;
    if (count <= head->ones_count) return NULL;
    float *host = head->host.data;
    for (int64_t i = 0; i < count; i++) host[i] = 1.0f;
    q->op->upload(q, head->values, host, (size_t)count * sizeof(float));
    q->op->narrow(q, head->ones.data, head->values, count);
    TRY(q->op->synchronize(q));
    head->ones_count = count;
    return NULL;
}

status value_head_forward(struct value_head *head, const real *x, int64_t rows, float *values)
{
    struct queue *q = head->queue;
    TRY(value_head_reserve(head, rows));
    TRY(ones_make(head, rows));
    linear_forward_float(q, &head->weight, head->values, x, rows, false);
    linear_forward_float(q, &head->bias, head->values, head->ones.data, rows, true);
    const size_t bytes = (size_t)rows * sizeof(float);
    q->op->download(q, head->host.data, head->values, bytes);
    TRY(q->op->synchronize(q));
    memcpy(values, head->host.data, bytes);
    return NULL;
}

void value_head_backward(struct value_head *head, const float *dvalues, const real *x, real *dx,
                         int64_t rows, float *gradients)
{
    struct queue *q = head->queue;
    /* The next forward pass waits for it, before the copy is written again. */
    memcpy(head->host.data, dvalues, (size_t)rows * sizeof(float));
    q->op->upload(q, head->dvalues, head->host.data, (size_t)rows * sizeof(float));
    q->op->mark(q, MARK_BATCH);
    q->op->narrow(q, head->dv, head->dvalues, rows);
    linear_backward_weight(q, &head->bias, head->dv, head->ones.data, rows, gradients);
    linear_backward(q, &head->weight, head->dv, x, dx, false, rows, gradients);
}
