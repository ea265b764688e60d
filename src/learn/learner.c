/* One learner's models and memory, and what it asks them without learning; see learner.h. */
#include "src/learn/learner.h"

#include "src/base/memory.h"
#include "src/learn/value_pass.h"
#include "src/model/adapted.h"

#include <stdlib.h>
#include <string.h>

int64_t learner_microbatches(const struct learner *learner)
{
    return learner->settings.microbatches / learner->exchange.count;
}

int64_t learner_tokens_computed(const struct learner *l)
{
    return model_run_tokens(l->policy_run);
}

int64_t learner_tokens_pairs(const struct learner *l, const struct packed_batch *packed)
{
    return packed->pair_tokens - (l->causal ? packed->batch.replies : 0);
}

/* Gives it out, or frees it for an error. */
static status learner_end(struct learner *l, status s, struct learner **out)
{
    if (s) {
        learner_free(l);
        return s;
    }
    *out = l;
    return NULL;
}

static status watch_open(struct learner *l)
{
    l->watched_critic = l->watched_base = -1;
    TRY(weights_watch_open(l->queue, l->settings.replica_check > 0, &l->watch));
    const struct parameters *policy = l->policy_parameters;
    l->watched_policy = weights_watch_add(&l->watch, "policy", policy->values, policy->size);
    if (!model_base(l->policy)) return NULL;
    const struct parameters *base = model_parameters(model_base(l->policy));
    l->watched_base = weights_watch_add(&l->watch, "adapters' base", base->values, base->size);
    return NULL;
}

void learner_count_skip(struct learner *l, bool skipped)
{
    l->skips.total += skipped;
    l->skips.in_row = skipped ? l->skips.in_row + 1 : 0;
}

void learner_before_change(const struct learner *l)
{
    if (l->before_change) l->before_change(l->change_context);
}

status learner_policy_hash(struct learner *l, char text[17])
{
    const struct watched *policy = &l->watch.list[l->watched_policy];
    uint64_t hash = policy->hash;
    if (!l->watch.on || !policy->known)
        TRY(fingerprint_of(l->watch.fingerprint, policy->values, 0, policy->size, &hash));
    fingerprint_text(hash, text);
    return NULL;
}

/* What a learner of any kind has: the optimizer and gradients of `policy`. */
static status learner_begin(const struct learn_settings *settings,
                            const struct learner_exchange *exchange, struct model *policy,
                            struct learner **out)
{
    struct learner *l = *out = memory_allocate(sizeof *l);
    *l = (struct learner){
        .settings = *settings,
        .table = statistics_of(model_shape(policy), settings->statistics),
        .exchange = *exchange,
        .causal = model_shape_is_causal(model_shape(policy)),
        .queue = model_queue(policy),
        .policy = policy,
        .policy_parameters = model_trained(policy),
        .share = {exchange->rank, exchange->count, optimizer_parts(settings->microbatches)},
        .tokens = {.queue = model_queue(policy)}};
    const int64_t size = l->policy_parameters->size;
    TRY(watch_open(l));
    TRY(optimizer_create(l->queue, size, &l->share, settings->clip_norm, &l->policy_optimizer));
    return gradient_tree_create(l->queue, size, learner_microbatches(l), &l->policy_tree);
}

static status critic_open(struct learner *l)
{
    struct model *policy = l->policy;
    TRY(model_base(policy) ? value_model_create_adapted(policy, &l->critic)
                           : value_model_create(l->queue, model_shape(policy), true, &l->critic));
    TRY(value_model_start_from(l->critic, policy));
    l->critic_parameters = value_model_parameters(l->critic);
    l->watched_critic = weights_watch_add(&l->watch, "critic", l->critic_parameters->values,
                                          l->critic_parameters->size);
    const int64_t size = l->critic_parameters->size;
    TRY(optimizer_create(l->queue, size, &l->share, l->settings.clip_norm, &l->critic_optimizer));
    return gradient_tree_create(l->queue, size, learner_microbatches(l), &l->critic_tree);
}

status learner_create(const struct learn_settings *settings,
                      const struct learner_exchange *exchange, struct model *policy,
                      struct model *reference, bool with_critic, struct learner **out)
{
    struct learner *l;
    status s = learner_begin(settings, exchange, policy, &l);
    l->reference = reference;
    if (!s) s = model_run_create(policy, &l->policy_run);
    if (!s && reference) s = model_run_create(reference, &l->reference_run);
    if (!s && with_critic) s = critic_open(l);
    return learner_end(l, s, out);
}

