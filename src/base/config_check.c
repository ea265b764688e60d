/* Keys that contradict each other; see config.h. */
#include "src/base/config_check.h"
#include "src/base/config_keys.h"

#include <string.h>

static bool power_of_two(int64_t value)
{
    return value > 0 && !(value & (value - 1));
}

/* "1, 2 or 4": the divisors of a power of two. */
static void learners_allowed(int64_t microbatches, char out[128])
{
    size_t used = 0;
    for (int64_t n = 1; n <= microbatches; n *= 2)
        used += (size_t)snprintf(out + used, 128 - used, "%s%lld",
                                 n == 1              ? ""
                                 : n == microbatches ? " or "
                                                     : ", ",
                                 (long long)n);
}

/* Listed in reward.sources, or the judge of audits. */
static bool source_used(const struct config *config, int source)
{
    return config->reward.sources.listed[source] ||
           (config->audit.every > 0 && config->audit.judge == source);
}

static status sources_check(const struct config *config)
{
    const bool format = source_used(config, SOURCE_FORMAT);
    const bool fitted = source_used(config, SOURCE_FITTED);
    if (format && !config->reward.format[0])
        FAIL(STATUS_INPUT, "the source format looks for reward.format, a regular expression; "
                           "give one");
    if (!format && config->reward.format[0])
        FAIL(STATUS_INPUT, "reward.format is of the source format, which reward.sources does not "
                           "list");
    if (fitted && !config->reward.fit[0])
        FAIL(STATUS_INPUT, "the source fitted reads reward.fit, a fit.json of regard probe --fit; "
                           "give one");
    if (!fitted && config->reward.fit[0])
        FAIL(STATUS_INPUT,
             "reward.fit is of the source fitted, which reward.sources does not list");
    return NULL;
}

/* A source of reward and the key that says what it runs: neither without the other. */
static status own_source_check(const struct config *config, int source, const char *name,
                               const char *key, const char *value)
{
    const bool listed = config->reward.sources.listed[source];
    const bool used = source_used(config, source);
    if (used && !value[0])
        FAIL(STATUS_INPUT, "%s has %s, which needs %s", listed ? "reward.sources" : "audit.judge",
             name, key);
    if (!used && value[0])
        FAIL(STATUS_INPUT, "%s is given, but reward.sources has no %s; add %s:1", key, name, name);
    return NULL;
}

static status own_sources_check(const struct config *config)
{
    const char *command = config->reward.command;
    TRY(own_source_check(config, SOURCE_PLUGIN, "plugin", "reward.plugin", config->reward.plugin));
    TRY(own_source_check(config, SOURCE_MODEL, "model", "reward.model", config->reward.model));
    TRY(own_source_check(config, SOURCE_COMMAND, "command", "reward.command", command));
    if (strpbrk(command, "\n\r"))
        FAIL(STATUS_INPUT, "reward.command must be one line; put a longer script into a file");
    return NULL;
}

static status audit_check(const struct config *config)
{
    const int64_t dialogues = config->audit.every * config->rollout.dialogues;
    if (config->audit.every == 0) return NULL;
    if (config->audit.judge == SOURCE_ATTENTION)
        FAIL(STATUS_INPUT, "audit.judge: attention is no judge; name a source that knows what a "
                           "good reply is, like verifier, gold or command");
    if (dialogues < 5)
        FAIL(STATUS_INPUT,
             "audit.every x rollout.dialogues is %lld: an audit needs 5 dialogues to know an "
             "error; raise audit.every",
             (long long)dialogues);
    return NULL;
}

