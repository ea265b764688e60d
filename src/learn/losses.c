/* The losses: clipped surrogate, critic's squares, supervised cross-entropy; and a step of each.  A
 * microbatch is run in chunks of a fixed size, its gradient is one leaf of the gradient tree, so
 * that the sum does not depend on how many learners share the work.  Of a chunk one copy goes to
 * the device behind the batch, and one comes back; nothing else waits. */
#include "src/learn/learner.h"

#include "src/base/memory.h"
#include "src/learn/pack.h"
#include "src/learn/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Per-token arrays [m], side by side on the device, so that one copy takes several; the host has
 * those that go up and those that come back. */
enum token_array {
    OLD,
    REF,
    ADVANTAGE,
    WEIGHT,
    LOSS, /* the first that comes back */
    KL,
    CLIPPED,
    ENTROPY,
    LOGP,
    LSE, /* the first that stays */
    DLOGP,
    TOKEN_ARRAYS
};

struct tokens {
    int64_t m;
    float *device, *host;
};

status tokens_reserve(struct learner *l, int64_t m)
{
    const size_t bytes = (size_t)m * sizeof(float);
    TRY(buffer_reserve(l->queue, &l->tokens, TOKEN_ARRAYS * bytes));
    return host_buffer_reserve(l->queue, &l->host_tokens, LSE * bytes);
}

static status tokens_begin(struct learner *l, int64_t m, struct tokens *t)
{
    TRY(tokens_reserve(l, m));
    *t = (struct tokens){m, l->tokens.data, l->host_tokens.data};
    return NULL;
}

static float *device_array(const struct tokens *t, enum token_array array)
{
    return t->device + (int64_t)array * t->m;
}

static float *host_array(const struct tokens *t, enum token_array array)
{
    return t->host + (int64_t)array * t->m;
}

/* Arrays [from, to) go to the device; or come back, and are waited for. */
static void tokens_upload(struct learner *l, const struct tokens *t, enum token_array from,
                          enum token_array to)
{
    l->queue->op->upload(l->queue, device_array(t, from), host_array(t, from),
                         (size_t)((to - from) * t->m) * sizeof(float));
}

static status tokens_download(struct learner *l, const struct tokens *t, enum token_array from,
                              enum token_array to)
{
    l->queue->op->download(l->queue, host_array(t, from), device_array(t, from),
                           (size_t)((to - from) * t->m) * sizeof(float));
    return l->queue->op->synchronize(l->queue);
}

/* The loss of the tokens of a forward pass, through the head and back into the leaf, a chunk of
 * logits at a time.  ppo NULL: dlogp is on the device already. */
static status head_learn(struct learner *l, const struct tokens *t, const struct ppo_tokens *ppo,
                         float temperature, float smoothing, float *leaf)
{
    struct queue *q = l->queue;
    struct model_run *run = l->policy_run;
    const int64_t vocabulary = model_shape(l->policy)->vocabulary, most = model_run_head_rows(run);
    float *logp = device_array(t, LOGP), *lse = device_array(t, LSE);
    const float *dlogp = device_array(t, DLOGP);
    for (int64_t first = 0; first < t->m; first += most) {
        const int64_t rows = t->m - first < most ? t->m - first : most;
        const int32_t *targets = model_run_targets(run) + first;
        const float *logits = model_run_head_forward(run, first, rows);
        q->op->softmax_loss(q, logp + first, ppo ? device_array(t, ENTROPY) + first : NULL,
                            lse + first, NULL, logits, NULL, targets, temperature, rows,
                            vocabulary);
        if (ppo) {
            const struct ppo_tokens part = {.tokens = rows,
                                            .logp_new = ppo->logp_new + first,
                                            .logp_old = ppo->logp_old + first,
                                            .logp_ref =
                                                ppo->logp_ref ? ppo->logp_ref + first : NULL,
                                            .advantage = ppo->advantage + first,
                                            .weight = ppo->weight + first,
                                            .clip = ppo->clip,
                                            .kl_coef = ppo->kl_coef,
                                            .loss = ppo->loss + first,
                                            .dlogp = ppo->dlogp + first,
                                            .clipped = ppo->clipped + first,
                                            .kl = ppo->kl + first};
            q->op->ppo_loss(q, &part);
        }
        real *dlogits = model_run_dlogits(run);
        q->op->softmax_loss_backward(q, dlogits, logits, lse + first, targets, dlogp + first,
                                     temperature, smoothing, rows, vocabulary);
        TRY(model_run_head_backward(run, first, rows, dlogits, leaf));
    }
    return NULL;
}

/* ---- The clipped surrogate. ---- */

static void policy_fill(const struct learner *l, const struct learn_batch *batch,
                        const struct learn_turn *turns, int64_t n, const struct tokens *to)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t < turns[i].reply_count; t++, at++) {
            host_array(to, OLD)[at] = turns[i].logp_old[t];
            host_array(to, REF)[at] = turns[i].logp_ref ? turns[i].logp_ref[t] : 0;
            host_array(to, ADVANTAGE)[at] = (float)turns[i].advantage;
            host_array(to, WEIGHT)[at] =
                (float)(l->config->ppo.loss == PPO_LOSS_SEQUENCE
                            ? 1.0 / ((double)batch->all_turns * (double)turns[i].reply_count)
                            : 1.0 / (double)batch->all_tokens);
        }
}