status learner_create_reward_model(const struct learn_settings *settings,
                                   const struct learner_exchange *exchange,
                                   struct value_model *reward_model, struct learner **out)
{
    struct learner *l;
    status s = learner_begin(settings, exchange, value_model_trunk(reward_model), &l);
    l->reward_model = reward_model;
    return learner_end(l, s, out);
}

void learner_free(struct learner *l)
{
    if (!l) return;
    token_arrays_release(&l->tokens);
    weights_watch_close(&l->watch);
    if (l->policy_run) model_run_destroy(l->policy_run);
    if (l->reference_run) model_run_destroy(l->reference_run);
    if (l->policy_optimizer) optimizer_free(l->policy_optimizer);
    if (l->critic_optimizer) optimizer_free(l->critic_optimizer);
    if (l->policy_tree) gradient_tree_free(l->policy_tree);
    if (l->critic_tree) gradient_tree_free(l->critic_tree);
    if (l->critic) value_model_destroy(l->critic);
    free(l);
}

enum model_keep learner_keep(const struct learner *l)
{
    return l->settings.recompute ? MODEL_KEEP_INPUTS : MODEL_KEEP_ALL;
}

status learner_reserve(struct learner *l, const struct learn_limits *limits)
{
    struct learn_limits read = *limits; /* spans with what was said before them */
    if (limits->spans > 1) {
        read.turns *= limits->spans;
        read.longest_history += limits->longest_reply;
        read.cuts += limits->spans;
    }
    if (l->reward_model) {
        struct model_limits all = pack_limits(&l->settings, limits);
        all.keep = learner_keep(l);
        return value_model_reserve(l->reward_model, &all);
    }
    struct model_limits pass = pack_limits(&l->settings, l->settings.reencode ? &read : limits);
    TRY(token_arrays_reserve(&l->tokens, pass.reply_tokens));
    if (l->reference_run) TRY(model_run_reserve(l->reference_run, &pass));
    pass.keep = learner_keep(l);
    TRY(model_run_reserve(l->policy_run, &pass));
    if (!l->critic) return NULL;
    pass = pack_limits(&l->settings, &read);
    pass.keep = learner_keep(l);
    return value_model_reserve(l->critic, &pass);
}

status learner_logp(struct learner *l, struct model_run *run, const struct learn_turn *turns,
                    int64_t count, float *const *logp)
{
    for (int64_t at = 0; at < count;) {
        const int64_t n = pack_chunk(&l->settings, l->causal, 1, turns + at, count - at);
        struct packed_batch packed;
        packed_batch_make(&packed, turns + at, n);
        status s = NULL;
        if (packed.tokens) {
            s = token_arrays_begin(&l->tokens, packed.tokens);
            if (!s) s = model_forward(run, &packed.batch, MODEL_KEEP_NOTHING, 0);
            if (!s)
                s = model_run_logp(run, (float)l->settings.temperature,
                                   token_device(&l->tokens, TOKEN_LOGP), NULL, NULL, NULL);
            if (!s) s = token_arrays_download(&l->tokens, TOKEN_LOGP, TOKEN_LSE);
        }
        const float *from = packed.tokens ? token_host(&l->tokens, TOKEN_LOGP) : NULL;
        for (int64_t i = 0; !s && i < n; i++) {
            if (!turns[at + i].reply_count) continue;
            memcpy(logp[at + i], from, (size_t)turns[at + i].reply_count * sizeof *from);
            from += turns[at + i].reply_count;
        }
        packed_batch_free(&packed);
        if (s) return s;
        at += n;
    }
    return NULL;
}

status learner_move_reference(struct learner *l, int64_t updates)
{
    const struct parameters *from = l->policy_parameters, *to = model_trained(l->reference);
    if (to->size != from->size)
        FAIL(STATUS_INTERNAL, "the reference has %lld parameters, the policy %lld",
             (long long)to->size, (long long)from->size);
    learner_before_change(l);
    l->queue->op->copy(l->queue, to->values, from->values, (size_t)from->size * sizeof(float));
    return model_refresh_update(l->reference, updates);
}

status learner_values(struct learner *l, const struct learn_turn *turns, int64_t count,
                      double *values)
{
    struct value_model *model = l->reward_model ? l->reward_model : l->critic;
    for (int64_t at = 0; at < count;) {
        const int64_t n = pack_chunk(&l->settings, l->causal, 1, turns + at, count - at);
        struct value_pass pass;
        status s = value_pass_forward(&pass, model, turns + at, n, MODEL_KEEP_NOTHING);
        for (int64_t i = 0; !s && i < n; i++) values[at + i] = value_pass_of(&pass, i);
        value_pass_free(&pass);
        if (s) return s;
        at += n;
    }
    return NULL;
}
