/* The clipped surrogate of PPO with its KL penalty and entropy bonus (docs/reward.md, Turns,
 * returns, advantages; Group and loss options). */
#include "src/learn/head_pass.h"
#include "src/learn/loss.h"
#include "src/learn/pack.h"
#include "src/reward/blocks.h"

#include <math.h>

/* The tokens that the policy chose: what was put into the reply is not learned. */
static int64_t learned_count(const struct learn_turn *turn)
{
    int64_t count = 0;
    for (int64_t t = 0; t < turn->reply_count; t++) count += !token_forced(turn->marks, t);
    return count;
}

/* Of one of a turn's learned tokens in the batch's mean. */
static double token_weight(const struct learn_settings *settings, const struct learn_batch *batch,
                           const struct learn_turn *turn)
{
    switch (settings->ppo_loss) {
    case PPO_LOSS_SEQUENCE:
        return 1.0 / ((double)batch->all_turns * (double)learned_count(turn));
    case PPO_LOSS_CONSTANT:
        return 1.0 / ((double)batch->all_turns * (double)settings->max_new_tokens);
    default:
        return 1.0 / (double)batch->all_tokens;
    }
}

static void tokens_fill(const struct learner *l, const struct learn_batch *batch,
                        const struct learn_turn *turns, int64_t n)
{
    const struct token_arrays *to = &l->tokens;
    float *behaviour = token_host(to, TOKEN_BEHAVIOUR);
    float *old = token_host(to, TOKEN_OLD), *ref = token_host(to, TOKEN_REF);
    float *advantage = token_host(to, TOKEN_ADVANTAGE), *weight = token_host(to, TOKEN_WEIGHT);
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t t = 0; t < turns[i].reply_count; t++, at++) {
            behaviour[at] = turns[i].logp_old[t];
            old[at] = batch->begun && turns[i].logp_begun ? turns[i].logp_begun[t] : behaviour[at];
            ref[at] = turns[i].logp_ref ? turns[i].logp_ref[t] : 0;
            advantage[at] = turns[i].advantage[t];
            weight[at] = token_forced(turns[i].marks, t)
                             ? 0
                             : (float)token_weight(&l->settings, batch, &turns[i]);
        }
}

static void tokens_measure(const struct token_arrays *t, double all_tokens, double entropy_coef,
                           struct partial *partial)
{
    const float *entropy = token_host(t, TOKEN_ENTROPY), *weight = token_host(t, TOKEN_WEIGHT);
    const float *logp = token_host(t, TOKEN_LOGP), *behaviour = token_host(t, TOKEN_BEHAVIOUR);
    for (int64_t i = 0; i < t->count; i++) {
        partial->deviation = fmax(partial->deviation, fabs((double)logp[i] - (double)behaviour[i]));
        if (weight[i] == 0) continue;
        partial->loss += (double)token_host(t, TOKEN_LOSS)[i];
        partial->loss -= entropy_coef * (double)weight[i] * (double)entropy[i];
        partial->kl += (double)token_host(t, TOKEN_KL)[i] / all_tokens;
        partial->clipped += (double)token_host(t, TOKEN_CLIPPED)[i] / all_tokens;
        partial->entropy += (double)entropy[i] / all_tokens;
    }
}

/* The weights of truncation, of tokens whose log-probabilities are back on the host: in the first
 * epoch these are the policy's that the update begins with. */
static void importance_measure(const struct learner *l, const struct learn_batch *batch,
                               const struct learn_turn *turns, int64_t n, struct partial *partial)
{
    const struct token_arrays *to = &l->tokens;
    const float *logp = token_host(to, TOKEN_LOGP);
    const double share = 1.0 / (double)batch->all_tokens, cap = l->settings.lag_cap;
    int64_t at = 0;
    for (int64_t i = 0; i < n; at += turns[i++].reply_count)
        for (int64_t t = 0; t < turns[i].reply_count; t++) {
            if (!batch->begun) turns[i].logp_begun[t] = logp[at + t];
            if (token_forced(turns[i].marks, t)) continue;
            const double w = exp((double)turns[i].logp_begun[t] - (double)turns[i].logp_old[t]);
            const double cut = fmin(w, cap);
            partial->importance += share * cut;
            partial->importance_squares += share * cut * cut;
            partial->truncated += w > cap ? share : 0;
            partial->importance_most = fmax(partial->importance_most, w);
        }
}

