#include "src/model/critic.h"

#include "src/base/memory.h"
#include "src/model/run.h"
#include "src/model/run_state.h"
#include "src/model/value_head.h"

#include <stdlib.h>

struct critic {
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
                           const struct adapter_settings *adapter, struct critic **out)
{
    struct model_shape *trunk = model_shape_copy(shape);
    trunk->family->shape_without_replies(trunk);
    struct critic *critic = memory_allocate(sizeof *critic);
    status s = adapter
                   ? value_head_create_adapted(base, trunk, adapter, &critic->head, &critic->model)
                   : value_head_create(queue, trunk, true, &critic->head, &critic->model);
    free(trunk);
    if (!s) s = model_run_create(critic->model, &critic->run);
    if (s) {
        critic_destroy(critic);
        return status_context(s, "critic");
    }
    *out = critic;
    return NULL;
}

status critic_create(struct queue *queue, const struct model_shape *shape, struct critic **out)
{
    return trunk_create(queue, shape, NULL, NULL, out);
}

status critic_create_adapted(struct model *policy, struct critic **out)
{
    return trunk_create(policy->queue, policy->shape, policy->base, &policy->adapter_settings, out);
}

void critic_destroy(struct critic *critic)
{
    if (!critic) return;
    model_run_destroy(critic->run); /* waits for uploads */
    if (critic->model) buffer_release(critic->model->queue, &critic->pooled);
    value_head_release(&critic->head);
    model_destroy(critic->model);
    free(critic);
}

struct parameters *critic_parameters(struct critic *critic)
{
    return model_trained(critic->model);
}

status critic_start_from(struct critic *critic, struct model *policy)
{
    struct queue *q = critic->model->queue;
    const struct parameters *to = model_trained(critic->model);
    const struct parameters *from = model_trained(policy);
    if (policy->queue != q) FAIL(STATUS_INTERNAL, "policy and critic stand on different queues");
    for (int64_t i = 0; i < to->count; i++) {
        const struct parameter *mine = &to->list[i];
        size_t bytes = (size_t)mine->count * sizeof(float);
        if (value_head_owns(mine)) {
            q->op->zero(q, to->values + mine->offset, bytes);
            continue;
        }
        const struct parameter *theirs = parameters_find(from, mine->name);
        if (!theirs || theirs->count != mine->count)
            FAIL(STATUS_INPUT, "the policy has no %s of the critic's shape", mine->name);
        q->op->copy(q, to->values + mine->offset, from->values + theirs->offset, bytes);
    }
    critic->model->stochastic = policy->stochastic;
    critic->model->seed = policy->seed;
    return critic_refresh(critic);
}

status critic_refresh(struct critic *critic)
{
    return model_refresh(critic->model);
}

status critic_refresh_step(struct critic *critic)
{
    return model_refresh_step(critic->model);
}

status critic_refresh_update(struct critic *critic, int64_t update)
{
    return model_refresh_update(critic->model, update);
}

static void place(struct critic *critic, struct workspace *workspace, int64_t histories,
                  int64_t hidden_rows, bool keep)
{
    const int64_t width = critic->model->shape->width;
    critic->means = workspace_reals(workspace, histories * width);
    if (!keep) return;
    critic->dmeans = workspace_reals(workspace, histories * width);
    critic->dhidden = workspace_reals(workspace, hidden_rows * width);
}

static status reserve_pooled(struct critic *critic, int64_t histories, int64_t hidden_rows,
                             bool keep)
{
    struct queue *q = critic->model->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place(critic, &workspace, histories, hidden_rows, keep);
    TRY(buffer_reserve(q, &critic->pooled, workspace.used));
    workspace = workspace_begin(q, critic->pooled.data);
    place(critic, &workspace, histories, hidden_rows, keep);
    return NULL;
}

status critic_reserve(struct critic *critic, const struct model_limits *limits)
{
    struct model_limits trunk = *limits;
    trunk.replies = trunk.reply_tokens = trunk.longest_reply = trunk.capture_layers = 0;
    critic->ready = false;
    TRY(model_run_reserve(critic->run, &trunk));
    TRY(reserve_pooled(critic, limits->histories, critic->run->hidden_rows, limits->keep));
    return value_head_reserve(&critic->head, limits->histories);
}

status critic_forward(struct critic *critic, const struct model_batch *of, enum model_keep keep,
                      float *values)
{
    struct queue *q = critic->model->queue;
    const int64_t histories = of->histories;
    struct model_batch batch = *of;
    batch.replies = 0;
    critic->ready = false;
    TRY(status_context(model_forward(critic->run, &batch, keep, 0), "critic"));
    TRY(reserve_pooled(critic, histories, critic->run->hidden_rows, keep));
    q->op->mean_rows(q, critic->means, critic->run->hidden, critic->run->hidden_begin, histories,
                     critic->model->shape->width);
    TRY(value_head_forward(&critic->head, critic->means, histories, values));
    critic->ready = keep != MODEL_KEEP_NOTHING;
    return NULL;
}

status critic_backward(struct critic *critic, const float *dvalues, float *gradients,
                       const struct model_watermark *watermark)
{
    struct queue *q = critic->model->queue;
    const int64_t histories = critic->run->histories;
    if (!critic->ready) FAIL(STATUS_INTERNAL, "critic: no activations were kept for backward");
    critic->ready = false; /* once a forward pass */
    value_head_backward(&critic->head, dvalues, critic->means, critic->dmeans, histories,
                        gradients);
    q->op->mean_rows_backward(q, critic->dhidden, critic->dmeans, critic->run->hidden_begin,
                              histories, critic->model->shape->width);
    return model_backward(critic->run, critic->dhidden, gradients, watermark);
}
