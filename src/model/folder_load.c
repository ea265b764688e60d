/* The weights of a Hugging Face folder into a model: every tensor named by the model must be
 * there, with its shape and finite; every tensor there must be the model's, an equal copy of
 * the embedding, or the one legacy tensor that old T5 files carry. */
#include "src/model/folder.h"

#include "src/base/memory.h"
#include "src/model/folder_weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARED "shared.weight"

/* Other names under which files store the embedding again; the head only where it is tied. */
static bool name_redundant(const char *name)
{
    return !strcmp(name, "encoder.embed_tokens.weight") ||
           !strcmp(name, "decoder.embed_tokens.weight") || !strcmp(name, "lm_head.weight");
}

/* T5 v1.0 files hold a cross-attention bias that no version of the model reads. */
static bool name_legacy(const char *name)
{
    return !strcmp(name, "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight");
}

static status shape_check(const char *path, const struct tensor *tensor,
                          const struct parameter *parameter)
{
    bool same = tensor->rank == parameter->rank;
    for (int i = 0; same && i < tensor->rank; i++) same = tensor->shape[i] == parameter->shape[i];
    if (same) return NULL;
    char here[160], wanted[160];
    tensor_shape_text(here, sizeof here, tensor->shape, tensor->rank);
    tensor_shape_text(wanted, sizeof wanted, parameter->shape, parameter->rank);
    FAIL(STATUS_INPUT, "%s: tensor %s: its shape is %s, config.json asks for %s", path,
         tensor->name, here, wanted);
}

/* The tensor as floats, shape checked and all finite. */
static status values_read(const char *path, const struct tensor *tensor,
                          const struct parameter *parameter, float *out)
{
    TRY(shape_check(path, tensor, parameter));
    TRY(status_context(tensor_floats(tensor, out), "%s", path));
    for (int64_t i = 0; i < tensor->count; i++)
        if (!isfinite(out[i]))
            FAIL(STATUS_INPUT, "%s: tensor %s: element %" PRId64 " is not finite", path,
                 tensor->name, i);
    return NULL;
}

static status redundant_check(const char *path, const struct tensor *tensor,
                              const struct parameter *shared, const float *values)
{
    float *copy = memory_allocate((size_t)tensor->count * sizeof *copy + 1);
    status s = values_read(path, tensor, shared, copy);
    if (!s && memcmp(copy, values + shared->offset, (size_t)shared->count * sizeof *copy))
        s = ERROR(STATUS_INPUT,
                  "%s: tensor %s: config.json ties it to " SHARED ", but its values differ", path,
                  tensor->name);
    free(copy);
    return s;
}

static status tensors_check(const struct folder_weights *weights, const struct parameters *wanted,
                            const float *values)
{
    const struct parameter *shared = parameters_find(wanted, SHARED);
    for (int64_t i = 0; i < weights->count; i++) {
        const char *path = safetensors_path(weights->files[i]);
        for (int64_t j = 0; j < safetensors_count(weights->files[i]); j++) {
            const struct tensor *tensor = safetensors_at(weights->files[i], j);
            if (parameters_find(wanted, tensor->name) || name_legacy(tensor->name)) continue;
            if (!shared || !name_redundant(tensor->name))
                FAIL(STATUS_INPUT, "%s: unexpected tensor %s", path, tensor->name);
            TRY(redundant_check(path, tensor, shared, values));
        }
    }
    return NULL;
}

static status weights_read(const char *folder, const struct folder_weights *weights,
                           const struct parameters *wanted, float *values)
{
    for (int64_t i = 0; i < wanted->count; i++) {
        const struct parameter *parameter = &wanted->list[i];
        const char *path;
        const struct tensor *tensor = folder_weights_find(weights, parameter->name, &path);
        if (!tensor) FAIL(STATUS_INPUT, "%s: missing tensor %s", folder, parameter->name);
        TRY(values_read(path, tensor, parameter, values + parameter->offset));
    }
    return tensors_check(weights, wanted, values);
}

/* Names and shapes alone. */
static status weights_check(const char *folder, const struct folder_weights *weights,
                            const struct parameters *wanted)
{
    for (int64_t i = 0; i < wanted->count; i++) {
        const char *path;
        const struct tensor *tensor = folder_weights_find(weights, wanted->list[i].name, &path);
        if (!tensor) FAIL(STATUS_INPUT, "%s: missing tensor %s", folder, wanted->list[i].name);
        TRY(shape_check(path, tensor, &wanted->list[i]));
    }
    return NULL;
}

status model_folder_check(const char *folder, const struct model_shape *shape)
{
    struct parameters wanted;
    struct folder_weights weights;
    TRY(status_context(model_lay_out(shape, &wanted), "%s", folder));
    status s = NULL;
    /* Opening reads the files whole: only where they are too short for 16 bits a parameter. */
    if (folder_weights_bytes(folder) / 2 < wanted.size) {
        s = folder_weights_open(folder, &weights);
        if (!s) {
            s = weights_check(folder, &weights, &wanted);
            folder_weights_close(&weights);
        }
    }
    free(wanted.list);
    return s;
}

status model_folder_load(const char *folder, struct model *model)
{
    struct parameters *parameters = model_parameters(model);
    struct folder_weights weights;
    TRY(folder_weights_open(folder, &weights));
    float *values = memory_allocate((size_t)parameters->size * sizeof *values);
    status s = weights_read(folder, &weights, parameters, values);
    folder_weights_close(&weights);
    if (!s) s = parameters_upload(parameters, values);
    free(values);
    if (!s) s = model_refresh(model);
    return s;
}
