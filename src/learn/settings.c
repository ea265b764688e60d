/* The keys of learning; see settings.h. */
#include "src/learn/settings.h"

#include "src/base/config.h"
#include "src/capture/statistics.h"
#include "src/reward/blocks.h"

static int64_t judge_of(const struct reward_settings *reward, int source)
{
    for (int64_t t = 0; t < reward->term_count; t++)
        if (reward_term_given(reward, t) && reward->terms[t].source == source) return t;
    return -1;
}

struct learn_settings learn_settings_of(const struct config *config)
{
    const struct reward_settings reward = reward_settings_of(config);
    const int64_t judge = judge_of(&reward, config->audit.judge);
    return (struct learn_settings){
        .reward = reward,
        .temperature = config->rollout.temperature > 0 ? config->rollout.temperature : 1,
        .advantage = config->advantage,
        .group_form = config->group.form,
        .critic_target = config->critic.target,
        .gae_lambda = config->gae.lambda,
        .whiten = config->ppo.whiten,
        .group_filter = config->group.filter,
        .center = config->returns.center,
        .credit_form = config->credit.form,
        .seed = config->seed,
        .epochs = config->ppo.epochs,
        .clip = config->ppo.clip,
        .clip_high = config->ppo.clip_high,
        .ppo_loss = config->ppo.loss,
        .ppo_ratio = config->ppo.ratio,
        .ppo_form = config->ppo.form,
        .max_new_tokens = config->rollout.max_new_tokens,
        .lag_truncated = config_lag_truncated(config),
        .lag_cap = config->ppo.lag_cap,
        .entropy_coef = config->entropy.coef,
        .reference_every = config->reference.every,
        .kl_in = config->kl.in,
        .kl_coef = config->kl.coef,
        .kl_bounds = kl_bounds_of(KL_K3, config->kl.clamp),
        .policy_lr = config->policy.lr,
        .critic_lr = config->critic.lr,
        .clip_norm = config->policy.clip_norm,
        .warmup = config->policy.warmup,
        .critic_warmup = config->critic.warmup,
        .updates = config->train.updates,
        .schedule = config->policy.schedule,
        .label_smoothing = config->sft.label_smoothing,
        .preference = {.margin = config->rm.margin,
                       .center = config->rm.center,
                       .smoothing = config->rm.smoothing},
        .align = {.weight = config->rm.align.weight,
                  .form = (enum alignment_form)config->rm.align.form,
                  .layers = config->rm.align.layers,
                  .seed = config->seed,
                  .control = config->rm.align.control},
        .captured_layers = config->attention.layers,
        .statistics = (config->attention.all_heads ? STATISTICS_OF_HEADS : 0) |
                      (config->history.summary ? STATISTICS_OF_SUMMARY : 0) |
                      (config->attention.speakers ? STATISTICS_OF_SPEAKERS : 0),
        .audit_every = judge < 0 ? 0 : config->audit.every,
        .audit_judge = judge,
        .microbatches = config->learn.microbatches,
        .reply_tokens = config->learn.reply_tokens,
        .history_tokens = config->learn.history_tokens,
        .recompute = config->learn.recompute,
        .replica_check = config->guard.replica_check,
        .gradient_norm_max = config->guard.gradient_norm_max,
        .reward_max = config->guard.reward_max,
        .reencode = config->task == TASK_REASONING && config->cot.history == COT_REENCODE,
    };
}

/* The most spans of a reply: blocks, or what a source of the user's may cut, down to tokens. */
static int64_t spans_most(const struct config *config)
{
    const int64_t reply = config->rollout.max_new_tokens;
    const double *weight = config->reward.sources.weight; /* of weight 0 a source cuts nothing */
    if (config->task == TASK_REASONING)
        return blocks_most(reply, config->cot.block, config->cot.depth_lambda_count > 0);
    return weight[SOURCE_PLUGIN] != 0 || weight[SOURCE_COMMAND] != 0 ? reply : 1;
}

struct learn_limits learn_limits_of(const struct config *config)
{
    const int64_t slots = config->history.summary ? config->history.summary_slots : 0;
    return (struct learn_limits){.spans = spans_most(config),
                                 .turns = config->rollout.dialogues * config->rollout.turns *
                                          config->rollout.candidates,
                                 .longest_history = config->history.max_tokens + slots,
                                 .cut_tokens = slots ? config->history.max_tokens : 0,
                                 .summary_slots = slots,
                                 .longest_reply = config->rollout.max_new_tokens,
                                 .cuts = 2 * config->rollout.turns};
}
