/* An opened model for inference. */
#include "mpi/reward_source.h"
#include "mpi/run_state.h"
#include "mpi/setup.h"
#include "src/base/clock.h"
#include "src/base/cut_turns.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/slots.h"
#include "src/report/progress.h"
#include "src/reward/running.h"
#include "src/reward/terms.h"
#include "src/source/source.h"
#include "tools/regard/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those of the run that a checkpoint comes from; an imported model has none. */
static status statistics_open(const char *folder, const struct reward_settings *reward,
                              struct running_statistics *statistics)
{
    char state[1200];
    snprintf(state, sizeof state, "%s/state.h5", folder);
    if (reward->scale == SCALE_NONE || !model_is_checkpoint(folder) || !file_exists(state))
        return NULL;
    return run_state_statistics(folder, reward, statistics);
}

/* Puts new adapters on the model, in place of which they are trained. */
static status adapters_begin(const struct command *command, struct session *session)
{
    struct model *adapted;
    TRY(run_adapted_open(&command->config, session->model, command->model, true, &adapted));
    model_own_base(adapted);
    session->model = adapted;
    return NULL;
}

/* T5's padding and end; of a causal model what its tokenizer flags, else the ids that its config
 * names. */
static void special_open(struct session *session)
{
    const struct model_shape *shape = model_shape(session->model);
    const struct tokenizer *tokenizer = session->language->tokenizer;
    const bool causal = model_shape_is_causal(shape), flagged = causal && tokenizer;
    const int64_t size = flagged ? tokenizer_size(tokenizer) : 0;
    int32_t *ids = memory_allocate((size_t)(size + shape->more_ends + 3) * sizeof *ids);
    int64_t count = 0;
    for (int64_t id = 0; id < size; id++)
        if (tokenizer_is_special(tokenizer, (int32_t)id)) ids[count++] = (int32_t)id;
    if (!flagged) {
        ids[count++] = shape->pad;
        ids[count++] = shape->end;
        for (int64_t i = 0; i < shape->more_ends; i++) ids[count++] = shape->more_end[i];
        if (causal) ids[count++] = (int32_t)model_shape_number(shape, "begin");
    }
    session->special =
        (struct special_ids){.pad = causal ? -1 : shape->pad, .ids = ids, .count = count};
}

/* A line every ten seconds of how far a long work is. */
static void session_tell(void *context)
{
    enum { SECONDS_BETWEEN = 10 };
    struct session *session = context;
    const double now = seconds_now(), since = now - session->begun;
    const int64_t done = progress_replies();
    char left[32], all[64] = "";
    if (now - session->told < SECONDS_BETWEEN) return;
    session->told = now;
    if (session->expected > 0 && done > 0) {
        progress_duration(left, since / (double)done * (double)(session->expected - done));
        snprintf(all, sizeof all, " of %lld, %s left", (long long)session->expected, left);
    }
    log_line(LOG_INFO, "%lld replies%s", (long long)done, all);
}

status session_open(const struct command *command, bool with_gradients, struct session *session)
{
    const struct config *config = &command->config;
    memset(session, 0, sizeof *session);
    TRY(config_check(config, CONFIG_INFERENCE));
    status s = queue_open(config, 0, 1, &session->queue);
    if (!s && command->profile) s = profile_begin(session->queue, &session->profile);
    if (!s)
        s = model_open_with(command->model, config->adapter.path, session->queue, with_gradients,
                            &session->model);
    if (!s && with_gradients && config->adapter.rank > 0 && !model_base(session->model))
        s = adapters_begin(command, session);
    if (!s && with_gradients && config->rounding == ROUNDING_STOCHASTIC) {
        model_round_stochastically(session->model, config->seed);
        s = model_refresh(session->model);
    }
    const struct language_settings words = language_settings_of(config);
    session->settings = rollout_settings_of(config);
    if (!s)
        s = language_open(&words, model_words_folder(command->model, session->model), NULL,
                          &session->language);
    if (!s) s = language_fits(session->language, model_shape(session->model)->vocabulary);
    if (!s) s = language_ends(session->language, session->model);
    if (!s)
        s = generator_create(
            session->model,
            statistics_of(model_shape(session->model), rollout_statistics(&session->settings)),
            &session->generator);
    if (!s) {
        special_open(session);
        s = rollout_settings_fit(&session->settings, config, model_shape(session->model),
                                 session->language->tokenizer);
    }
    struct source_settings sources = source_settings_of(config);
    if (!s)
        s = reward_source_open(config, session->queue, session->language, &session->reward_reader);
    sources.reward_model = reward_source_of(session->reward_reader);
    if (!s) s = sources_open(&sources, &session->settings.reward, &session->sources);
    session->statistics = memory_allocate(sizeof *session->statistics);
    if (!s) s = statistics_open(command->model, &session->settings.reward, session->statistics);
    if (s) {
        profile_end(session->profile);
        session->profile = NULL;
        session_close(session);
        return s;
    }
    if (session->profile) profile_clear(session->profile);
    session->begun = session->told = seconds_now();
    progress_set(session_tell, session);
    return NULL;
}

