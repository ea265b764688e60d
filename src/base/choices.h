/* What the keys of the configuration choose among, in the order of config_keys.c: for layers whose
 * settings hold a choice but that know nothing of the configuration. */
#ifndef REGARD_BASE_CHOICES_H
#define REGARD_BASE_CHOICES_H

enum device_kind { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA, DEVICE_SLEEP };
enum precision_kind { PRECISION_AUTO, PRECISION_FP32, PRECISION_BF16 };
enum rounding_kind { ROUNDING_NEAREST, ROUNDING_STOCHASTIC };
enum task_kind { TASK_DIALOGUE, TASK_SINGLE_TURN, TASK_REASONING };
enum single_turn_context { SINGLE_TURN_FULL, SINGLE_TURN_PROMPT };
enum continue_kind { CONTINUE_EACH, CONTINUE_BEST };
enum user_kind { USER_REPLAY, USER_RULE, USER_MODEL };
enum coverage_form { COVERAGE_PAPER, COVERAGE_MASS, COVERAGE_LIFT };
enum focus_form { FOCUS_PAPER, FOCUS_NORMALIZED };
enum floor_form { FLOOR_VALUE, FLOOR_MIX, FLOOR_NONE };
enum history_prune { HISTORY_PRUNE_NONE, HISTORY_PRUNE_IDF, HISTORY_PRUNE_MASS };
enum history_summary { HISTORY_SUMMARY_NONE, HISTORY_SUMMARY_MEAN, HISTORY_SUMMARY_LEARNED };
enum eval_history { EVAL_HISTORY_GOLD, EVAL_HISTORY_OWN };
enum reward_scale { SCALE_NONE, SCALE_RUNNING, SCALE_WITHIN };
enum advantage_kind { ADVANTAGE_TURN, ADVANTAGE_GAE, ADVANTAGE_GROUP };
enum group_form { GROUP_RLOO, GROUP_MEAN, GROUP_GRPO, GROUP_GLOBAL, GROUP_NONE };
enum credit_form { CREDIT_UNIFORM, CREDIT_ENTROPY, CREDIT_RANDOM };
enum critic_target { CRITIC_TARGET_ALL, CRITIC_TARGET_BEST };
enum ppo_loss { PPO_LOSS_TOKEN, PPO_LOSS_SEQUENCE, PPO_LOSS_CONSTANT };
enum ppo_ratio { PPO_RATIO_TOKEN, PPO_RATIO_SEQUENCE };
enum ppo_form { PPO_FORM_CLIP, PPO_FORM_CISPO };
enum lag_correction { LAG_CORRECTION_AUTO, LAG_CORRECTION_NONE, LAG_CORRECTION_TRUNCATED };
enum kl_place { KL_IN_LOSS, KL_IN_REWARD };
enum kl_estimator { KL_K3, KL_K1 };
enum scorer_kind { SCORER_LIVE, SCORER_FROZEN };
enum control_kind {
    CONTROL_NONE,
    CONTROL_RANDOM_SALIENCE,
    CONTROL_SHUFFLED,
    CONTROL_LENGTH,
    CONTROL_PERMUTED_NAMES
};
enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_COSINE };
/* Who gives reward: a line a source, the order of their columns.  Beside `attention`, whose columns
 * are the terms of src/reward, each has one column, named after it, and a struct source,
 * source_NAME, in src/source. */
/* clang-format off */
#define GIVEN_SOURCES(row)              \
    row(LOGPROB, logprob)               \
    row(SELF_CERTAINTY, self_certainty) \
    row(ENTROPY, entropy)               \
    row(MAJORITY, majority)             \
    row(VERIFIER, verifier)             \
    row(GOLD, gold)                     \
    row(FORMAT, format)                 \
    row(PLUGIN, plugin)                 \
    row(COMMAND, command)               \
    row(CONSTANT, constant)             \
    row(RANDOM, random)                 \
    row(FITTED, fitted)                 \
    row(MODEL, model)
/* clang-format on */
#define SOURCE_ENUMERATOR(name, text) SOURCE_##name,
enum reward_source { SOURCE_ATTENTION, GIVEN_SOURCES(SOURCE_ENUMERATOR) SOURCE_COUNT };
#undef SOURCE_ENUMERATOR

enum pairs_heuristic { PAIRS_NGRAM, PAIRS_STEPS, PAIRS_VERIFIER, PAIRS_DEMONSTRATION };
enum rm_objective { RM_BRADLEY_TERRY, RM_ON_TOPIC, RM_PAIR, RM_INTERACTION };
/* The teacher's attention as it is, that of random weights, its rows at each other's places, equal
 * weights, or its probability alone. */
enum align_control {
    ALIGN_AS_IT_IS,
    ALIGN_UNTRAINED,
    ALIGN_PERMUTED,
    ALIGN_UNIFORM,
    ALIGN_PROBABILITY
};
enum audit_action { AUDIT_WARN, AUDIT_STOP };
enum cot_history { COT_JOINT, COT_REENCODE };
enum cot_block_form { COT_ROWS, COT_STEPS };
enum cot_return { COT_SUM, COT_MEAN };
enum data_format { DATA_AUTO, DATA_DIALOGUE, DATA_TOKENS };

#endif
