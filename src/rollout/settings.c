/* The configuration's keys of rollouts; see settings.h. */
#include "src/rollout/settings.h"

#include "src/base/config.h"
#include "src/capture/statistics.h"
#include "src/model/slots.h"
#include "src/rollout/marker.h"

#include <string.h>

/* Whether the task is single_turn, in that context (enum single_turn_context). */
static bool single_turn_of(const struct config *config, int context)
{
    return config->task == TASK_SINGLE_TURN && config->single_turn.context == context;
}

static struct cot_settings cot_settings_of(const struct config *config)
{
    struct cot_settings cot = {.block = config->cot.block,
                               .self_weight = config->cot.self_weight,
                               .block_form = config->cot.block_form,
                               .reencode = config->cot.history == COT_REENCODE,
                               .deep = config->cot.depth_lambda_count > 0,
                               .reason_tokens = config->cot.reason_tokens};
    if (config->task != TASK_REASONING) return (struct cot_settings){0};
    memcpy(cot.answer_marker, config->cot.answer_marker, sizeof cot.answer_marker);
    return cot;
}

static int64_t history_slots_of(const struct config *config)
{
    return config->history.summary ? config->history.summary_slots : 0;
}

struct rollout_settings rollout_settings_of(const struct config *config)
{
    return (struct rollout_settings){
        .seed = config->seed,
        .temperature = config->rollout.temperature,
        .top_p = config->rollout.top_p,
        .top_k = config->rollout.top_k,
        .max_new_tokens = config->rollout.max_new_tokens,
        .batch = config->infer.batch,
        .max_history = config->history.max_tokens,
        .max_turns = config->rollout.turns,
        .summary_slots = history_slots_of(config),
        .cache_tokens = config->rollout.cache_tokens,
        .layers = config->attention.layers,
        .all_heads = config->attention.all_heads,
        .speakers = config->attention.speakers,
        .exclude_special = config->attention.exclude_special,
        .history_coverage = config->history_coverage,
        .prompt_reward = single_turn_of(config, SINGLE_TURN_FULL),
        .shuffled = config->control == CONTROL_SHUFFLED,
        .random_salience = config->control == CONTROL_RANDOM_SALIENCE,
        .self_certainty = config->reward.sources.listed[SOURCE_SELF_CERTAINTY] ||
                          config->reward.sources.listed[SOURCE_PLUGIN],
        .received = config->history.prune == HISTORY_PRUNE_MASS,
        .candidates = config->rollout.candidates,
        .turns = config->rollout.turns,
        .continue_best = config->rollout.continue_with == CONTINUE_BEST,
        .user = config->rollout.user,
        .interruption = {.seed = config->seed,
                         .share = config->rollout.interrupt,
                         .most = config->rollout.max_new_tokens},
        .cot = cot_settings_of(config),
        .reward = reward_settings_of(config)};
}

/* The marker's tokens, which must read as the marker again: a vocabulary may have none for it. */
static status marker_encode(struct cot_settings *cot)
{
    struct token_list list = {0};
    struct marker_place place = {-1, -1};
    const char *marker = cot->answer_marker;
    status s = tokenizer_encode(cot->tokenizer, marker, strlen(marker), &list);
    if (!s) s = marker_place(cot, list.ids, list.count, &place);
    const int64_t count = list.count;
    if (!s && place.first < 0)
        s = ERROR(
            STATUS_INPUT,
            "the tokenizer's vocabulary cannot write cot.answer_marker (\"#### \" unless one is "
            "given); name a marker that it can, or train it on texts that have this one");
    if (!s && cot->reason_tokens && count > COT_MARKER_MAX)
        s = ERROR(STATUS_INPUT,
                  "cot.answer_marker is %lld tokens; with cot.reason_tokens it may be 1 to %d",
                  (long long)count, COT_MARKER_MAX);
    if (!s && cot->reason_tokens) {
        memcpy(cot->marker, list.ids, (size_t)count * sizeof *cot->marker);
        cot->marker_count = count;
    }
    token_list_free(&list);
    return s;
}

status cot_settings_fit(struct cot_settings *cot, const struct model_shape *shape,
                        const struct tokenizer *tokenizer)
{
    if (!cot->block || !(cot->reencode || cot->reason_tokens)) return NULL;
    if (cot->reencode && model_shape_is_causal(shape))
        FAIL(STATUS_INPUT, "cot.history: reencode is for encoder-decoders; a decoder-only model "
                           "reads question and earlier blocks as they are");
    if (!tokenizer)
        FAIL(STATUS_INPUT, "task: reasoning needs a tokenizer; the model folder has none");
    cot->tokenizer = tokenizer;
    return marker_encode(cot);
}

