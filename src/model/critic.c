/* The critic: value of a history = w . mean over its tokens of the encoder's output + b. */
#include "src/model/critic.h"

#include "src/model/t5_parts.h"

#include <stdlib.h>
#include <string.h>

struct critic {
    struct model *model;
    struct model_run *run;
    struct buffer forward, backward, ones;
    struct host_buffer host; /* [histories] values, then their gradients */
    int64_t ones_count;      /* of `ones`, a 1 for each history's bias */
    real *means;             /* [histories, d] */
    float *values;           /* [histories] */
    bool kept;
};

status critic_create(struct queue *queue, const struct model_shape *shape, struct critic **out)
{
    struct model_shape encoder = *shape;
    encoder.decoder_layers = 0;
    struct critic *critic = calloc(1, sizeof *critic);
    if (!critic) FAIL(STATUS_INTERNAL, "no memory for a critic");
    status s = t5_create_parts(queue, &encoder, true, true, &critic->model);
    if (!s) s = model_run_create(critic->model, &critic->run);
    if (s) {
        critic_destroy(critic);
        return status_context(s, "critic");
    }
    *out = critic;
    return NULL;
}

void critic_destroy(struct critic *critic)
{
    if (!critic) return;
    model_run_destroy(critic->run); /* waits for what is on its way */
    if (critic->model) {
        struct queue *q = critic->model->queue;
        buffer_release(q, &critic->forward);
        buffer_release(q, &critic->backward);
        buffer_release(q, &critic->ones);
        host_buffer_release(q, &critic->host);
    }
    model_destroy(critic->model);
    free(critic);
}

struct parameters *critic_parameters(struct critic *critic)
{
    return &critic->model->parameters;
}

