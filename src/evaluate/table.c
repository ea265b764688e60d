/* See table.h. */
#include "src/evaluate/table.h"

#include "src/reward/settings.h"

#include <string.h>

static const char *const reply_metrics[EVAL_COUNT] = {
    "bleu",       "rouge_l",      "distinct_1", "distinct_2", "slot_carry_over",
    "perplexity", "reply_length", "end_rate"};
static const char *const reasoning_metrics[EVAL_REASONING_COUNT] = {
    "exact_strict",    "exact_flexible", "step_precision",  "step_recall",
    "valid_equations", "answer_missing", "reasoning_tokens"};
static const char *const state_metrics[EVAL_STATES_COUNT] = {"coherence",
                                                             "coherence_floor",
                                                             "bert_score",
                                                             "bert_score_precision",
                                                             "bert_score_recall",
                                                             "bert_score_floor",
                                                             "prompt_relevance",
                                                             "prompt_relevance_random",
                                                             "prompt_relevance_gold"};
static const char *const on_topic_metrics[EVAL_ON_TOPIC_COUNT] = {
    "consistency", "consistency_gold", "consistency_random", "on_topic_accuracy"};
_Static_assert(1 + (int)TERM_MAX + (int)EVAL_COUNT + (int)EVAL_REASONING_COUNT +
                       (int)EVAL_STATES_COUNT + (int)EVAL_ON_TOPIC_COUNT <=
                   (int)EVALUATION_MAX,
               "metrics have no room");

int64_t evaluation_group_count(const struct evaluate_settings *settings, enum metric_group group)
{
    switch (group) {
    case GROUP_REWARD:
        return 1 + settings->sampling.reward.term_count;
    case GROUP_REPLY:
        return EVAL_COUNT;
    case GROUP_REASONING:
        return settings->sampling.reward.block ? EVAL_REASONING_COUNT : 0;
    case GROUP_STATES:
        return settings->states ? EVAL_STATES_COUNT : 0;
    case GROUP_ON_TOPIC:
        return settings->on_topic ? EVAL_ON_TOPIC_COUNT : 0;
    default:
        return 0;
    }
}

int64_t evaluation_first(const struct evaluate_settings *settings, enum metric_group group)
{
    int64_t first = 0;
    for (int before = 0; before < (int)group; before++)
        first += evaluation_group_count(settings, (enum metric_group)before);
    return first;
}

int64_t evaluation_count(const struct evaluate_settings *settings)
{
    return evaluation_first(settings, GROUPS);
}

const char *evaluation_name(const struct evaluate_settings *settings, int64_t metric)
{
    static const char *const *const names[GROUPS] = {
        [GROUP_REPLY] = reply_metrics,
        [GROUP_REASONING] = reasoning_metrics,
        [GROUP_STATES] = state_metrics,
        [GROUP_ON_TOPIC] = on_topic_metrics,
    };
    int group = GROUP_REWARD;
    int64_t place = metric, count;
    for (; place >= (count = evaluation_group_count(settings, (enum metric_group)group)); group++)
        place -= count;
    if (group != GROUP_REWARD) return names[group][place];
    return place ? reward_term_name(&settings->sampling.reward, place - 1) : "reward";
}

bool evaluation_is_perplexity(const char *metric)
{
    return !strcmp(metric, reply_metrics[EVAL_PERPLEXITY]);
}
