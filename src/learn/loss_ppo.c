/* The clipped surrogate of PPO with its KL penalty (docs/reward.md, Turns, returns, advantages). */
#include "src/learn/head_pass.h"
#include "src/learn/loss.h"
#include "src/learn/pack.h"

#include <math.h>

static void tokens_fill(const struct learner *l, const struct learn_batch *batch,
                        const struct learn_turn *turns, int64_t n)
{
    const struct token_arrays *to = &l->tokens;
    float *old = token_host(to, TOKEN_OLD), *ref = token_host(to, TOKEN_REF);
    float *advantage = token_host(to, TOKEN_ADVANTAGE), *weight = token_host(to, TOKEN_WEIGHT);
    const bool sequence = l->settings.ppo_loss == PPO_LOSS_SEQUENCE;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t < turns[i].reply_count; t++, at++) {
            old[at] = turns[i].logp_old[t];
            ref[at] = turns[i].logp_ref ? turns[i].logp_ref[t] : 0;
            advantage[at] = turns[i].advantage[t];
            weight[at] =
                (float)(sequence ? 1.0 / ((double)batch->all_turns * (double)turns[i].reply_count)
                                 : 1.0 / (double)batch->all_tokens);
        }
}

static void tokens_measure(const struct token_arrays *t, double all_tokens, struct partial *partial)
{
    const float *logp = token_host(t, TOKEN_LOGP), *old = token_host(t, TOKEN_OLD);
    for (int64_t i = 0; i < t->count; i++) {
        partial->loss += (double)token_host(t, TOKEN_LOSS)[i];
        partial->kl += (double)token_host(t, TOKEN_KL)[i] / all_tokens;
        partial->clipped += (double)token_host(t, TOKEN_CLIPPED)[i] / all_tokens;
        partial->entropy += (double)token_host(t, TOKEN_ENTROPY)[i] / all_tokens;
        partial->deviation = fmax(partial->deviation, fabs((double)logp[i] - (double)old[i]));
    }
}

struct surrogate {
    struct queue *queue;
    const struct token_arrays *tokens;
    bool with_reference;
    float clip, kl_coef, kl_low, kl_high;
};

/* The loss of some rows: see struct head_pass. */
static void surrogate_rows(void *context, int64_t first, int64_t rows)
{
    const struct surrogate *s = context;
    const struct token_arrays *t = s->tokens;
    const struct ppo_tokens ppo = {
        .tokens = rows,
        .logp_new = token_device(t, TOKEN_LOGP) + first,
        .logp_old = token_device(t, TOKEN_OLD) + first,
        .logp_ref = s->with_reference ? token_device(t, TOKEN_REF) + first : NULL,
        .advantage = token_device(t, TOKEN_ADVANTAGE) + first,
        .weight = token_device(t, TOKEN_WEIGHT) + first,
        .clip = s->clip,
        .kl_coef = s->kl_coef,
        .kl_low = s->kl_low,
        .kl_high = s->kl_high,
        .loss = token_device(t, TOKEN_LOSS) + first,
        .dlogp = token_device(t, TOKEN_DLOGP) + first,
        .clipped = token_device(t, TOKEN_CLIPPED) + first,
        .kl = token_device(t, TOKEN_KL) + first};
    s->queue->op->ppo_loss(s->queue, &ppo);
}

static status packed_learn(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n,
                           const struct packed_batch *packed, float *leaf, struct partial *partial)
{
    const struct learn_settings *settings = &l->settings;
    const bool kl = settings->kl_coef > 0 && settings->kl_in == KL_IN_LOSS;
    TRY(token_arrays_begin(&l->tokens, packed->tokens));
    tokens_fill(l, batch, turns, n);
    TRY(model_forward(l->policy_run, &packed->batch, learner_keep(l), 0));
    token_arrays_upload(&l->tokens, TOKEN_OLD, TOKEN_LOSS);
    struct surrogate surrogate = {.queue = l->queue,
                                  .tokens = &l->tokens,
                                  .with_reference = turns[0].logp_ref != NULL,
                                  .clip = (float)settings->clip,
                                  .kl_coef = kl ? (float)settings->kl_coef : 0.0f,
                                  .kl_low = (float)settings->kl_bounds.low,
                                  .kl_high = (float)settings->kl_bounds.high};
    const struct head_pass pass = {.temperature = (float)settings->temperature,
                                   .entropy = true,
                                   .rows = surrogate_rows,
                                   .context = &surrogate};
    TRY(head_pass_run(l, &pass, leaf));
    TRY(model_backward(l->policy_run, NULL, leaf, &l->watermark));
    TRY(token_arrays_download(&l->tokens, TOKEN_LOSS, TOKEN_LSE));
    tokens_measure(&l->tokens, (double)batch->all_tokens, partial);
    return NULL;
}

static status ppo_chunk(struct learner *l, const struct learn_batch *batch,
                        const struct learn_turn *turns, int64_t n, float *leaf,
                        struct partial *partial)
{
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    status s = NULL;
    if (packed.tokens) {
        s = packed_learn(l, batch, turns, n, &packed, leaf, partial);
        partial->computed += (double)learner_tokens_computed(l);
        partial->pairs += (double)learner_tokens_pairs(l, &packed);
    }
    packed_batch_free(&packed);
    return s;
}

static status ppo_refresh(struct learner *l)
{
    return model_refresh_step(l->policy);
}

const struct loss loss_ppo = {.name = "ppo", .chunk = ppo_chunk, .refresh = ppo_refresh};
