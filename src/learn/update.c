/* A whole PPO update: gathers the batch's turns in dialogue order, scales rewards, computes
 * advantages (the same on every learner), then takes ppo.epochs steps on its own slice. */
#include "src/base/memory.h"
#include "src/learn/learner.h"
#include "src/learn/schedule.h"
#include "src/reward/returns.h"
#include "src/reward/terms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What learners tell each other of a turn: fixed size, begins with its key. */
struct batch_item {
    struct turn_key key;
    int64_t reply_tokens, visible, salient;
    double terms[TERM_MAX]; /* raw */
    double kl_reward, value, special_mass, token_entropy, distinct_2, kl_sum;
    double scaled, return_, advantage, target;
    bool chosen, ended;
};

int64_t microbatch_first(const struct config *config, int64_t dialogues, int64_t microbatch)
{
    return microbatch * dialogues / config->learn.microbatches;
}

/* Distinct bigrams over bigrams, of token ids; 1 for a reply without any. */
static double distinct_bigrams(const int32_t *tokens, int64_t count)
{
    int64_t distinct = 0;
    for (int64_t i = 0; i + 1 < count; i++) {
        bool seen = false;
        for (int64_t j = 0; j < i && !seen; j++)
            seen = tokens[j] == tokens[i] && tokens[j + 1] == tokens[i + 1];
        distinct += !seen;
    }
    return count < 2 ? 1 : (double)distinct / (double)(count - 1);
}

static void item_fill(const struct learner *l, const struct experience *experience,
                      const struct experience_turn *turn, const struct learn_turn *learn,
                      double value, struct batch_item *item)
{
    *item =
        (struct batch_item){.key = {experience->dialogue, turn->turn + 1, turn->candidate},
                            .reply_tokens = turn->reply_length,
                            .visible = turn->visible_count,
                            .salient = turn->salient_count,
                            .value = value,
                            .special_mass = turn->extra[0],
                            .token_entropy = turn->extra[1],
                            .distinct_2 = distinct_bigrams(turn->reply_tokens, turn->reply_length),
                            .chosen = turn->chosen,
                            .ended = turn->ended};
    memcpy(item->terms, turn->terms, sizeof item->terms);
    if (!learn->logp_ref) return;
    for (int32_t t = 0; t < turn->reply_length; t++)
        item->kl_sum += (double)learn->logp_old[t] - (double)learn->logp_ref[t];
    if (l->config->kl.in == KL_IN_REWARD)
        item->kl_reward =
            reward_kl(&l->reward, learn->logp_old, learn->logp_ref, turn->reply_length);
}

/* Running statistics, scaled rewards, returns and advantages of the whole batch. */
static status items_score(struct learner *l, struct batch_item *items, int64_t count,
                          double divisors[TERM_MAX])
{
    const struct config *config = l->config;
    const size_t n = (size_t)count + 1;
    struct running_item *running = memory_allocate(n * sizeof *running);
    struct return_item *returns = memory_allocate(n * sizeof *returns);
    struct advantage_item *advantages = memory_allocate(n * sizeof *advantages);
    for (int64_t i = 0; i < count; i++) {
        running[i].key = items[i].key;
        memcpy(running[i].value, items[i].terms, sizeof running[i].value);
    }
    status s = running_add(&l->reward, &l->statistics, running, count);
    running_divisors(&l->reward, &l->statistics, divisors);
    for (int64_t i = 0; i < count; i++) {
        items[i].scaled =
            reward_combine(&l->reward, items[i].terms, divisors, items[i].reply_tokens);
        returns[i] = (struct return_item){.key = items[i].key,
                                          .reward = items[i].scaled - items[i].kl_reward,
                                          .chosen = items[i].chosen};
    }
    if (!s) s = returns_compute(&l->reward, returns, count);
    for (int64_t i = 0; i < count; i++)
        advantages[i] = (struct advantage_item){.key = items[i].key,
                                                .reward = returns[i].reward,
                                                .return_ = returns[i].result,
                                                .value = items[i].value,
                                                .chosen = items[i].chosen};
    if (!s) s = advantage_compute(config, advantages, count);
    for (int64_t i = 0; i < count; i++) {
        items[i].return_ = returns[i].result;
        items[i].advantage = advantages[i].advantage;
        items[i].target = advantages[i].target;
        if (!s && !(isfinite(items[i].advantage) && isfinite(items[i].target)))
            s = ERROR(STATUS_INTERNAL, "dialogue %lld turn %d candidate %d: advantage %g",
                      (long long)items[i].key.dialogue, items[i].key.turn, items[i].key.candidate,
                      items[i].advantage);
    }
    free(running);
    free(returns);
    free(advantages);
    return s;
}