void session_close(struct session *session)
{
    progress_set(NULL, NULL);
    if (session->profile) profile_print(session->profile, "where the time went", stderr);
    sources_close(session->sources);
    reward_reader_destroy(session->reward_reader);
    generator_destroy(session->generator);
    language_close(session->language);
    if (session->model) model_destroy(session->model);
    profile_end(session->profile);
    if (session->queue) session->queue->op->destroy(session->queue);
    free(session->statistics);
    free((void *)session->special.ids);
    memset(session, 0, sizeof *session);
}

static status tokens_check(const char *path, const struct dialogue *dialogue, const char *what,
                           const int32_t *tokens, int64_t count, int64_t vocabulary)
{
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= vocabulary)
            FAIL(STATUS_INPUT, "%s:%lld: %s[%lld] is %d, the vocabulary has %lld ids", path,
                 (long long)dialogue->line, what, (long long)i, tokens[i], (long long)vocabulary);
    return NULL;
}

status session_check_tokens(const struct session *session, const struct dataset *data)
{
    const int64_t vocabulary = model_shape(session->model)->vocabulary;
    for (int64_t d = 0; d < data->count; d++) {
        const struct dialogue *dialogue = &data->dialogues[d];
        if (!dialogue->has_tokens) {
            if (!session->language->tokenizer)
                FAIL(STATUS_INPUT,
                     "%s:%lld: dialogues need a tokenizer and the model folder has none; give "
                     "token lines or set tokenizer.path",
                     data->path, (long long)dialogue->line);
            continue;
        }
        if (dialogue->history_count == 0)
            FAIL(STATUS_INPUT, "%s:%lld: history_tokens is empty", data->path,
                 (long long)dialogue->line);
        struct cut_turns turns;
        cut_turns_read(dialogue->cuts, dialogue->cut_count, &turns);
        if (turns.slots && model_shape_is_causal(model_shape(session->model)))
            FAIL(STATUS_INPUT, "%s:%lld: a \"summary\" is for encoder-decoders", data->path,
                 (long long)dialogue->line);
        const int64_t learned = model_slots(model_shape(session->model));
        if (turns.slots && turns.slots != (learned ? learned : turns.turns))
            FAIL(STATUS_INPUT,
                 "%s:%lld: \"summary\": slots is %lld, but this model makes %lld of these turns",
                 data->path, (long long)dialogue->line, (long long)turns.slots,
                 (long long)(learned ? learned : turns.turns));
        TRY(tokens_check(data->path, dialogue, "summary", turns.token, turns.tokens, vocabulary));
        if (dialogue->history_count - turns.slots > session->settings.max_history)
            FAIL(STATUS_INPUT,
                 "%s:%lld: %lld history_tokens, more than history.max_tokens (%lld); token lines "
                 "are never cut",
                 data->path, (long long)dialogue->line, (long long)dialogue->history_count,
                 (long long)session->settings.max_history);
        TRY(tokens_check(data->path, dialogue, "history_tokens", dialogue->history_tokens,
                         dialogue->history_count, vocabulary));
        TRY(tokens_check(data->path, dialogue, "reply_tokens", dialogue->reply_tokens,
                         dialogue->reply_count, vocabulary));
        TRY(tokens_check(data->path, dialogue, "special", dialogue->special,
                         dialogue->special_count, vocabulary));
    }
    return NULL;
}