status critic_start_from(struct critic *critic, struct model *policy)
{
    struct queue *q = critic->model->queue;
    const struct parameters *to = &critic->model->parameters;
    const struct parameters *from = &policy->parameters;
    if (policy->queue != q) FAIL(STATUS_INTERNAL, "policy and critic stand on different queues");
    for (int64_t i = 0; i < to->count; i++) {
        const struct parameter *mine = &to->list[i];
        size_t bytes = (size_t)mine->count * sizeof(float);
        if (strncmp(mine->name, "value_head.", 11) == 0) {
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

static void cut_forward(struct critic *critic, struct t5_cut *cut, int64_t histories)
{
    critic->means = t5_cut_reals(cut, histories * critic->model->shape.d_model);
    critic->values = t5_cut_floats(cut, histories);
}

static status reserve_forward(struct critic *critic, int64_t histories)
{
    struct queue *q = critic->model->queue;
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_forward(critic, &cut, histories);
    TRY(buffer_reserve(q, &critic->forward, cut.used));
    cut = t5_cut_begin(q, critic->forward.data);
    cut_forward(critic, &cut, histories);
    TRY(host_buffer_reserve(q, &critic->host, (size_t)histories * sizeof(float)));
    const size_t bytes = (size_t)histories * q->real_bytes;
    if (bytes > critic->ones.size) critic->ones_count = 0; /* growing forgets */
    return buffer_reserve(q, &critic->ones, bytes);
}

/* At least `count` ones, made on the host when there are fewer; goes through critic->values. */
static status ones_make(struct critic *critic, int64_t count)
{
    struct queue *q = critic->model->queue;
    if (count <= critic->ones_count) return NULL;
    float *host = critic->host.data;
    for (int64_t i = 0; i < count; i++) host[i] = 1.0f;
    q->op->upload(q, critic->values, host, (size_t)count * sizeof(float));
    q->op->narrow(q, critic->ones.data, critic->values, count);
    TRY(q->op->synchronize(q));
    critic->ones_count = count;
    return NULL;
}

status critic_forward(struct critic *critic, int64_t histories, const int32_t *history_begin,
                      const int32_t *history_tokens, enum model_keep keep, float *values)
{
    struct model *model = critic->model;
    struct queue *q = model->queue;
    struct model_batch batch = {
        .histories = histories, .history_begin = history_begin, .history_tokens = history_tokens};
    critic->kept = false;
    TRY(status_context(model_forward(critic->run, &batch, keep, 0), "critic"));
    TRY(reserve_forward(critic, histories));
    TRY(ones_make(critic, histories));
    q->op->mean_rows(q, critic->means, critic->run->encoder_output, critic->run->history_begin,
                     histories, model->shape.d_model);
    q->op->matmul_float(q, critic->values, critic->means, model->value_weight.packed, histories,
                        false);
    q->op->matmul_float(q, critic->values, critic->ones.data, model->value_bias.packed, histories,
                        true);
    const size_t bytes = (size_t)histories * sizeof(float);
    q->op->download(q, critic->host.data, critic->values, bytes);
    TRY(q->op->synchronize(q));
    memcpy(values, critic->host.data, bytes);
    critic->kept = keep != MODEL_KEEP_NOTHING;
    return NULL;
}

/* Gradients of the values as they come and as activations, of the means and the encoder. */
struct value_gradients {
    float *dvalues;
    real *dv, *dmeans, *dencoder;
};

static void cut_backward(const struct critic *critic, struct t5_cut *cut, int64_t histories,
                         int64_t history_tokens, struct value_gradients *to)
{
    int64_t d = critic->model->shape.d_model;
    to->dvalues = t5_cut_floats(cut, histories);
    to->dv = t5_cut_reals(cut, histories);
    to->dmeans = t5_cut_reals(cut, histories * d);
    to->dencoder = t5_cut_reals(cut, history_tokens * d);
}

static status reserve_backward(struct critic *critic, int64_t histories, int64_t history_tokens,
                               struct value_gradients *to)
{
    struct queue *q = critic->model->queue;
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_backward(critic, &cut, histories, history_tokens, to);
    TRY(buffer_reserve(q, &critic->backward, cut.used));
    cut = t5_cut_begin(q, critic->backward.data);
    cut_backward(critic, &cut, histories, history_tokens, to);
    return NULL;
}

status critic_reserve(struct critic *critic, const struct model_limits *limits)
{
    struct value_gradients g;
    struct model_limits encoder = *limits;
    encoder.replies = encoder.reply_tokens = encoder.longest_reply = encoder.capture_layers = 0;
    critic->kept = false;
    TRY(model_run_reserve(critic->run, &encoder));
    TRY(reserve_forward(critic, limits->histories));
    return limits->keep ? reserve_backward(critic, limits->histories, limits->history_tokens, &g)
                        : NULL;
}

status critic_backward(struct critic *critic, const float *dvalues, float *gradients,
                       const struct model_watermark *watermark)
{
    struct model *model = critic->model;
    struct queue *q = model->queue;
    int64_t d = model->shape.d_model, histories = critic->run->histories;
    if (!critic->kept) FAIL(STATUS_INTERNAL, "critic: no activations were kept for backward");
    struct value_gradients g;
    TRY(reserve_backward(critic, histories, critic->run->history_tokens, &g));
    /* The next forward pass waits for it, before the copy is written again. */
    memcpy(critic->host.data, dvalues, (size_t)histories * sizeof(float));
    q->op->upload(q, g.dvalues, critic->host.data, (size_t)histories * sizeof(float));
    q->op->mark(q, MARK_BATCH);
    q->op->narrow(q, g.dv, g.dvalues, histories);
    q->op->matmul_weight_gradient(q, gradients + model->value_weight.offset, g.dv, critic->means,
                                  histories, 1, d, true);
    q->op->matmul_weight_gradient(q, gradients + model->value_bias.offset, g.dv, critic->ones.data,
                                  histories, 1, 1, true);
    q->op->matmul_input_gradient(q, g.dmeans, g.dv, model->value_weight.packed, histories, false);
    q->op->mean_rows_backward(q, g.dencoder, g.dmeans, critic->run->history_begin, histories, d);
    critic->kept = false; /* once a forward pass: the copy may be on its way */
    return model_backward(critic->run, g.dencoder, gradients, watermark);
}
