/* import, export and inspect: model folders. */
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/folder.h"
#include "tools/regard/command.h"

#include <stdlib.h>
#include <string.h>

static status model_only(const struct command *command, struct queue **queue, struct model **model)
{
    TRY(cpu_queue_create(1, "auto", queue));
    status s = model_open(command->model ? command->model : command->what, *queue, false, model);
    if (s) (*queue)->op->destroy(*queue);
    return s;
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
    status s = language_open(&words, command->model, NULL, &language);
    if (!s) {
        s = output_begin(command->out, &out);
        if (!s) s = language_save(language, out.temporary);
        if (!s) s = model_folder_save(model, out.temporary);
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
    if (!s) s = model_save_imported(model, command->model, out.temporary);
    s = output_end(&out, s);
    model_destroy(model);
    queue->op->destroy(queue);
    return s;
}

status verb_inspect(struct command *command)
{
    struct queue *queue;
    struct model *model;
    const char *folder = command->what;
    TRY(model_only(command, &queue, &model));
    char hex[SHA256_HEX];
    status s = parameters_hash(model_parameters(model), hex);
    if (!s) {
        int64_t step = -1;
        const bool checkpoint = model_is_checkpoint(folder);
        if (checkpoint) s = checkpoint_verify(folder, &step);
        printf("folder %s\n", folder);
        printf("kind %s\n", !checkpoint ? "Hugging Face folder"
                            : step < 0  ? "imported model, verified"
                                        : "checkpoint, verified");
        if (step >= 0) printf("step %lld\n", (long long)step);
        char *sizes = model_shape_describe(model_shape(model));
        printf("%s\n", sizes);
        free(sizes);
        printf("tensors %lld, parameters %lld\n", (long long)model_parameters(model)->count,
               (long long)model_parameters(model)->size);
        printf("parameters sha256 %s\n", hex);
        struct checkpoint_file *files = NULL;
        int64_t count = 0;
        if (!s && checkpoint) s = checkpoint_list_files(folder, &files, &count);
        for (int64_t i = 0; i < count; i++)
            printf("file %s %lld bytes sha256 %s\n", files[i].name, (long long)files[i].size,
                   files[i].sha256);
        free(files);
    }
    model_destroy(model);
    queue->op->destroy(queue);
    return s;
}
