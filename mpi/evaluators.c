/* See evaluators.h. */
#include "mpi/evaluators.h"

#include "mpi/reward_source.h"
#include "src/base/log.h"
#include "src/checkpoint/find.h"
#include "src/checkpoint/model_folder.h"

#include <string.h>

static status encoder_open(const struct config *config, struct queue *queue,
                           struct text_encoder **out)
{
    char folder[CHECKPOINT_PATH_MAX];
    struct model *model;
    struct tokenizer *tokenizer;
    TRY(checkpoint_named(config->eval.encoder, folder));
    TRY(status_context(model_open(folder, queue, false, &model), "eval.encoder"));
    status s = tokenizer_open(model_words_folder(folder, model), &tokenizer);
    if (s) {
        model_destroy(model);
        return status_context(s, "eval.encoder");
    }
    return text_encoder_create(model, tokenizer, folder, config->eval.encoder_layer, out);
}

static status judge_open(const struct config *config, struct queue *queue, struct on_topic **out)
{
    char folder[CHECKPOINT_PATH_MAX];
    struct reward_reader *reader;
    TRY(checkpoint_named(config->eval.on_topic, folder));
    TRY(status_context(
        reward_folder_open(folder, REWARD_ON_TOPIC, config, queue, NULL, NULL, &reader),
        "eval.on_topic"));
    return on_topic_create(reader, folder, out);
}

status evaluators_open(const struct config *config, struct queue *queue, struct evaluators *by)
{
    if (config->eval.encoder[0]) TRY(encoder_open(config, queue, &by->encoder));
    return config->eval.on_topic[0] ? judge_open(config, queue, &by->on_topic) : NULL;
}

void evaluators_close(struct evaluators *by)
{
    text_encoder_close(by->encoder);
    on_topic_close(by->on_topic);
    by->encoder = NULL;
    by->on_topic = NULL;
}

status evaluators_reserve(const struct evaluators *by)
{
    if (by->encoder) TRY(text_encoder_reserve(by->encoder));
    return by->on_topic ? on_topic_reserve(by->on_topic) : NULL;
}

static status threshold_fix(const struct config *config, const char *measured,
                            struct on_topic *judge)
{
    const char *path =
        config->eval.on_topic_data[0] ? config->eval.on_topic_data : config->data.valid;
    struct dataset *data;
    TRY(dataset_read(path, DATASET_TRAIN, &data));
    status s = on_topic_fix(judge, data, config->seed);
    dataset_free(data);
    if (s) return s;
    const struct on_topic_threshold *threshold = on_topic_threshold(judge);
    log_line(LOG_INFO,
             "consistency is by %s: it accepts replies that score %.4g or more, the threshold that "
             "tells most of %lld replies of %s from others' (%.4f of both)",
             on_topic_name(judge), threshold->value, (long long)threshold->turns, path,
             threshold->accuracy);
    if (!strcmp(path, measured))
        log_line(LOG_WARNING,
                 "the threshold of consistency is fixed on %s, the lines that are measured; "
                 "eval.on_topic_data fixes it on others",
                 path);
    return NULL;
}

status evaluators_prepare(const struct config *config, const char *measured,
                          const struct evaluators *by)
{
    if (by->encoder)
        log_line(LOG_INFO, "BERTScore and prompt relevance are by %s, layer %lld of %lld",
                 text_encoder_name(by->encoder), (long long)text_encoder_layer(by->encoder),
                 (long long)text_encoder_layers(by->encoder));
    return by->on_topic ? threshold_fix(config, measured, by->on_topic) : NULL;
}
