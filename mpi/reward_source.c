#include "mpi/reward_source.h"

#include "src/checkpoint/find.h"
#include "src/checkpoint/model_folder.h"
#include "src/checkpoint/value_folder.h"
#include "src/rollout/settings.h"

status reward_folder_open(const char *folder, const struct config *config, struct queue *queue,
                          const struct language *asker, struct reward_reader **out)
{
    struct value_model *model;
    struct language *language;
    struct language_settings words = language_settings_of(config);
    /* Its own: what the keys say is the policy's. */
    words.tokenizer[0] = words.keywords[0] = words.system[0] = 0;
    snprintf(words.chat, sizeof words.chat, "auto");
    words.summary_slots = 0;
    *out = NULL;
    TRY(value_folder_open(folder, queue, false, &model));
    status s = language_open(&words, model_words_folder(folder, value_model_trunk(model)), NULL,
                             &language);
    if (s) {
        value_model_destroy(model);
        return s;
    }
    return reward_reader_create(model, language, asker, config->learn.history_tokens, out);
}

status reward_source_open(const struct config *config, struct queue *queue,
                          const struct language *asker, struct reward_reader **out)
{
    char folder[CHECKPOINT_PATH_MAX];
    *out = NULL;
    if (!config->reward.model[0]) return NULL;
    snprintf(folder, sizeof folder, "%s", config->reward.model);
    if (checkpoint_is_run(folder)) TRY(checkpoint_of_run(config->reward.model, folder));
    return status_context(reward_folder_open(folder, config, queue, asker, out), "reward.model");
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
