#include "src/model/value_model.h"

#include "src/base/memory.h"
#include "src/model/run.h"
#include "src/model/run_state.h"
#include "src/model/value_head.h"

#include <stdlib.h>

struct value_model {
    struct model *model;
    struct model_run *run;
    struct value_head head;
    struct buffer pooled;
    real *means, *dmeans; /* [histories, width] */
    real *dhidden;        /* [the run's hidden rows, width] */
    bool ready;           /* for backward */
};

/* On a base with adapters of its own, or by itself (adapter NULL). */
static status trunk_create(struct queue *queue, const struct model_shape *shape, struct model *base,
                           const struct adapter_settings *adapter, bool with_gradients,
                           struct value_model **out)
{
    struct model_shape *trunk = model_shape_copy(shape);
    model_shape_value(trunk);
    struct value_model *value = memory_allocate(sizeof *value);
    status s = adapter
                   ? value_head_create_adapted(base, trunk, adapter, with_gradients, &value->head,
                                               &value->model)
                   : value_head_create(queue, trunk, with_gradients, &value->head, &value->model);
    free(trunk);
    if (!s) s = model_run_create(value->model, &value->run);
    if (s) {
        value_model_destroy(value);
        return status_context(s, "value model");
    }
    *out = value;
    return NULL;
}

status value_model_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                          struct value_model **out)
{
    return trunk_create(queue, shape, NULL, NULL, with_gradients, out);
}

status value_model_create_on(struct model *base, const struct adapter_settings *adapter,
                             bool with_gradients, struct value_model **out)
{
    return trunk_create(base->queue, base->shape, base, adapter, with_gradients, out);
}

status value_model_create_adapted(struct model *policy, struct value_model **out)
{
    return value_model_create_on(policy->base, &policy->adapter_settings, true, out);
}

void value_model_destroy(struct value_model *value)
{
    if (!value) return;
    model_run_destroy(value->run); /* waits for uploads */
    if (value->model) buffer_release(value->model->queue, &value->pooled);
    value_head_release(&value->head);
    model_destroy(value->model);
    free(value);
}

struct model *value_model_trunk(struct value_model *value)
{
    return value->model;
}

void value_model_watch(struct value_model *value, const struct attention_watch *watch)
{
    model_run_watch(value->run, watch);
}

int64_t value_model_tokens(const struct value_model *value)
{
    return model_run_tokens(value->run);
}

struct parameters *value_model_parameters(struct value_model *value)
{
    return model_trained(value->model);
}

status value_model_start_from(struct value_model *value, struct model *policy)
{
    struct queue *q = value->model->queue;
    const struct parameters *to = model_trained(value->model);
    const struct parameters *from = model_trained(policy);
    if (policy->queue != q)
        FAIL(STATUS_INTERNAL, "policy and value model stand on different queues");
    for (int64_t i = 0; i < to->count; i++) {
        const struct parameter *mine = &to->list[i];
        size_t bytes = (size_t)mine->count * sizeof(float);
        const struct parameter *theirs = parameters_find(from, mine->name);
        if (!theirs && value_head_owns(mine)) {
            q->op->zero(q, to->values + mine->offset, bytes);
            continue;
        }
        if (!theirs || theirs->count != mine->count)
            FAIL(STATUS_INPUT, "the policy has no %s of the value model's shape", mine->name);
        q->op->copy(q, to->values + mine->offset, from->values + theirs->offset, bytes);
    }
    value->model->stochastic = policy->stochastic;
    value->model->seed = policy->seed;
    return value_model_refresh(value);
}

status value_model_refresh(struct value_model *value)
{
    return model_refresh(value->model);
}

status value_model_refresh_step(struct value_model *value)
{
    return model_refresh_step(value->model);
}

status value_model_refresh_update(struct value_model *value, int64_t update)
{
    return model_refresh_update(value->model, update);
}

static void place(struct value_model *value, struct workspace *workspace, int64_t histories,
                  int64_t hidden_rows, bool keep)
{
    const int64_t width = value->model->shape->width;
    value->means = workspace_reals(workspace, histories * width);
    if (!keep) return;
    value->dmeans = workspace_reals(workspace, histories * width);
    value->dhidden = workspace_reals(workspace, hidden_rows * width);
}

static status reserve_pooled(struct value_model *value, int64_t histories, int64_t hidden_rows,
                             bool keep)
{
    struct queue *q = value->model->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place(value, &workspace, histories, hidden_rows, keep);
    TRY(buffer_reserve(q, &value->pooled, workspace.used));
    workspace = workspace_begin(q, value->pooled.data);
    place(value, &workspace, histories, hidden_rows, keep);
    return NULL;
}

status value_model_reserve(struct value_model *value, const struct model_limits *limits)
{
    struct model_limits trunk = *limits;
    trunk.replies = trunk.reply_tokens = trunk.longest_reply = trunk.capture_layers = 0;
    value->ready = false;
    TRY(model_run_reserve(value->run, &trunk));
    TRY(reserve_pooled(value, limits->histories, value->run->hidden_rows, limits->keep));
    return value_head_reserve(&value->head, limits->histories);
}

status value_model_forward(struct value_model *value, const struct model_batch *of,
                           enum model_keep keep, float *values)
{
    struct queue *q = value->model->queue;
    const int64_t histories = of->histories;
    struct model_batch batch = *of;
    batch.replies = 0;
    value->ready = false;
    TRY(status_context(model_forward(value->run, &batch, keep, 0), "value model"));
    TRY(reserve_pooled(value, histories, value->run->hidden_rows, keep));
    q->op->mean_rows(q, value->means, value->run->hidden, value->run->hidden_begin, histories,
                     value->model->shape->width);
    TRY(value_head_forward(&value->head, value->means, histories, values));
    value->ready = keep != MODEL_KEEP_NOTHING;
    return NULL;
}

status value_model_backward(struct value_model *value, const float *dvalues, float *gradients,
                            const struct model_watermark *watermark)
{
    struct queue *q = value->model->queue;
    const int64_t histories = value->run->histories;
    if (!value->ready) FAIL(STATUS_INTERNAL, "value model: no activations were kept for backward");
    value->ready = false; /* once a forward pass */
    value_head_backward(&value->head, dvalues, value->means, value->dmeans, histories, gradients);
    q->op->mean_rows_backward(q, value->dhidden, value->dmeans, value->run->hidden_begin, histories,
                              value->model->shape->width);
    return model_backward(value->run, value->dhidden, gradients, watermark);
}