status summary_settings_fit(const struct config *config, const struct model_shape *shape)
{
    if (config->history.summary && model_shape_is_causal(shape))
        FAIL(STATUS_INPUT, "history.summary is for encoder-decoders; a decoder-only model reads "
                           "its history as one sequence: leave it none");
    const int64_t own = model_slots(shape), asked = config->history.summary_slots;
    const bool learned = config->history.summary == HISTORY_SUMMARY_LEARNED;
    if (learned && !own)
        FAIL(STATUS_INPUT,
             "history.summary: learned: the model has learned no slots; sft with this "
             "key gives it queries and trains them");
    if (learned && own != asked)
        FAIL(STATUS_INPUT, "history.summary_slots is %lld, the model learned %lld",
             (long long)asked, (long long)own);
    if (config->history.summary == HISTORY_SUMMARY_MEAN && own)
        FAIL(STATUS_INPUT, "history.summary: mean: the model has learned slots; take learned");
    return NULL;
}

status rollout_settings_fit(struct rollout_settings *settings, const struct config *config,
                            const struct model_shape *shape, const struct tokenizer *tokenizer)
{
    TRY(summary_settings_fit(config, shape));
    settings->exclude_first = config->attention.exclude_first && model_shape_is_causal(shape);
    const struct cot_settings *cot = &settings->cot;
    TRY(cot_settings_fit(&settings->cot, shape, tokenizer));
    const int64_t put = cot->reason_tokens + cot->marker_count, most = settings->max_new_tokens;
    if (cot->marker_count && put >= most)
        FAIL(STATUS_INPUT,
             "an answer has no room: rollout.max_new_tokens (%lld) must be above cot.reason_tokens "
             "and the marker's tokens (%lld + %lld)",
             (long long)most, (long long)cot->reason_tokens, (long long)cot->marker_count);
    return NULL;
}

int rollout_statistics(const struct rollout_settings *settings)
{
    return (settings->all_heads ? STATISTICS_OF_HEADS : 0) |
           (settings->summary_slots ? STATISTICS_OF_SUMMARY : 0) |
           (settings->speakers ? STATISTICS_OF_SPEAKERS : 0);
}

int64_t rollout_longest_history(const struct rollout_settings *settings)
{
    return settings->max_history + settings->summary_slots +
           (settings->cot.reencode ? settings->max_new_tokens : 0);
}

int64_t rollout_cut_tokens(const struct rollout_settings *settings)
{
    return settings->summary_slots ? settings->max_history : 0;
}

struct rollout_settings rollout_settings_of_user(const struct rollout_settings *settings)
{
    struct rollout_settings user = *settings;
    user.shuffled = user.random_salience = user.self_certainty = user.received = false;
    user.cot = (struct cot_settings){0};
    user.layers = 1;
    user.all_heads = user.speakers = false;
    user.batch = 1;
    return user;
}

_Static_assert((int)LANGUAGE_TEXT_MAX == (int)CONFIG_TEXT_MAX &&
                   (int)COT_TEXT_MAX == (int)CONFIG_TEXT_MAX &&
                   (int)LANGUAGE_PROMPT_MAX == (int)CONFIG_PROMPT_MAX,
               "texts of keys must fit");

struct language_settings language_settings_of(const struct config *config)
{
    struct language_settings settings = {.extra_ids = config->tokenizer.extra_ids,
                                         .encoder = !strcmp(config->model.family, "t5"),
                                         .max_tokens = config->history.max_tokens,
                                         .prompt_only = single_turn_of(config, SINGLE_TURN_PROMPT),
                                         .prune = config->history.prune,
                                         .summary_slots = history_slots_of(config),
                                         .all_slots =
                                             config->history.summary == HISTORY_SUMMARY_LEARNED,
                                         .idf_quantile = config->salience.idf_quantile,
                                         .entities = config->salience.entities,
                                         .digits = config->task == TASK_REASONING};
    memcpy(settings.tokenizer, config->tokenizer.path, sizeof settings.tokenizer);
    memcpy(settings.keywords, config->salience.keywords, sizeof settings.keywords);
    memcpy(settings.chat, config->text.chat, sizeof settings.chat);
    memcpy(settings.system, config->text.system, sizeof settings.system);
    memcpy(settings.user_marker, config->text.user_marker, sizeof settings.user_marker);
    memcpy(settings.assistant_marker, config->text.assistant_marker,
           sizeof settings.assistant_marker);
    return settings;
}
