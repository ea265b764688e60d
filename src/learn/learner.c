/* One learner's models and single optimizer steps; see learner.h.  A microbatch is run in chunks
 * of a fixed size, its gradient is one leaf of the gradient tree, so that the sum does not
 * depend on how many learners share the work. */
#include "src/learn/learner.h"

#include "src/base/arena.h"
#include "src/learn/pack.h"
#include "src/learn/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t learner_microbatches(const struct learner *learner)
{
    return learner->config->learn.microbatches / learner->exchange.count;
}

status learner_create(const struct config *config, const struct learner_exchange *exchange,
                      struct t5 *policy, struct t5 *reference, bool with_critic,
                      struct learner **out)
{
    struct learner *l = memory_allocate(sizeof *l);
    *l = (struct learner){.config = config,
                          .exchange = *exchange,
                          .queue = t5_queue(policy),
                          .policy = policy,
                          .reference = reference};
    const int64_t size = t5_parameters(policy)->size;
    const int64_t leaves = learner_microbatches(l);
    const struct optimizer_share share = {exchange->rank, exchange->count,
                                          optimizer_parts(config->learn.microbatches)};
    status s = t5_run_create(policy, &l->policy_run);
    if (!s && reference) s = t5_run_create(reference, &l->reference_run);
    if (!s)
        s = optimizer_create(l->queue, size, &share, config->policy.clip_norm,
                             &l->policy_optimizer);
    if (!s) s = gradient_tree_create(l->queue, size, leaves, &l->policy_tree);
    if (!s && with_critic) {
        s = critic_create(l->queue, t5_shape(policy), &l->critic);
        if (!s) s = critic_start_from(l->critic, policy);
        const int64_t critic_size = s ? 0 : critic_parameters(l->critic)->size;
        if (!s)
            s = optimizer_create(l->queue, critic_size, &share, config->policy.clip_norm,
                                 &l->critic_optimizer);
        if (!s) s = gradient_tree_create(l->queue, critic_size, leaves, &l->critic_tree);
    }
    if (s) {
        learner_free(l);
        return s;
    }
    *out = l;
    return NULL;
}

void learner_free(struct learner *l)
{
    if (!l) return;
    struct buffer *all[] = {&l->logp,   &l->entropy, &l->lse,   &l->old,     &l->ref, &l->advantage,
                            &l->weight, &l->loss,    &l->dlogp, &l->clipped, &l->kl};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_release(l->queue, all[i]);
    if (l->policy_run) t5_run_destroy(l->policy_run);
    if (l->reference_run) t5_run_destroy(l->reference_run);
    if (l->policy_optimizer) optimizer_free(l->policy_optimizer);
    if (l->critic_optimizer) optimizer_free(l->critic_optimizer);
    if (l->policy_tree) gradient_tree_free(l->policy_tree);
    if (l->critic_tree) gradient_tree_free(l->critic_tree);
    if (l->critic) critic_destroy(l->critic);
    free(l);
}

static float forward_temperature(const struct learner *l)
{
    return l->config->rollout.temperature > 0 ? (float)l->config->rollout.temperature : 1.0f;
}

status learner_logp(struct learner *l, struct t5_run *run, const struct learn_turn *turns,
                    int64_t count, float *const *logp)
{
    const struct ops *op = l->queue->op;
    const int64_t vocabulary = t5_shape(l->policy)->vocabulary;
    for (int64_t at = 0; at < count;) {
        const int64_t n = pack_chunk(turns + at, count - at);
        struct packed_batch packed;
        packed_batch_make(&packed, turns + at, n);
        float *host = memory_allocate((size_t)packed.tokens * sizeof *host + 4);
        status s = NULL;
        if (packed.tokens) {
            s = t5_forward(run, &packed.batch, false, 0);
            if (!s) s = buffer_reserve(l->queue, &l->logp, (size_t)packed.tokens * sizeof(float));
            if (!s) {
                op->softmax_loss(l->queue, l->logp.data, NULL, NULL, NULL, t5_run_logits(run), NULL,
                                 t5_run_targets(run), forward_temperature(l), packed.tokens,
                                 vocabulary);
                op->download(l->queue, host, l->logp.data, (size_t)packed.tokens * sizeof(float));
                s = op->synchronize(l->queue);
            }
        }
        int64_t from = 0;
        for (int64_t i = 0; !s && i < n; i++) {
            if (turns[at + i].reply_count)
                memcpy(logp[at + i], host + from, (size_t)turns[at + i].reply_count * sizeof *host);
            from += turns[at + i].reply_count;
        }
        free(host);
        packed_batch_free(&packed);
        if (s) return s;
        at += n;
    }
    return NULL;
}

