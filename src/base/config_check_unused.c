/* Keys that would do nothing beside others; see config_check_unused in config.h. */
#include "src/base/config_check.h"
#include "src/base/config_keys.h"

#include <string.h>

/* An empty list is attention alone. */
static bool attention_listed(const struct config *config)
{
    const bool *listed = config->reward.sources.listed;
    for (int i = 0; i < SOURCE_COUNT; i++)
        if (listed[i]) return listed[SOURCE_ATTENTION];
    return true;
}

/* Keys that only the source attention reads, each with a value that asks for nothing, in whatever
 * list of sources; NULL: there is none but the default. */
static const struct {
    const char *key, *nothing;
} of_attention[] = {{"reward.alpha", "0"},      {"reward.beta", "0"},     {"reward.gamma", "0"},
                    {"reward.gamma_self", "0"}, {"coverage.form", NULL},  {"focus.form", NULL},
                    {"floor.form", "none"},     {"floor.delta0", NULL},   {"floor.kappa", NULL},
                    {"cot.block_form", NULL},   {"cot.self_weight", NULL}};

/* Whether the key has the value, or where that is NULL its default in the task. */
static status has_value(const struct config *config, const struct config_key *key,
                        const char *value, bool *has)
{
    char assignment[80];
    struct config other;
    config_defaults(&other);
    other.task = config->task;
    if (!value)
        value = key->single_turn && config->task == TASK_SINGLE_TURN ? key->single_turn
                                                                     : key->default_text;
    snprintf(assignment, sizeof assignment, "%s=%s", key->name, value);
    TRY(config_set(&other, assignment));
    *has = config_value_equal(config, &other, key);
    return NULL;
}

static status check_attention(const struct config *config)
{
    if (attention_listed(config)) return NULL;
    for (size_t i = 0; i < sizeof of_attention / sizeof *of_attention; i++) {
        const struct config_key *key = config_key_find(of_attention[i].key);
        bool fine;
        TRY(has_value(config, key, NULL, &fine));
        if (!fine && of_attention[i].nothing)
            TRY(has_value(config, key, of_attention[i].nothing, &fine));
        if (!fine)
            FAIL(STATUS_INPUT,
                 "%s is of the source attention, which reward.sources does not list; leave it out, "
                 "or add attention:1",
                 key->name);
    }
    return NULL;
}

/* The listed source that gives no two replies the same number; NULL: there is none. */
static const char *continuous_source(const struct config *config)
{
    static const struct {
        int source;
        const char *name;
    } continuous[] = {{SOURCE_LOGPROB, "logprob"},
                      {SOURCE_SELF_CERTAINTY, "self_certainty"},
                      {SOURCE_ENTROPY, "entropy"},
                      {SOURCE_FITTED, "fitted"},
                      {SOURCE_MODEL, "model"}};
    const double *weight = config->reward.sources.weight;
    for (size_t i = 0; i < sizeof continuous / sizeof *continuous; i++)
        if (weight[continuous[i].source] != 0) return continuous[i].name;
    const bool listed = config->reward.sources.listed[SOURCE_ATTENTION];
    const bool weighs = attention_listed(config) && (!listed || weight[SOURCE_ATTENTION] != 0);
    return weighs && (config->reward.alpha != 0 || config->reward.beta != 0) ? "attention" : NULL;
}

static status check_filter(const struct config *config)
{
    const char *source = continuous_source(config);
    if (!config->group.filter || config->control == CONTROL_LENGTH || !source) return NULL;
    FAIL(STATUS_INPUT,
         "group.filter does nothing with the source %s, which gives no two replies the same "
         "reward; take sources that are right or wrong (verifier, majority, format), or leave it "
         "out",
         source);
}

static bool weighs_turns(const struct config *config)
{
    for (int64_t i = 0; i < config->turns.lambda_count; i++)
        if (config->turns.lambda[i] != 1) return true;
    return false;
}

static status check_group(const struct config *config)
{
    const bool group = config->advantage == ADVANTAGE_GROUP;
    if (!group && config->group.form != GROUP_RLOO)
        FAIL(STATUS_INPUT, "group.form does nothing without advantage: group");
    if (!group && config->group.filter)
        FAIL(STATUS_INPUT, "group.filter does nothing without advantage: group");
    if (!group) return NULL;
    if (weighs_turns(config))
        FAIL(STATUS_INPUT,
             "turns.lambda does nothing with advantage: group, which compares the replies to one "
             "history; take advantage: turn or gae, or leave turns.lambda out");
    if (config->turns.discount != 1)
        FAIL(STATUS_INPUT,
             "turns.discount does nothing with advantage: group, which compares the replies to one "
             "history; take advantage: turn or gae, or leave turns.discount at 1");
    return NULL;
}