/* Keys that say nothing, or nothing yet defined, of blocks that are turns of their own. */
static status reencode_check(const struct config *config)
{
    struct config defaults;
    config_defaults(&defaults);
    if (config->cot.history != COT_REENCODE) return NULL;
    if (config->cot.self_weight != defaults.cot.self_weight)
        FAIL(STATUS_INPUT,
             "cot.self_weight does nothing with cot.history: reencode, where a row is "
             "the cross-attention over question and earlier blocks");
    if (config->cot.reason_tokens) FAIL(STATUS_INPUT, "cot.reason_tokens needs cot.history: joint");
    if (config->cot.depth_lambda_count)
        FAIL(STATUS_INPUT, "cot.depth_lambda needs cot.history: joint");
    if (config->attention.all_heads)
        FAIL(STATUS_INPUT, "attention.all_heads needs cot.history: joint");
    if (config->ppo.ratio != PPO_RATIO_TOKEN || config->ppo.loss == PPO_LOSS_SEQUENCE)
        FAIL(STATUS_INPUT,
             "ppo.ratio and ppo.loss: sequence need cot.history: joint, where a reply "
             "is one sequence");
    return NULL;
}

/* Keys that only task: reasoning has. */
static status cot_check(const struct config *config)
{
    struct config defaults;
    config_defaults(&defaults);
    if (config->task != TASK_REASONING &&
        memcmp(&config->cot, &defaults.cot, sizeof config->cot) != 0)
        FAIL(STATUS_INPUT, "keys of cot do nothing without task: reasoning");
    if (!config->cot.answer_marker[strspn(config->cot.answer_marker, " \n")])
        FAIL(STATUS_INPUT, "cot.answer_marker must hold more than spaces");
    return NULL;
}

/* What sft cuts into blocks is the assistant's. */
static status sft_check(const struct config *config)
{
    if (config->cot.history == COT_REENCODE && !strcmp(config->sft.role, "user"))
        FAIL(STATUS_INPUT, "cot.history: reencode cuts an assistant's replies into blocks; with "
                           "sft.role: user leave it out");
    if (config->sft.patience && (!config->eval.every || !config->data.valid[0]))
        FAIL(STATUS_INPUT, "sft.patience needs eval.every and data.valid");
    return NULL;
}

/* Keys of interaction distillation. */
static status align_check(const struct config *config)
{
    static const char *const keys[] = {"rm.align.weight", "rm.align.form", "rm.align.layers",
                                       "rm.align.teacher", "rm.align.control"};
    const bool interacts = config->rm.objective == RM_INTERACTION;
    const int control = config->rm.align.control;
    struct config defaults;
    config_defaults(&defaults);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct config_key *key = config_key_find(keys[i]);
        if (!interacts && !config_value_equal(config, &defaults, key))
            FAIL(STATUS_INPUT, "%s is of rm.objective: interaction; leave it out", keys[i]);
        if (control == ALIGN_PROBABILITY && (i == 1 || i == 2) &&
            !config_value_equal(config, &defaults, key))
            FAIL(STATUS_INPUT,
                 "%s does nothing with rm.align.control: probability, which reads no attention; "
                 "leave it out",
                 keys[i]);
    }
    if (!interacts || config->rm.align.weight == 0) return NULL;
    if (control == ALIGN_UNIFORM && config->rm.align.teacher[0])
        FAIL(STATUS_INPUT, "rm.align.teacher does nothing with rm.align.control: uniform; leave it "
                           "out");
    if (control != ALIGN_UNIFORM && !config->rm.align.teacher[0])
        FAIL(STATUS_INPUT,
             "rm.objective: interaction needs rm.align.teacher, the folder of a reward "
             "model of rm.objective: pair, or rm.align.weight: 0");
    return NULL;
}

/* What two scores' difference is, a logistic loss of each does not know. */
static status reward_check(const struct config *config)
{
    const double *unknown = config->rm.margin != 0   ? &config->rm.margin
                            : config->rm.center != 0 ? &config->rm.center
                                                     : NULL;
    if (config->task != TASK_DIALOGUE)
        FAIL(STATUS_INPUT, "reward reads a history and a reply to it: leave out task");
    const int objective = config->rm.objective;
    if (unknown && (objective == RM_ON_TOPIC || objective == RM_PAIR))
        FAIL(STATUS_INPUT, "rm.%s does nothing with rm.objective: %s; leave it out",
             unknown == &config->rm.margin ? "margin" : "center",
             objective == RM_PAIR ? "pair, which gives both replies one number"
                                  : "on_topic, which judges each reply by itself");
    if (config->rm.inspect)
        FAIL(STATUS_INPUT, "rm.inspect is of regard eval of a reward model; leave it out");
    if (config->rm.patience && (!config->eval.every || !config->data.valid[0]))
        FAIL(STATUS_INPUT, "rm.patience needs eval.every and data.valid");
    if (config->eval.encoder[0] || config->eval.on_topic[0])
        FAIL(
            STATUS_INPUT,
            "%s does nothing in reward, whose held-out metrics are of its own scores; leave it out",
            config->eval.encoder[0] ? "eval.encoder" : "eval.on_topic");
    return align_check(config);
}

