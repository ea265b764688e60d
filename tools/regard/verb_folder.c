/* import, export and inspect: model folders. */
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/model_folder.h"
#include "src/checkpoint/value_folder.h"
#include "src/model/adapted.h"
#include "src/model/folder.h"
#include "src/model/peft.h"
#include "tools/regard/command.h"

#include <stdlib.h>
#include <string.h>

/* --model or DIR, with adapter.path's adapters where it is given. */
static status model_only(const struct command *command, struct queue **queue, struct model **model)
{
    TRY(cpu_queue_create(1, "auto", queue));
    status s = model_open_with(command->model ? command->model : command->what,
                               command->config.adapter.path, *queue, false, model);
    if (s) (*queue)->op->destroy(*queue);
    return s;
}

/* Adapters alone as PEFT has them, unless --merge; else the whole model. */
static status model_write(const struct command *command, struct model *model, const char *folder)
{
    if (!model_base(model) || command->merge) return model_folder_save(model, folder);
    const char *base = model_base_name(model);
    char config[1200];
    snprintf(config, sizeof config, "%s/config.json", base);
    if (!file_exists(config))
        log_line(LOG_WARNING,
                 "the base of these adapters, %s, is no Hugging Face folder: write one with "
                 "`regard export --merge`, or export the base and name it in adapter_config.json",
                 base);
    return peft_save(model, base, folder);
}

status verb_export(struct command *command)
{
    struct queue *queue;
    struct model *model;
    struct folder_writer out;
    TRY(output_free(command->out));
    TRY(model_only(command, &queue, &model));
    struct language *language = NULL;
    const struct language_settings words = language_settings_of(&command->config);
    status s = language_open(&words, model_words_folder(command->model, model), NULL, &language);
    if (!s) s = language_ends(language, model);
    if (!s) {
        s = output_begin(command->out, &out);
        if (!s) s = language_save(language, out.temporary);
        if (!s) s = model_write(command, model, out.temporary);
        s = output_end(&out, s);
    }
    language_close(language);
    model_destroy(model);
    queue->op->destroy(queue);
    return s;
}

status verb_import(struct command *command)
{
    struct queue *queue;
    struct model *model;
    struct folder_writer out;
    TRY(output_free(command->out));
    TRY(model_only(command, &queue, &model));
    status s = output_begin(command->out, &out);
    if (!s)
        s = model_save_imported(model, true, model_words_folder(command->model, model),
                                out.temporary);
    s = output_end(&out, s);
    model_destroy(model);
    queue->op->destroy(queue);
    return s;
}

/* A model of either kind: of a reward model (*value not NULL, which owns it) the trunk with its
 * head. */
static status either_open(const struct command *command, struct queue **queue, struct model **model,
                          struct value_model **value)
{
    *value = NULL;
    if (!model_folder_is_value(command->what)) return model_only(command, queue, model);
    TRY(cpu_queue_create(1, "auto", queue));
    status s = value_folder_open(command->what, *queue, false, value);
    if (s)
        (*queue)->op->destroy(*queue);
    else
        *model = value_model_trunk(*value);
    return s;
}

static const char *kind_of(const struct model *model, bool checkpoint, int64_t step)
{
    if (!checkpoint) return model_adapter(model) ? "PEFT folder" : "Hugging Face folder";
    if (model_shape(model)->valued) return "reward model's checkpoint, verified";
    return step < 0 ? "imported model, verified" : "checkpoint, verified";
}

status verb_inspect(struct command *command)
{
    struct queue *queue;
    struct model *model;
    struct value_model *value;
    const char *folder = command->what;
    TRY(either_open(command, &queue, &model, &value));
    char hex[SHA256_HEX], base_hex[SHA256_HEX];
    const struct parameters *trained = model_trained(model);
    const struct adapter_settings *adapter = model_adapter(model);
    status s = parameters_hash(trained, hex);
    if (!s && adapter) s = model_base_hash(model, base_hex);
    if (!s) {
        int64_t step = -1;
        const bool checkpoint = model_is_checkpoint(folder);
        if (checkpoint) s = checkpoint_verify(folder, &step);
        printf("folder %s\n", folder);
        printf("kind %s\n", kind_of(model, checkpoint, step));
        if (step >= 0) printf("step %lld\n", (long long)step);
        char *sizes = model_shape_describe(model_shape(model));
        printf("%s\n", sizes);
        free(sizes);
        if (adapter) {
            printf("adapters of rank %lld, alpha %g, on %s\n", (long long)adapter->rank,
                   (double)adapter->alpha, adapter->targets);
            printf("base %s, parameters %lld, sha256 %s\n", model_base_name(model),
                   (long long)model_parameters(model)->size, base_hex);
        }
        printf("tensors %lld, parameters %lld\n", (long long)trained->count,
               (long long)trained->size);
        printf("parameters sha256 %s\n", hex);
        struct checkpoint_file *files = NULL;
        int64_t count = 0;
        if (!s && checkpoint) s = checkpoint_list_files(folder, &files, &count);
        for (int64_t i = 0; i < count; i++)
            printf("file %s %lld bytes sha256 %s\n", files[i].name, (long long)files[i].size,
                   files[i].sha256);
        free(files);
    }
    if (value)
        value_model_destroy(value);
    else
        model_destroy(model);
    queue->op->destroy(queue);
    return s;
}