struct surrogate {
    struct queue *queue;
    struct token_arrays *tokens;
    const struct learn_turn *turns;
    int64_t turn_count;
    bool with_reference, of_replies, clip_weight;
    bool truncated, begun; /* lag_truncated; not in the first epoch */
    float importance_cap, clip, clip_high, kl_coef, kl_low, kl_high;
};

/* ppo.ratio: sequence.  The mean over a reply's tokens of logp_new - logp_old, added in float64 in
 * their order. */
static status reply_ratios(void *context)
{
    const struct surrogate *s = context;
    TRY(token_arrays_download(s->tokens, TOKEN_LOGP, TOKEN_LSE));
    const float *logp = token_host(s->tokens, TOKEN_LOGP), *old = token_host(s->tokens, TOKEN_OLD);
    float *ratio = token_host(s->tokens, TOKEN_LOG_RATIO);
    for (int64_t i = 0, at = 0; i < s->turn_count; at += s->turns[i++].reply_count) {
        const int64_t count = s->turns[i].reply_count;
        const double tokens = (double)learned_count(&s->turns[i]);
        double sum = 0;
        for (int64_t t = 0; t < count; t++)
            if (!token_forced(s->turns[i].marks, t))
                sum += (double)logp[at + t] - (double)old[at + t];
        for (int64_t t = at; t < at + count; t++) ratio[t] = (float)(sum / tokens);
    }
    token_arrays_upload(s->tokens, TOKEN_LOG_RATIO, TOKEN_LOSS);
    return NULL;
}

/* The loss of some rows: see struct head_pass. */
static void surrogate_rows(void *context, int64_t first, int64_t rows)
{
    const struct surrogate *s = context;
    const struct token_arrays *t = s->tokens;
    const struct ppo_tokens ppo = {
        .tokens = rows,
        .logp_new = token_device(t, TOKEN_LOGP) + first,
        .logp_old = token_device(t, s->truncated && !s->begun ? TOKEN_LOGP : TOKEN_OLD) + first,
        .logp_behaviour = s->truncated ? token_device(t, TOKEN_BEHAVIOUR) + first : NULL,
        .importance_cap = s->importance_cap,
        .log_ratio = s->of_replies ? token_device(t, TOKEN_LOG_RATIO) + first : NULL,
        .logp_ref = s->with_reference ? token_device(t, TOKEN_REF) + first : NULL,
        .advantage = token_device(t, TOKEN_ADVANTAGE) + first,
        .weight = token_device(t, TOKEN_WEIGHT) + first,
        .clip_weight = s->clip_weight,
        .clip = s->clip,
        .clip_high = s->clip_high,
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
    /* Untruncated, the ratio is to the policy that sampled. */
    token_arrays_upload(&l->tokens, settings->lag_truncated ? TOKEN_BEHAVIOUR : TOKEN_OLD,
                        TOKEN_LOG_RATIO);
    struct surrogate surrogate = {
        .queue = l->queue,
        .tokens = &l->tokens,
        .turns = turns,
        .turn_count = n,
        .with_reference = turns[0].logp_ref != NULL,
        .of_replies = settings->ppo_ratio == PPO_RATIO_SEQUENCE,
        .clip_weight = settings->ppo_form == PPO_FORM_CISPO,
        .truncated = settings->lag_truncated,
        .begun = batch->begun,
        .importance_cap = (float)settings->lag_cap,
        .clip = (float)settings->clip,
        .clip_high = (float)(settings->clip_high > 0 ? settings->clip_high : settings->clip),
        .kl_coef = kl ? (float)settings->kl_coef : 0.0f,
        .kl_low = (float)settings->kl_bounds.low,
        .kl_high = (float)settings->kl_bounds.high};
    const struct head_pass pass = {.temperature = (float)settings->temperature,
                                   .entropy = true,
                                   .entropy_coef = (float)settings->entropy_coef,
                                   .all = surrogate.of_replies ? reply_ratios : NULL,
                                   .rows = surrogate_rows,
                                   .context = &surrogate};
    TRY(head_pass_run(l, &pass, leaf));
    TRY(model_backward(l->policy_run, NULL, leaf, &l->watermark));
    TRY(token_arrays_download(&l->tokens, TOKEN_LOSS, TOKEN_LSE));
    tokens_measure(&l->tokens, (double)batch->all_tokens, settings->entropy_coef, partial);
    if (settings->lag_truncated) importance_measure(l, batch, turns, n, partial);
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