/* Keys that train needs otherwise in task: reasoning. */
static status reasoning_check(const struct config *config)
{
    struct config defaults;
    config_defaults(&defaults);
    if (config->task != TASK_REASONING) return NULL;
    if (config->rollout.turns != 1)
        FAIL(STATUS_INPUT, "task: reasoning answers one question: set rollout.turns to 1, not %lld",
             (long long)config->rollout.turns);
    if (config->rollout.user != USER_REPLAY)
        FAIL(STATUS_INPUT, "task: reasoning has no user who goes on: leave out rollout.user");
    if (config->turns.lambda_count)
        FAIL(STATUS_INPUT, "turns.lambda does nothing in task: reasoning; cot.lambda_final weighs "
                           "the answer's block");
    /* The default asks for nothing that somebody wrote. */
    if (config->advantage == ADVANTAGE_GROUP && config->cot.lambda_final != 1 &&
        config->cot.lambda_final != defaults.cot.lambda_final)
        FAIL(STATUS_INPUT, "cot.lambda_final does nothing with advantage: group, which adds a "
                           "reply's blocks: leave it out, or take advantage: turn or gae");
    if (config->control == CONTROL_RANDOM_SALIENCE)
        FAIL(STATUS_INPUT, "control: random_salience draws no blocks' tokens; task: reasoning has "
                           "the controls shuffled and length");
    if (config->cot.reason_tokens >= config->rollout.max_new_tokens)
        FAIL(STATUS_INPUT, "cot.reason_tokens (%lld) must be below rollout.max_new_tokens (%lld)",
             (long long)config->cot.reason_tokens, (long long)config->rollout.max_new_tokens);
    return NULL;
}

/* What shortens histories where there is nothing to shorten, or nothing to do it by. */
static status history_check(const struct config *config, enum config_scope scope)
{
    struct config defaults;
    config_defaults(&defaults);
    if (!config->history.summary && config->history.summary_slots != defaults.history.summary_slots)
        FAIL(STATUS_INPUT, "history.summary_slots does nothing with history.summary: none");
    if (config->history.summary && scope == CONFIG_REWARD)
        FAIL(STATUS_INPUT, "history.summary is a policy's; regard reward reads what "
                           "history.max_tokens leaves: leave it none");
    if (config->history.summary == HISTORY_SUMMARY_LEARNED &&
        (config->adapter.rank || config->adapter.path[0]))
        FAIL(STATUS_INPUT, "history.summary: learned trains queries of the model itself, which "
                           "adapters leave as it is; set adapter.rank to 0");
    if (config->history.summary && config->single_turn.context == SINGLE_TURN_PROMPT)
        FAIL(STATUS_INPUT, "history.summary does nothing with single_turn.context: prompt, whose "
                           "history is its prompt");
    if (config->history.summary && config->task == TASK_REASONING)
        FAIL(STATUS_INPUT, "history.summary needs a task of dialogues; in task: reasoning blocks "
                           "follow the question");
    if (config->history.summary && config->rollout.user == USER_MODEL)
        FAIL(STATUS_INPUT, "history.summary is the policy's own reading of a dialogue; with "
                           "rollout.user: model leave it none");
    if (!config->history.prune) return NULL;
    if (config->single_turn.context == SINGLE_TURN_PROMPT)
        FAIL(STATUS_INPUT, "history.prune does nothing with single_turn.context: prompt, whose "
                           "history is its prompt");
    if (config->history.prune == HISTORY_PRUNE_MASS && config->task == TASK_REASONING)
        FAIL(STATUS_INPUT, "history.prune: mass does nothing in task: reasoning, where no reply "
                           "comes before the question's; take idf");
    return NULL;
}

