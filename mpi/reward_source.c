#include "mpi/reward_source.h"

#include "mpi/reward_words.h"
#include "src/base/log.h"
#include "src/checkpoint/find.h"
#include "src/checkpoint/model_folder.h"
#include "src/checkpoint/value_folder.h"
#include "src/rollout/settings.h"
#include "src/task/overlong.h"

static status use_check(enum reward_use use, int objective, const char *folder)
{
    if (use == REWARD_ON_TOPIC && objective != RM_ON_TOPIC)
        FAIL(
            STATUS_INPUT,
            "%s was not trained by rm.objective: on_topic, which learns whether a reply belongs to "
            "its dialogue",
            folder);
    if ((use == REWARD_SCORE || use == REWARD_JUDGE) && objective == RM_PAIR)
        FAIL(STATUS_INPUT,
             "%s was trained by rm.objective: pair: it reads two replies at once and has no score "
             "of one; a student of it has (rm.objective: interaction), or bradley_terry",
             folder);
    return NULL;
}

/* The words of a folder whose keys are `own`; words_folder: where its tokenizer lies. */
static status words_open(const struct config *own, const char *words_folder, struct language **out)
{
    const struct language_settings words = language_settings_of(own);
    return language_open(&words, words_folder, NULL, out);
}

status reward_folder_open(const char *folder, enum reward_use use, const struct config *config,
                          struct queue *queue, const struct language *asker, int *objective,
                          struct reward_reader **out)
{
    struct config own;
    struct value_model *model;
    struct language *language;
    *out = NULL;
    TRY(value_folder_open(folder, queue, false, &model));
    status s = reward_words_load(folder, &own);
    if (!s) s = use_check(use, own.rm.objective, folder);
    if (!s && (use == REWARD_MEASURE || use == REWARD_SCORE))
        s = reward_words_compare(&own, config, folder);
    if (!s) s = words_open(&own, model_words_folder(folder, value_model_trunk(model)), &language);
    if (s) {
        value_model_destroy(model);
        return s;
    }
    if (objective) *objective = own.rm.objective;
    return reward_reader_create(model, language, asker, config->learn.history_tokens, out);
}

status reward_source_open(const struct config *config, struct queue *queue,
                          const struct language *asker, struct reward_reader **out)
{
    char folder[CHECKPOINT_PATH_MAX];
    *out = NULL;
    if (!config->reward.model[0]) return NULL;
    TRY(checkpoint_named(config->reward.model, folder));
    return status_context(reward_folder_open(folder, REWARD_JUDGE, config, queue, asker, NULL, out),
                          "reward.model");
}

static status overlong_drop(const char *folder, struct dataset *data, int64_t turns, bool warn)
{
    struct config own;
    struct language *words;
    struct overlong overlong;
    if (!model_folder_is_value(folder)) return NULL; /* refused where it is opened */
    TRY(reward_words_load(folder, &own));
    TRY(words_open(&own, folder, &words));
    status s =
        words->tokenizer ? dataset_drop_overlong(&words->history, data, turns, &overlong) : NULL;
    if (!s && words->tokenizer && overlong.dialogues && warn)
        log_line(LOG_WARNING,
                 "%s: %lld dialogues are left out, the first in line %lld: a message of the user "
                 "is longer than the %lld tokens that reward.model reads of a history",
                 data->path, (long long)overlong.dialogues, (long long)overlong.first_line,
                 (long long)words->history.max_tokens);
    language_close(words);
    return s;
}

status reward_source_drop_overlong(const struct config *config, struct dataset *data, int64_t turns,
                                   bool warn)
{
    char folder[CHECKPOINT_PATH_MAX];
    if (!config->reward.model[0]) return NULL;
    TRY(checkpoint_named(config->reward.model, folder));
    return status_context(overlong_drop(folder, data, turns, warn), "reward.model");
}

status reward_source_reserve(struct reward_reader *reader, const struct config *config,
                             bool evaluates)
{
    const int64_t batch = config->rollout.dialogues * config->rollout.candidates;
    const int64_t evaluated = evaluates ? config->infer.batch : 0;
    return reward_reader_reserve(
        reader, batch > evaluated ? batch : evaluated,
        reward_reader_sequence(reader, config->history.max_tokens, config->rollout.max_new_tokens));
}

struct source_model reward_source_of(struct reward_reader *reader)
{
    return (struct source_model){reader ? reward_reader_judge : NULL, reader};
}