/* Whether blocks before the last may have a reward. */
static bool blocks_rewarded(const struct config *config)
{
    const double *weight = config->reward.sources.weight;
    const bool attention =
        attention_listed(config) &&
        (!config->reward.sources.listed[SOURCE_ATTENTION] || weight[SOURCE_ATTENTION] != 0);
    return attention || weight[SOURCE_PLUGIN] != 0 || weight[SOURCE_COMMAND] != 0 ||
           config->control == CONTROL_LENGTH || config->reward.overlong > 0 ||
           (config->kl.in == KL_IN_REWARD && config->kl.coef > 0);
}

static status check_depth(const struct config *config)
{
    if (config->task != TASK_REASONING || !config->cot.depth_lambda_count) return NULL;
    if (config->advantage == ADVANTAGE_GROUP)
        FAIL(STATUS_INPUT, "cot.depth_lambda does nothing with advantage: group, which adds a "
                           "reply's blocks: leave it out, or take advantage: turn or gae");
    if (!blocks_rewarded(config))
        FAIL(STATUS_INPUT, "cot.depth_lambda does nothing with sources that reward whole replies, "
                           "in their last block: leave it out, or list attention");
    return NULL;
}

static status check_reference(const struct config *config)
{
    if (config->reference.every == 0 || config->reference.every < config->train.updates)
        return NULL;
    FAIL(STATUS_INPUT,
         "reference.every: %lld does nothing within train.updates: %lld; lower it, or leave it out",
         (long long)config->reference.every, (long long)config->train.updates);
}

static status check_audit(const struct config *config)
{
    struct config defaults;
    config_defaults(&defaults);
    const char *key = config->audit.judge != defaults.audit.judge     ? "audit.judge"
                      : config->audit.action != defaults.audit.action ? "audit.action"
                                                                      : NULL;
    /* audit.every: 0, where it is said, switches off what a file asks for. */
    const bool off = config->given[config_key_find("audit.every") - config_keys];
    if (config->audit.every == 0 && key && !off)
        FAIL(STATUS_INPUT,
             "%s does nothing without audit.every, the updates between audits; give that, or leave "
             "it out",
             key);
    if (config->audit.every > config->train.updates)
        FAIL(STATUS_INPUT,
             "audit.every: %lld does nothing within train.updates: %lld; lower it, or leave it out",
             (long long)config->audit.every, (long long)config->train.updates);
    if (config->audit.every > 0 && config->audit.judge == SOURCE_CONSTANT)
        FAIL(STATUS_INPUT,
             "audit.judge: constant says the same of every reply, so that no audit can alarm; name "
             "a source that knows what a good reply is, like verifier, gold or command");
    return NULL;
}

static status check_speakers(const struct config *config)
{
    if (config->attention.speakers && config->task == TASK_REASONING)
        FAIL(STATUS_INPUT,
             "attention.speakers does nothing in task: reasoning, where one user asks "
             "one question");
    return NULL;
}

static status check_interrupt(const struct config *config)
{
    if (config->rollout.interrupt == 0) return NULL;
    if (config->task != TASK_DIALOGUE)
        FAIL(STATUS_INPUT,
             "rollout.interrupt needs task: dialogue, where later turns are of the same return; "
             "leave it out");
    if (config->rollout.turns == 1)
        FAIL(STATUS_INPUT, "rollout.interrupt does nothing to a dialogue with rollout.turns: 1, "
                           "where no user goes on; raise that, or leave it out");
    if (config->rollout.max_new_tokens == 1)
        FAIL(STATUS_INPUT, "rollout.interrupt does nothing with rollout.max_new_tokens: 1: there "
                           "is no step before the last");
    return NULL;
}

static status check_lag_cap(const struct config *config)
{
    bool fine = config_lag_truncated(config);
    if (!fine) TRY(has_value(config, config_key_find("ppo.lag_cap"), NULL, &fine));
    if (fine) return NULL;
    FAIL(STATUS_INPUT, "ppo.lag_cap does nothing without ppo.lag_correction: truncated");
}

status config_check_unused(const struct config *config)
{
    TRY(check_attention(config));
    TRY(check_group(config));
    TRY(check_filter(config));
    TRY(check_reference(config));
    TRY(check_lag_cap(config));
    TRY(check_interrupt(config));
    TRY(check_speakers(config));
    TRY(check_depth(config));
    return check_audit(config);
}