static status items_measure(const struct learner *l, const struct batch_item *items, int64_t count,
                            const double divisors[TERM_MAX], struct update_metrics *out)
{
    struct advantage_item *values = memory_allocate(((size_t)count + 1) * sizeof *values);
    const double share = count ? 1.0 / (double)count : 0;
    double squares = 0, mean = 0;
    out->turns = count;
    for (int64_t i = 0; i < count; i++) {
        const struct batch_item *item = &items[i];
        const double raw = reward_combine(&l->reward, item->terms, NULL, item->reply_tokens);
        values[i] =
            (struct advantage_item){.key = item->key, .value = item->value, .target = item->target};
        out->tokens += item->reply_tokens;
        out->reward += share * raw;
        out->reward_scaled += share * item->scaled;
        for (int64_t t = 0; t < l->reward.term_count; t++) {
            out->terms[t] += share * item->terms[t];
            out->scaled[t] += share * item->terms[t] / divisors[t];
        }
        out->salient_share +=
            item->visible ? share * (double)item->salient / (double)item->visible : 0;
        out->special_mass += share * item->special_mass;
        out->reply_length += share * (double)item->reply_tokens;
        out->end_rate += share * item->ended;
        out->salient_empty += item->salient == 0;
        out->distinct_2 += share * item->distinct_2;
        out->token_entropy += share * item->token_entropy;
        out->kl_behaviour += item->kl_sum;
        mean += share * item->advantage;
        squares += share * item->advantage * item->advantage;
    }
    if (out->tokens) out->kl_behaviour /= (double)out->tokens;
    out->advantage_deviation = sqrt(fmax(0, squares - mean * mean));
    status s = share_within(items, sizeof *items, offsetof(struct batch_item, scaled), count,
                            &out->reward_within_share);
    for (int64_t t = 0; !s && t < l->reward.term_count; t++)
        s = share_within(items, sizeof *items,
                         offsetof(struct batch_item, terms) + (size_t)t * sizeof items->terms[t],
                         count, &out->within_share[t]);
    if (!s) s = critic_explained_variance(values, count, &out->explained_variance);
    free(values);
    return s;
}

static status epochs_run(struct learner *l, const struct learn_batch *batch, int64_t step,
                         struct update_metrics *out)
{
    const struct config *config = l->config;
    const double policy_lr = schedule_rate(config->policy.schedule, config->policy.lr,
                                           config->policy.warmup, step, config->train.updates);
    const double critic_lr = schedule_rate(config->policy.schedule, config->critic.lr,
                                           config->policy.warmup, step, config->train.updates);
    for (int64_t epoch = 0; epoch < config->ppo.epochs; epoch++) {
        if (!(l->critic && step < config->critic.warmup)) {
            TRY(ppo_policy_step(l, batch, policy_lr, &out->policy));
            if (!epoch) out->first_ratio_deviation = out->policy.ratio_deviation;
        }
        if (l->critic) TRY(ppo_critic_step(l, batch, critic_lr, &out->critic));
    }
    return NULL;
}

/* Every turn has the terms that are summed here. */
static status terms_check(const struct reward_settings *reward,
                          struct experience *const *experiences, int64_t count)
{
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++)
            if (experiences[e]->turns[k].term_count != reward->term_count)
                FAIL(STATUS_INTERNAL, "dialogue %lld: a reply with %d terms, %lld are summed here",
                     (long long)experiences[e]->dialogue, experiences[e]->turns[k].term_count,
                     (long long)reward->term_count);
    return NULL;
}

