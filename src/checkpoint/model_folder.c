/* Models from any kind of folder. */
#include "src/checkpoint/model_folder.h"

#include "kernels/plan.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/model/folder.h"

#include <stdio.h>
#include <stdlib.h>

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

static status load_checkpoint(const char *folder, struct model *model)
{
    struct parameters *parameters = model_parameters(model);
    float *host = memory_allocate((size_t)parameters->size * sizeof *host);
    status s = checkpoint_read_model(folder, parameters, host);
    if (!s) s = parameters_upload(parameters, host);
    free(host);
    return s;
}

/* Freed with free(). */
static status shape_read(const char *folder, struct queue *queue, struct model_shape **shape)
{
    const bool ours = model_is_checkpoint(folder);
    if (!ours && holds(folder, "model.h5"))
        FAIL(STATUS_INPUT, "%s: a checkpoint without its manifest.json is not used", folder);
    if (ours && !queue_is_plan(queue)) TRY(checkpoint_verify(folder, NULL));
    TRY(ours ? checkpoint_read_shape(folder, shape) : model_folder_shape(folder, shape));
    status s = ours                   ? size_check(folder, *shape)
               : queue_is_plan(queue) ? NULL
                                      : model_folder_check(folder, *shape);
    if (!s) return NULL;
    free(*shape);
    return s;
}

status model_open(const char *folder, struct queue *queue, bool with_gradients,
                  struct model **model)
{
    struct model_shape *shape;
    *model = NULL;
    if (!directory_exists(folder)) FAIL(STATUS_INPUT, "%s: no such model folder", folder);
    TRY(shape_read(folder, queue, &shape));
    status s = model_create(queue, shape, with_gradients, model);
    free(shape);
    if (s || queue_is_plan(queue)) return s;
    s = model_is_checkpoint(folder) ? load_checkpoint(folder, *model)
                                    : model_folder_load(folder, *model);
    if (!s) s = model_refresh(*model);
    if (s) {
        model_destroy(*model);
        *model = NULL;
    }
    return s;
}

status model_save_imported(struct model *model, const char *tokenizer_folder, const char *out)
{
    struct parameters *parameters = model_parameters(model);
    struct checkpoint_file *files;
    int64_t count;
    if (!directory_exists(out)) FAIL(STATUS_INPUT, "%s: no such folder", out);
    if (model_is_checkpoint(out)) FAIL(STATUS_INPUT, "%s holds a model already", out);
    float *host = memory_allocate((size_t)parameters->size * sizeof *host);
    status s = parameters_download(parameters, host);
    if (!s) s = checkpoint_write_model(out, parameters, host, model_shape(model));
    free(host);
    if (s) return s;
    if (tokenizer_folder) TRY(checkpoint_copy_tokenizer(tokenizer_folder, out));
    TRY(checkpoint_list_files(out, &files, &count));
    s = checkpoint_write_manifest(out, -1, files, count);
    free(files);
    if (s) return s;
    return directory_sync(out);
}
