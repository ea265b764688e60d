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
    struct reward_terms terms;
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

static void item_fill(const struct config *config, const struct experience *experience,
                      const struct experience_turn *turn, const struct learn_turn *learn,
                      double value, struct batch_item *item)
{
    *item = (struct batch_item){
        .key = {experience->dialogue, turn->turn + 1, turn->candidate},
        .reply_tokens = turn->reply_length,
        .visible = turn->visible_count,
        .salient = turn->salient_count,
        .terms = {turn->coverage, turn->focus, turn->repetition_history, turn->repetition_self},
        .value = value,
        .special_mass = turn->extra[0],
        .token_entropy = turn->extra[1],
        .distinct_2 = distinct_bigrams(turn->reply_tokens, turn->reply_length),
        .chosen = turn->chosen,
        .ended = turn->ended};
    if (!learn->logp_ref) return;
    for (int32_t t = 0; t < turn->reply_length; t++)
        item->kl_sum += (double)learn->logp_old[t] - (double)learn->logp_ref[t];
    if (config->kl.in == KL_IN_REWARD)
        item->kl_reward = reward_kl(config, learn->logp_old, learn->logp_ref, turn->reply_length);
}

/* Running statistics, scaled rewards, returns and advantages of the whole batch. */
static status items_judge(struct learner *l, struct batch_item *items, int64_t count,
                          double divisors[TERM_COUNT])
{
    const struct config *config = l->config;
    const size_t n = (size_t)count + 1;
    struct running_item *running = memory_allocate(n * sizeof *running);
    struct return_item *returns = memory_allocate(n * sizeof *returns);
    struct advantage_item *advantages = memory_allocate(n * sizeof *advantages);
    for (int64_t i = 0; i < count; i++)
        running[i] = (struct running_item){items[i].key, items[i].terms};
    status s = running_add(&l->statistics, running, count);
    running_divisors(&l->statistics, config->reward.scale, divisors);
    for (int64_t i = 0; i < count; i++) {
        items[i].scaled = reward_combine(config, &items[i].terms, divisors, items[i].reply_tokens);
        returns[i] = (struct return_item){.key = items[i].key,
                                          .reward = items[i].scaled - items[i].kl_reward,
                                          .chosen = items[i].chosen};
    }
    if (!s) s = returns_compute(config, returns, count);
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
                            const double divisors[TERM_COUNT], struct update_metrics *out)
{
    const struct config *config = l->config;
    const size_t n = (size_t)count + 1;
    struct running_item *running = memory_allocate(n * sizeof *running);
    struct running_item *rewards = memory_allocate(n * sizeof *rewards);
    struct advantage_item *values = memory_allocate(n * sizeof *values);
    const double share = count ? 1.0 / (double)count : 0;
    double squares = 0, mean = 0;
    out->turns = count;
    for (int64_t i = 0; i < count; i++) {
        const struct batch_item *item = &items[i];
        const double raw = reward_combine(config, &item->terms, NULL, item->reply_tokens);
        running[i] = (struct running_item){item->key, item->terms};
        rewards[i] = (struct running_item){.key = item->key, .terms = {.coverage = item->scaled}};
        values[i] =
            (struct advantage_item){.key = item->key, .value = item->value, .target = item->target};
        out->tokens += item->reply_tokens;
        out->reward += share * raw;
        out->scaled_reward += share * item->scaled;
        for (int t = 0; t < TERM_COUNT; t++) {
            const double term = reward_terms_get(&item->terms, (enum reward_term)t);
            out->terms[t] += share * term;
            out->scaled[t] += share * term / divisors[t];
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
    double reward_share[TERM_COUNT];
    status s = terms_within_share(running, count, out->within_share);
    if (!s) s = terms_within_share(rewards, count, reward_share);
    if (!s) out->reward_within_share = reward_share[TERM_COVERAGE];
    if (!s) s = critic_explained_variance(values, count, &out->explained_variance);
    free(running);
    free(rewards);
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
    status s = NULL;
    if (refs) s = learner_logp(l, l->reference_run, turns, turn_count, logp);
    if (!s && l->critic) s = learner_values(l, turns, turn_count, values);
    for (int64_t e = 0, i = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, i++)
            item_fill(l->config, experiences[e], &experiences[e]->turns[k], &turns[i], values[i],
                      &mine[i]);
    if (!s)
        s = l->exchange.gather(l->exchange.context, mine, (size_t)turn_count * sizeof *mine, &all,
                               &bytes);
    if (!s) {
        struct batch_item *items = all;
        const int64_t item_count = (int64_t)(bytes / sizeof *items);
        double divisors[TERM_COUNT];
        s = items_judge(l, items, item_count, divisors);
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