status learner_values(struct learner *l, const struct learn_turn *turns, int64_t count,
                      double *values)
{
    for (int64_t at = 0; at < count;) {
        const int64_t n = pack_chunk(turns + at, count - at);
        struct packed_batch packed;
        packed_batch_make(&packed, turns + at, n);
        float *host = memory_allocate((size_t)packed.batch.histories * sizeof *host + 4);
        status s = critic_forward(l->critic, packed.batch.histories, packed.batch.history_begin,
                                  packed.batch.history_tokens, false, host);
        for (int64_t i = 0; !s && i < n; i++)
            values[at + i] = (double)host[packed.history_of_turn[i]];
        free(host);
        packed_batch_free(&packed);
        if (s) return s;
        at += n;
    }
    return NULL;
}

/* Device copies of per-token host arrays of a chunk. */
struct token_arrays {
    float *old, *ref, *advantage, *weight;
};

static void token_arrays_fill(const struct learner *l, const struct learn_batch *batch,
                              const struct learn_turn *turns, int64_t n, struct token_arrays *a)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t < turns[i].reply_count; t++, at++) {
            a->old[at] = turns[i].logp_old[t];
            a->ref[at] = turns[i].logp_ref ? turns[i].logp_ref[t] : 0;
            a->advantage[at] = (float)turns[i].advantage;
            a->weight[at] =
                (float)(l->config->ppo.loss == PPO_LOSS_SEQUENCE
                            ? 1.0 / ((double)batch->all_turns * (double)turns[i].reply_count)
                            : 1.0 / (double)batch->all_tokens);
        }
}

static status loss_buffers(struct learner *l, int64_t tokens)
{
    struct buffer *all[] = {&l->logp,   &l->entropy, &l->lse,   &l->old,     &l->ref, &l->advantage,
                            &l->weight, &l->loss,    &l->dlogp, &l->clipped, &l->kl};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        TRY(buffer_reserve(l->queue, all[i], (size_t)tokens * sizeof(float)));
    return NULL;
}

static status policy_chunk(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n, float *leaf,
                           struct partial *partial)
{
    const struct ops *op = l->queue->op;
    struct queue *q = l->queue;
    const int64_t vocabulary = t5_shape(l->policy)->vocabulary;
    const float temperature = forward_temperature(l);
    const bool kl = l->config->kl.coef > 0 && l->config->kl.in == KL_IN_LOSS;
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    const int64_t m = packed.tokens;
    if (!m) {
        packed_batch_free(&packed);
        return NULL;
    }
    const size_t bytes = (size_t)m * sizeof(float);
    float *host = memory_allocate(bytes * 5);
    struct token_arrays a = {host, host + m, host + 2 * m, host + 3 * m};
    token_arrays_fill(l, batch, turns, n, &a);
    status s = loss_buffers(l, m);
    if (!s) s = t5_forward(l->policy_run, &packed.batch, true, 0);
    if (!s) {
        float *logits = t5_run_logits(l->policy_run);
        const int32_t *targets = t5_run_targets(l->policy_run);
        op->upload(q, l->old.data, a.old, bytes);
        op->upload(q, l->ref.data, a.ref, bytes);
        op->upload(q, l->advantage.data, a.advantage, bytes);
        op->upload(q, l->weight.data, a.weight, bytes);
        op->softmax_loss(q, l->logp.data, l->entropy.data, l->lse.data, NULL, logits, NULL, targets,
                         temperature, m, vocabulary);
        const struct ppo_tokens tokens = {.tokens = m,
                                          .logp_new = l->logp.data,
                                          .logp_old = l->old.data,
                                          .logp_ref = turns[0].logp_ref ? l->ref.data : NULL,
                                          .advantage = l->advantage.data,
                                          .weight = l->weight.data,
                                          .clip = (float)l->config->ppo.clip,
                                          .kl_coef = kl ? (float)l->config->kl.coef : 0.0f,
                                          .loss = l->loss.data,
                                          .dlogp = l->dlogp.data,
                                          .clipped = l->clipped.data,
                                          .kl = l->kl.data};
        op->ppo_loss(q, &tokens);
        real *dlogits = t5_run_dlogits(l->policy_run);
        op->softmax_loss_backward(q, dlogits, logits, l->lse.data, targets, l->dlogp.data,
                                  temperature, 0.0f, m, vocabulary);
        s = t5_backward(l->policy_run, dlogits, NULL, leaf, &l->watermark);
    }
    if (!s) {
        const void *from[] = {l->loss.data, l->kl.data, l->clipped.data, l->entropy.data,
                              l->logp.data};
        double *to[] = {&partial->loss, &partial->kl, &partial->clipped, &partial->entropy};
        for (int i = 0; !s && i < 5; i++) {
            float *values = host + (i == 4 ? 4 * m : m); /* keeps a.old at the front */
            op->download(q, values, from[i], bytes);
            s = op->synchronize(q);
            for (int64_t t = 0; !s && t < m; t++) {
                if (i < 4)
                    *to[i] += i ? (double)values[t] / (double)batch->all_tokens : (double)values[t];
                else
                    partial->deviation =
                        fmax(partial->deviation, fabs((double)values[t] - (double)a.old[t]));
            }
        }
    }
    free(host);
    packed_batch_free(&packed);
    return s;
}

