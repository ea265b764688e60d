/* Models from any kind of folder. */
#include "src/checkpoint/model_folder.h"

#include "kernels/plan.h"
#include "kernels/sleep.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/checkpoint/adapter_folder.h"
#include "src/model/adapted.h"
#include "src/model/folder.h"
#include "src/model/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool holds(const char *folder, const char *name)
{
    char path[CHECKPOINT_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_exists(path);
}

bool model_is_checkpoint(const char *folder)
{
    return holds(folder, "manifest.json");
}

/* A shape that model.h5 cannot hold takes no memory. */
static status size_check(const char *folder, const struct model_shape *shape)
{
    struct parameters wanted;
    struct checkpoint_file file;
    TRY(status_context(model_lay_out(shape, &wanted), "%s/model.h5", folder));
    free(wanted.list);
    TRY(checkpoint_file_entry(folder, "model.h5", &file));
    if (file.size / (int64_t)sizeof(float) < wanted.size)
        FAIL(STATUS_INPUT, "%s/model.h5: %lld bytes, its shape.json asks for %lld parameters",
             folder, (long long)file.size, (long long)wanted.size);
    return NULL;
}

/* Freed with free(). */
static status shape_read(const char *folder, struct queue *queue, struct model_shape **shape)
{
    const bool ours = model_is_checkpoint(folder);
    if (!ours && holds(folder, "model.h5"))
        FAIL(STATUS_INPUT, "%s: a checkpoint without its manifest.json is not used", folder);
    TRY(ours ? checkpoint_read_shape(folder, shape) : model_folder_shape(folder, shape));
    status s = ours                   ? size_check(folder, *shape)
               : queue_is_plan(queue) ? NULL
                                      : model_folder_check(folder, *shape);
    if (!s) return NULL;
    free(*shape);
    return s;
}

static status plain_open(const char *folder, struct queue *queue, bool with_gradients,
                         struct model **model)
{
    struct model_shape *shape;
    TRY(shape_read(folder, queue, &shape));
    status s = model_create(queue, shape, with_gradients, model);
    free(shape);
    if (s || queue_is_plan(queue)) return s;
    s = model_is_checkpoint(folder) ? checkpoint_load_model(folder, model_parameters(*model))
                                    : model_folder_load(folder, *model);
    if (!s) s = model_refresh(*model);
    if (s) {
        model_destroy(*model);
        *model = NULL;
    }
    return s;
}

void model_note_base(struct model *model, const char *folder)
{
    char *path = realpath(folder, NULL);
    model_name_base(model, path ? path : folder);
    free(path);
}

/* The folder's adapters on the base that lies in base_folder, which the model owns from then on, or
 * which is destroyed. */
static status adapters_open(const char *folder, const struct checkpoint_adapter *adapter,
                            const char *base_folder, struct model *base, bool with_gradients,
                            struct model **model)
{
    status s = model_create_adapted(base, &adapter->settings, with_gradients, model);
    if (s) {
        model_destroy(base);
        return status_context(s, "%s", folder);
    }
    model_own_base(*model);
    model_note_base(*model, base_folder);
    if (!queue_is_plan(model_queue(base))) s = adapter_folder_load(folder, *model);
    if (s) {
        model_destroy(*model);
        *model = NULL;
    }
    return s;
}

status model_folder_mark_stub(const char *folder)
{
    static const char text[] =
        "Written under device: sleep, a timed stub: nothing was computed and "
        "nothing was learned.  Of no use but for measuring schedules.\n";
    char path[CHECKPOINT_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/" CHECKPOINT_TIMED_STUB, folder);
    return file_write(path, text, sizeof text - 1);
}

status model_folder_computed(const char *folder, const struct queue *queue)
{
    if (queue_is_sleep(queue) || !holds(folder, CHECKPOINT_TIMED_STUB)) return NULL;
    FAIL(STATUS_INPUT,
         "%s was written under device: sleep, which computes nothing: there is no trained model in "
         "it; take another, or device: sleep",
         folder);
}

status model_folder_verify(const char *folder, const struct queue *queue)
{
    if (!directory_exists(folder))
        FAIL(STATUS_INPUT,
             "%s: no such model folder; what is wanted is a folder on this machine: regard "
             "downloads "
             "nothing",
             folder);
    if (!holds(folder, "config.json") && !holds(folder, "adapter_config.json") &&
        !holds(folder, "model.h5") && !model_is_checkpoint(folder))
        FAIL(STATUS_INPUT, "%s is no model folder: there is neither a config.json nor a checkpoint",
             folder);
    if (!model_is_checkpoint(folder) || queue_is_plan(queue)) return NULL;
    TRY(model_folder_computed(folder, queue));
    return checkpoint_verify(folder, NULL);
}

bool model_folder_is_value(const char *folder)
{
    return model_is_checkpoint(folder) && holds(folder, CHECKPOINT_VALUE_HEAD);
}

status model_folder_speaks(const char *folder)
{
    if (!model_folder_is_value(folder)) return NULL;
    FAIL(STATUS_INPUT,
         "%s is a reward model's folder (regard reward); a language model's is wanted here",
         folder);
}

static status adapter_look(const char *folder, struct queue *queue, bool *found,
                           struct checkpoint_adapter *adapter)
{
    TRY(model_folder_speaks(folder));
    TRY(model_folder_verify(folder, queue));
    return adapter_folder_look(folder, found, adapter);
}

status model_open(const char *folder, struct queue *queue, bool with_gradients,
                  struct model **model)
{
    struct checkpoint_adapter adapter;
    struct model *base;
    bool found;
    *model = NULL;
    TRY(adapter_look(folder, queue, &found, &adapter));
    if (!found) return plain_open(folder, queue, with_gradients, model);
    if (!directory_exists(adapter.base))
        FAIL(STATUS_INPUT,
             "%s holds adapters for the model %s, which is no folder here: give that model, and "
             "this folder as adapter.path",
             folder, adapter.base);
    TRY(status_context(model_open_merged(adapter.base, queue, with_gradients, &base),
                       "the base of %s", folder));
    return adapters_open(folder, &adapter, adapter.base, base, with_gradients, model);
}

status model_open_merged(const char *folder, struct queue *queue, bool with_gradients,
                         struct model **model)
{
    TRY(model_open(folder, queue, with_gradients, model));
    if (!model_base(*model)) return NULL;
    status s = model_merge(model, with_gradients);
    if (s) {
        model_destroy(*model);
        *model = NULL;
    }
    return s;
}

status model_open_with(const char *folder, const char *adapters, struct queue *queue,
                       bool with_gradients, struct model **model)
{
    struct checkpoint_adapter adapter;
    struct model *base;
    bool found;
    *model = NULL;
    if (!adapters[0]) return model_open(folder, queue, with_gradients, model);
    TRY(adapter_look(adapters, queue, &found, &adapter));
    if (!found) FAIL(STATUS_INPUT, "adapter.path: %s holds no adapters", adapters);
    TRY(model_open_merged(folder, queue, with_gradients, &base));
    return adapters_open(adapters, &adapter, folder, base, with_gradients, model);
}

const char *model_words_folder(const char *folder, const struct model *model)
{
    const bool own = holds(folder, "tokenizer_config.json") || holds(folder, "spiece.model") ||
                     holds(folder, "tokenizer.json");
    return own || !model_base(model) ? folder : model_base_name(model);
}

status model_write_trained(struct model *model, const float *host, const char *out)
{
    const struct adapter_settings *settings = model_adapter(model);
    struct checkpoint_adapter adapter;
    if (!settings)
        return checkpoint_write_model(out, model_parameters(model), host, model_shape(model));
    memset(&adapter, 0, sizeof adapter);
    adapter.settings = *settings;
    snprintf(adapter.base, sizeof adapter.base, "%s", model_base_name(model));
    TRY(model_base_hash(model, adapter.base_sha256));
    return checkpoint_write_adapter(out, model_trained(model), host, model_shape(model), &adapter);
}

status model_save_imported(struct model *model, bool merged, const char *tokenizer_folder,
                           const char *out)
{
    struct parameters *parameters = merged ? model_parameters(model) : model_trained(model);
    struct checkpoint_file *files;
    int64_t count;
    if (!directory_exists(out)) FAIL(STATUS_INPUT, "%s: no such folder", out);
    if (model_is_checkpoint(out)) FAIL(STATUS_INPUT, "%s holds a model already", out);
    float *host = memory_allocate((size_t)parameters->size * sizeof *host);
    status s = merged ? model_merged_download(model, host) : parameters_download(parameters, host);
    if (!s)
        s = merged ? checkpoint_write_model(out, parameters, host, model_shape(model))
                   : model_write_trained(model, host, out);
    free(host);
    if (s) return s;
    if (tokenizer_folder) TRY(checkpoint_copy_tokenizer(tokenizer_folder, out));
    TRY(checkpoint_list_files(out, &files, &count));
    s = checkpoint_write_manifest(out, -1, files, count);
    free(files);
    if (s) return s;
    return directory_sync(out);
}