static void policy_measure(const struct tokens *t, double all_tokens, struct partial *partial)
{
    for (int64_t i = 0; i < t->m; i++) {
        const double logp = (double)host_array(t, LOGP)[i], old = (double)host_array(t, OLD)[i];
        partial->loss += (double)host_array(t, LOSS)[i];
        partial->kl += (double)host_array(t, KL)[i] / all_tokens;
        partial->clipped += (double)host_array(t, CLIPPED)[i] / all_tokens;
        partial->entropy += (double)host_array(t, ENTROPY)[i] / all_tokens;
        partial->deviation = fmax(partial->deviation, fabs(logp - old));
    }
}

static status policy_learn(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n,
                           const struct packed_batch *packed, float *leaf, struct partial *partial)
{
    const struct config *config = l->config;
    const bool kl = config->kl.coef > 0 && config->kl.in == KL_IN_LOSS;
    struct tokens t;
    TRY(tokens_begin(l, packed->tokens, &t));
    policy_fill(l, batch, turns, n, &t);
    TRY(model_forward(l->policy_run, &packed->batch, learner_keep(l), 0));
    tokens_upload(l, &t, OLD, LOSS);
    const struct ppo_tokens ppo = {.logp_new = device_array(&t, LOGP),
                                   .logp_old = device_array(&t, OLD),
                                   .logp_ref = turns[0].logp_ref ? device_array(&t, REF) : NULL,
                                   .advantage = device_array(&t, ADVANTAGE),
                                   .weight = device_array(&t, WEIGHT),
                                   .clip = (float)config->ppo.clip,
                                   .kl_coef = kl ? (float)config->kl.coef : 0.0f,
                                   .loss = device_array(&t, LOSS),
                                   .dlogp = device_array(&t, DLOGP),
                                   .clipped = device_array(&t, CLIPPED),
                                   .kl = device_array(&t, KL)};
    TRY(head_learn(l, &t, &ppo, learner_temperature(l), 0.0f, leaf));
    TRY(model_backward(l->policy_run, NULL, leaf, &l->watermark));
    TRY(tokens_download(l, &t, LOSS, LSE));
    policy_measure(&t, (double)batch->all_tokens, partial);
    return NULL;
}

static status policy_chunk(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n, float *leaf,
                           struct partial *partial)
{
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    status s = NULL;
    if (packed.tokens) s = policy_learn(l, batch, turns, n, &packed, leaf, partial);
    packed_batch_free(&packed);
    return s;
}

status ppo_policy_step(struct learner *l, const struct learn_batch *batch, double lr,
                       struct step_metrics *out)
{
    TRY(learner_step_run(l, batch, policy_chunk, l->policy_tree, l->policy_optimizer,
                         model_parameters(l->policy), lr, out));
    return model_refresh_step(l->policy);
}

/* ---- The critic. ---- */

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
                              packed.batch.history_tokens, learner_keep(l), values);
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
    return critic_refresh_step(l->critic);
}

/* ---- Supervised fine-tuning. ---- */

/* Of a chunk at temperature 1: adds sum -logp; learns too where leaf is given. */
static status sft_learn(struct learner *l, const struct packed_batch *packed, double all_tokens,
                        double smoothing, float *leaf, double *sum)
{
    struct tokens t;
    TRY(tokens_begin(l, packed->tokens, &t));
    TRY(model_forward(l->policy_run, &packed->batch, leaf ? learner_keep(l) : MODEL_KEEP_NOTHING,
                      0));
    if (leaf) {
        float *weights = host_array(&t, WEIGHT);
        for (int64_t i = 0; i < t.m; i++) weights[i] = (float)(-1.0 / all_tokens);
        l->queue->op->upload(l->queue, device_array(&t, DLOGP), weights,
                             (size_t)t.m * sizeof *weights);
        TRY(head_learn(l, &t, NULL, 1.0f, (float)smoothing, leaf));
        TRY(model_backward(l->policy_run, NULL, leaf, &l->watermark));
    } else {
        TRY(model_run_logp(l->policy_run, 1.0f, device_array(&t, LOGP), NULL, NULL));
    }
    TRY(tokens_download(l, &t, LOGP, LSE));
    for (int64_t i = 0; i < t.m; i++) *sum -= (double)host_array(&t, LOGP)[i];
    return NULL;
}

static status sft_chunk(struct learner *l, const struct learn_turn *turns, int64_t n,
                        double all_tokens, double smoothing, float *leaf, double *sum)
{
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    status s = NULL;
    if (packed.tokens) s = sft_learn(l, &packed, all_tokens, smoothing, leaf, sum);
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
                         model_parameters(l->policy), lr, out));
    return model_refresh_update(l->policy, model_version(l->policy).update + 1);
}

status sft_loss(struct learner *l, const struct learn_turn *turns, int64_t count, double *sum,
                int64_t *tokens)
{
    *sum = 0;
    *tokens = 0;
    for (int64_t at = 0; at < count;) {
        const int64_t n = pack_chunk(l->config, turns + at, count - at);
        TRY(sft_chunk(l, turns + at, n, 1, 0, NULL, sum));
        for (int64_t i = 0; i < n; i++) *tokens += turns[at + i].reply_count;
        at += n;
    }
    return NULL;
}
