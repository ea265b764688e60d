/* Options of learning that would do nothing, or cannot be right, beside others; see
 * config_check.h. */
#include "src/base/config_check.h"

static status check_group(const struct config *config)
{
    if (config->returns.center && config->group.form != GROUP_NONE)
        FAIL(STATUS_INPUT,
             "returns.center does nothing with advantage: group, whose baseline takes off what "
             "all rewards have in common; take advantage: turn or gae");
    if (config->group.filter && config->kl.in == KL_IN_REWARD && config->kl.coef > 0)
        FAIL(STATUS_INPUT,
             "group.filter does nothing with kl.in: reward: no two replies' rewards are equal "
             "then; take kl.in: loss");
    return NULL;
}

bool config_lag_truncated(const struct config *config)
{
    const int correction = config->ppo.lag_correction;
    return correction == LAG_CORRECTION_TRUNCATED ||
           (correction == LAG_CORRECTION_AUTO && config->pipeline.lag >= 2);
}

/* The first step after the weights that sampled has a ratio of 1. */
static status check_ratio(const struct config *config)
{
    const char *key = config->ppo.clip_high > 0                 ? "ppo.clip_high"
                      : config->ppo.ratio == PPO_RATIO_SEQUENCE ? "ppo.ratio: sequence"
                      : config->ppo.form == PPO_FORM_CISPO      ? "ppo.form: cispo"
                                                                : NULL;
    const bool lag_truncated = config_lag_truncated(config);
    if (config->ppo.lag_correction == LAG_CORRECTION_TRUNCATED && config->pipeline.lag == 0)
        FAIL(STATUS_INPUT,
             "ppo.lag_correction: truncated does nothing with pipeline.lag: 0: every weight is 1");
    if (lag_truncated && config->ppo.ratio == PPO_RATIO_SEQUENCE)
        FAIL(STATUS_INPUT,
             "ppo.ratio: sequence has no truncated weights, which are of tokens; take ratio: token "
             "or ppo.lag_correction: none");
    if (key && config->ppo.epochs == 1 && lag_truncated)
        FAIL(STATUS_INPUT,
             "%s does nothing with ppo.epochs: 1 and truncated weights: every ratio is 1 then; "
             "take ppo.lag_correction: none",
             key);
    if (key && config->ppo.epochs == 1 && config->pipeline.lag == 0)
        FAIL(STATUS_INPUT,
             "%s does nothing with ppo.epochs: 1 and pipeline.lag: 0: every ratio is 1 then", key);
    return NULL;
}

static status check_reference(const struct config *config)
{
    if (config->reference.every == 0) return NULL;
    if (config->kl.coef == 0) FAIL(STATUS_INPUT, "reference.every does nothing with kl.coef: 0");
    if (config->model.reference_path[0])
        FAIL(STATUS_INPUT,
             "reference.every makes the reference the policy, but model.reference_path names a "
             "model of its own; leave one out");
    if (config->scorer == SCORER_FROZEN)
        FAIL(STATUS_INPUT,
             "reference.every moves the reference, and scorer: frozen reads one that stays; take "
             "scorer: live or reference.every: 0");
    return NULL;
}

status config_check_learning(const struct config *config)
{
    if (config->advantage == ADVANTAGE_GROUP) TRY(check_group(config));
    TRY(check_ratio(config));
    TRY(check_reference(config));
    if (config->credit.form != CREDIT_UNIFORM && config->rollout.max_new_tokens == 1)
        FAIL(STATUS_INPUT,
             "credit.form does nothing with rollout.max_new_tokens: 1: a token has no other to "
             "share with");
    if (config->reward.overlong > 0 && config->control == CONTROL_LENGTH)
        FAIL(STATUS_INPUT,
             "reward.overlong does nothing with control: length, which is the whole reward");
    return NULL;
}