/* The slice's turns as learn_turns; logp_ref points into refs. */
static int64_t slice_turns(struct experience *const *experiences, int64_t count,
                           struct learn_turn *turns, float *refs)
{
    int64_t n = 0;
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++) {
            const struct experience_turn *turn = &experiences[e]->turns[k];
            turns[n++] = (struct learn_turn){.history = turn->history_tokens,
                                             .reply = turn->reply_tokens,
                                             .history_count = turn->history_length,
                                             .reply_count = turn->reply_length,
                                             .logp_old = turn->logp,
                                             .logp_ref = refs};
            if (refs) refs += turn->reply_length;
        }
    return n;
}

/* begin[i] of this learner's microbatches, by the place of each experience in the batch. */
static void slice_cut(const struct learner *l, struct experience *const *experiences, int64_t count,
                      int64_t dialogues, int64_t *begin)
{
    const int64_t mine = learner_microbatches(l), first = mine * l->exchange.rank;
    const int64_t base = microbatch_first(l->config, dialogues, first);
    int64_t at = 0, place = 0;
    begin[0] = 0;
    for (int64_t i = 0; i < mine; i++) {
        const int64_t end = microbatch_first(l->config, dialogues, first + i + 1) - base;
        for (; place < end && place < count; place++) at += experiences[place]->turn_count;
        begin[i + 1] = at;
    }
}

status ppo_update(struct learner *l, struct experience *const *experiences, int64_t count,
                  int64_t dialogues, int64_t step, struct update_metrics *out)
{
    memset(out, 0, sizeof *out);
    int64_t turn_count = 0, tokens = 0;
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, turn_count++)
            tokens += experiences[e]->turns[k].reply_length;
    const size_t n = (size_t)turn_count + 1;
    struct learn_turn *turns = memory_allocate(n * sizeof *turns);
    float **logp = memory_allocate(n * sizeof *logp);
    float *refs = l->reference ? memory_allocate((size_t)tokens * sizeof *refs + 4) : NULL;
    double *values = memory_allocate(n * sizeof *values);
    struct batch_item *mine = memory_allocate(n * sizeof *mine);
    int64_t *begin = memory_allocate((size_t)(learner_microbatches(l) + 1) * sizeof *begin);
    void *all = NULL;
    size_t bytes = 0;

    slice_turns(experiences, count, turns, refs);
    for (int64_t i = 0; i < turn_count; i++) logp[i] = turns[i].logp_ref;
    status s = terms_check(&l->reward, experiences, count);
    if (!s && refs) s = learner_logp(l, l->reference_run, turns, turn_count, logp);
    if (!s && l->critic) s = learner_values(l, turns, turn_count, values);
    for (int64_t e = 0, i = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, i++)
            item_fill(l, experiences[e], &experiences[e]->turns[k], &turns[i], values[i], &mine[i]);
    if (!s)
        s = l->exchange.gather(l->exchange.context, mine, (size_t)turn_count * sizeof *mine, &all,
                               &bytes);
    if (!s) {
        struct batch_item *items = all;
        const int64_t item_count = (int64_t)(bytes / sizeof *items);
        double divisors[TERM_MAX];
        s = items_score(l, items, item_count, divisors);
        if (!s) s = items_measure(l, items, item_count, divisors, out);
        /* My own turns lie together, in the same order. */
        int64_t from = 0;
        while (turn_count && from < item_count &&
               memcmp(&items[from].key, &mine[0].key, sizeof mine[0].key) != 0)
            from++;
        for (int64_t i = 0; !s && i < turn_count; i++) {
            turns[i].advantage = items[from + i].advantage;
            turns[i].target = items[from + i].target;
        }
    }
    if (!s) {
        slice_cut(l, experiences, count, dialogues, begin);
        const struct learn_batch batch = {.turns = turns,
                                          .turn_count = turn_count,
                                          .begin = begin,
                                          .all_tokens = out->tokens ? out->tokens : 1,
                                          .all_turns = out->turns ? out->turns : 1};
        s = epochs_run(l, &batch, step, out);
        if (!s) s = model_refresh_update(l->policy, step + 1);
        if (!s && l->critic) s = critic_refresh_update(l->critic, step + 1);
    }
    free(all);
    free(begin);
    free(mine);
    free(values);
    free(refs);
    free(logp);
    free(turns);
    return s;
}