status ppo_policy_step(struct learner *l, const struct learn_batch *batch, double lr,
                       struct step_metrics *out)
{
    TRY(learner_step_run(l, batch, policy_chunk, l->policy_tree, l->policy_optimizer,
                         t5_parameters(l->policy), lr, out));
    return t5_refresh(l->policy);
}

static status critic_chunk(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n, float *leaf,
                           struct partial *partial)
{
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    const int64_t histories = packed.batch.histories;
    float *values = memory_allocate((size_t)histories * 2 * sizeof *values + 4);
    float *dvalues = values + histories;
    status s = critic_forward(l->critic, histories, packed.batch.history_begin,
                              packed.batch.history_tokens, true, values);
    for (int64_t i = 0; !s && i < n; i++) {
        const int32_t h = packed.history_of_turn[i];
        const double error = (double)values[h] - turns[i].target;
        partial->loss += error * error / (double)batch->all_turns;
        dvalues[h] += (float)(2 * error / (double)batch->all_turns);
    }
    if (!s) s = critic_backward(l->critic, dvalues, leaf, &l->watermark);
    free(values);
    packed_batch_free(&packed);
    return s;
}

status ppo_critic_step(struct learner *l, const struct learn_batch *batch, double lr,
                       struct step_metrics *out)
{
    TRY(learner_step_run(l, batch, critic_chunk, l->critic_tree, l->critic_optimizer,
                         critic_parameters(l->critic), lr, out));
    return critic_refresh(l->critic);
}

/* Forward of a chunk at temperature 1; adds sum -logp; backward too where leaf is given. */
static status sft_chunk(struct learner *l, const struct learn_turn *turns, int64_t n,
                        double all_tokens, double smoothing, float *leaf, double *sum)
{
    const struct ops *op = l->queue->op;
    struct queue *q = l->queue;
    const int64_t vocabulary = t5_shape(l->policy)->vocabulary;
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    const int64_t m = packed.tokens;
    if (!m) {
        packed_batch_free(&packed);
        return NULL;
    }
    const size_t bytes = (size_t)m * sizeof(float);
    float *host = memory_allocate(bytes);
    status s = loss_buffers(l, m);
    if (!s) s = t5_forward(l->policy_run, &packed.batch, leaf != NULL, 0);
    if (!s) {
        float *logits = t5_run_logits(l->policy_run);
        const int32_t *targets = t5_run_targets(l->policy_run);
        op->softmax_loss(q, l->logp.data, NULL, l->lse.data, NULL, logits, NULL, targets, 1.0f, m,
                         vocabulary);
        if (leaf) {
            for (int64_t t = 0; t < m; t++) host[t] = (float)(-1.0 / all_tokens);
            op->upload(q, l->dlogp.data, host, bytes);
            real *dlogits = t5_run_dlogits(l->policy_run);
            op->softmax_loss_backward(q, dlogits, logits, l->lse.data, targets, l->dlogp.data, 1.0f,
                                      (float)smoothing, m, vocabulary);
            s = t5_backward(l->policy_run, dlogits, NULL, leaf, &l->watermark);
            if (!s) s = op->synchronize(q);
        }
        if (!s) {
            op->download(q, host, l->logp.data, bytes);
            s = op->synchronize(q);
        }
        for (int64_t t = 0; !s && t < m; t++) *sum -= (double)host[t];
    }
    free(host);
    packed_batch_free(&packed);
    return s;
}

static status sft_learn_chunk(struct learner *l, const struct learn_batch *batch,
                              const struct learn_turn *turns, int64_t n, float *leaf,
                              struct partial *partial)
{
    double sum = 0;
    TRY(sft_chunk(l, turns, n, (double)batch->all_tokens, l->config->sft.label_smoothing, leaf,
                  &sum));
    partial->loss += sum / (double)batch->all_tokens;
    return NULL;
}

status sft_step(struct learner *l, const struct learn_batch *batch, double lr,
                struct step_metrics *out)
{
    TRY(learner_step_run(l, batch, sft_learn_chunk, l->policy_tree, l->policy_optimizer,
                         t5_parameters(l->policy), lr, out));
    return t5_refresh(l->policy);
}

status sft_loss(struct learner *l, const struct learn_turn *turns, int64_t count, double *sum,
                int64_t *tokens)
{
    *sum = 0;
    *tokens = 0;
    for (int64_t at = 0; at < count;) {
        const int64_t n = pack_chunk(turns + at, count - at);
        TRY(sft_chunk(l, turns + at, n, 1, 0, NULL, sum));
        for (int64_t i = 0; i < n; i++) *tokens += turns[at + i].reply_count;
        at += n;
    }
    return NULL;
}