static status device_check(const struct config *config, enum config_scope scope)
{
    struct config defaults;
    config_defaults(&defaults);
    const char *key = config->sleep.flops != defaults.sleep.flops           ? "sleep.flops"
                      : config->sleep.bandwidth != defaults.sleep.bandwidth ? "sleep.bandwidth"
                      : config->sleep.launch != defaults.sleep.launch       ? "sleep.launch"
                      : config->sleep.jitter != defaults.sleep.jitter       ? "sleep.jitter"
                                                                            : NULL;
    if (config->device == DEVICE_SLEEP && scope == CONFIG_INFERENCE)
        FAIL(STATUS_INPUT, "device: sleep computes nothing: it is for timing train, sft and reward "
                           "alone; take auto, cpu or cuda");
    if (config->device != DEVICE_SLEEP && key)
        FAIL(STATUS_INPUT, "%s does nothing without device: sleep; leave it out", key);
    if (config->precision == PRECISION_BF16 && config->device == DEVICE_CPU)
        FAIL(STATUS_INPUT, "precision: bf16 needs device: cuda; the CPU's is fp32");
    return NULL;
}

status config_check(const struct config *config, enum config_scope scope)
{
    TRY(history_check(config, scope));
    TRY(own_sources_check(config));
    TRY(reencode_check(config));
    if (strcmp(config->sft.role, "assistant") && strcmp(config->sft.role, "user"))
        FAIL(STATUS_INPUT, "sft.role must be assistant or user, not \"%s\"", config->sft.role);
    if (!power_of_two(config->learn.microbatches))
        FAIL(STATUS_INPUT, "learn.microbatches must be a power of two, not %lld",
             (long long)config->learn.microbatches);
    if (config->learn.microbatches % config->roles.learners) {
        char allowed[128];
        learners_allowed(config->learn.microbatches, allowed);
        FAIL(STATUS_INPUT, "roles.learners (%lld) must divide learn.microbatches (%lld): %s",
             (long long)config->roles.learners, (long long)config->learn.microbatches, allowed);
    }
    if (config->kl.estimator == KL_K1 && config->kl.in == KL_IN_LOSS)
        FAIL(STATUS_INPUT, "kl.estimator: k1 with kl.in: loss has no useful gradient; take "
                           "kl.estimator: k3 or kl.in: reward");
    TRY(device_check(config, scope));
    if (config->rounding == ROUNDING_STOCHASTIC && config->precision == PRECISION_FP32)
        FAIL(STATUS_INPUT, "rounding: stochastic rounds to bf16, but precision is fp32");
    TRY(sources_check(config));
    if (config->eval.history == EVAL_HISTORY_OWN && config->task == TASK_SINGLE_TURN &&
        config->single_turn.context == SINGLE_TURN_PROMPT)
        FAIL(STATUS_INPUT, "eval.history: own does nothing with single_turn.context: prompt, where "
                           "the model sees no earlier reply");
    if (config->eval.history == EVAL_HISTORY_OWN && config->task == TASK_REASONING)
        FAIL(STATUS_INPUT,
             "eval.history: own does nothing in task: reasoning, where a question has "
             "one reply");
    if (config->eval.encoder_layer >= 0 && !config->eval.encoder[0])
        FAIL(STATUS_INPUT, "eval.encoder_layer does nothing without eval.encoder");
    if (config->eval.on_topic_data[0] && !config->eval.on_topic[0])
        FAIL(STATUS_INPUT, "eval.on_topic_data does nothing without eval.on_topic");
    if (config->eval.on_topic[0] && !config->eval.on_topic_data[0] && !config->data.valid[0])
        FAIL(STATUS_INPUT, "eval.on_topic needs dialogues to fix its threshold on: "
                           "eval.on_topic_data, or data.valid");
    if (config->single_turn.context == SINGLE_TURN_PROMPT && config->task != TASK_SINGLE_TURN)
        FAIL(STATUS_INPUT, "single_turn.context does nothing without task: single_turn");
    if (scope == CONFIG_INFERENCE) return NULL;
    /* What chooses would be of another update than the weights, which on some numbers of ranks. */
    if (config->pipeline.lag > 0 && config->rollout.continue_with == CONTINUE_BEST &&
        config->reward.scale != SCALE_NONE)
        FAIL(STATUS_INPUT,
             "pipeline.lag with rollout.continue: best needs reward.scale: none; scaled "
             "rewards would choose by statistics that depend on the ranks");

    const char *verb = scope == CONFIG_SFT ? "sft" : scope == CONFIG_REWARD ? "reward" : "train";
    bool shape = config->model.d_model > 0;
    if (!config->model.path[0] && !shape)
        FAIL(STATUS_INPUT,
             "%s needs a model: give model.path (--model), or model.d_model for a new one", verb);
    if (config->adapter.path[0] && !config->model.path[0])
        FAIL(STATUS_INPUT, "adapter.path needs the model that its adapters are for: model.path");
    if (!config->data.train[0])
        FAIL(STATUS_INPUT, "%s needs data: give data.train (a JSONL file)", verb);
    if (!strcmp(config->data.train, "-") || !strcmp(config->data.valid, "-"))
        FAIL(STATUS_INPUT,
             "%s reads its data on every rank and again on resume: data.train and "
             "data.valid are files, not - (standard input)",
             verb);
    if (!config->model.path[0] && !config->tokenizer.path[0] && !config->model.vocabulary)
        FAIL(STATUS_INPUT, "a new model needs tokenizer.path or model.vocabulary");
    TRY(cot_check(config));
    if (scope == CONFIG_SFT) return sft_check(config);
    if (scope == CONFIG_REWARD) return reward_check(config);

    TRY(reasoning_check(config));
    if (config->advantage == ADVANTAGE_GROUP && config->rollout.candidates == 1)
        FAIL(STATUS_INPUT,
             "advantage: group needs rollout.candidates of 2 or more: a candidate alone has no "
             "baseline");
    if (config->reward.scale == SCALE_WITHIN && config->rollout.candidates == 1)
        FAIL(STATUS_INPUT, "reward.scale: within needs rollout.candidates of 2 or more");
    if (!config->reward.sources.listed[SOURCE_ATTENTION] &&
        (config->control == CONTROL_RANDOM_SALIENCE || config->control == CONTROL_SHUFFLED))
        FAIL(STATUS_INPUT, "control: random_salience and shuffled change the source attention, "
                           "which reward.sources does not list");
    if (source_used(config, SOURCE_MAJORITY) && config->rollout.candidates == 1)
        FAIL(STATUS_INPUT, "the source majority needs rollout.candidates of 2 or more: a candidate "
                           "alone is of one mind");
    if (config->rollout.temperature == 0)
        FAIL(STATUS_INPUT,
             "train needs rollout.temperature above 0: greedy replies do not explore");
    if (source_used(config, SOURCE_GOLD) && config->rollout.user != USER_REPLAY)
        FAIL(STATUS_INPUT,
             "the source gold%s compares with the data's reply to a turn, which only "
             "rollout.user: replay has",
             config->reward.sources.listed[SOURCE_GOLD] ? "" : " (audit.judge)");
    TRY(audit_check(config));
    TRY(config_check_learning(config));
    if (scope == CONFIG_TRAIN) TRY(config_check_unused(config));
    if (config->rollout.user == USER_MODEL && !config->model.user_path[0])
        FAIL(STATUS_INPUT, "rollout.user: model needs model.user_path");
    if (config->guard.patience && (!config->eval.every || !config->data.valid[0]))
        FAIL(STATUS_INPUT, "guard.patience needs eval.every and data.valid");
    return NULL;
}
