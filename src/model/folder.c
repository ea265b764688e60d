/* The weights of a Hugging Face folder: every parameter must be there, with its shape and finite;
 * every tensor there must be a parameter's, an equal copy of one, or one that the family ignores.
 */
#include "src/model/folder.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/model/config_json.h"
#include "src/model/families.h"
#include "src/model/family.h"
#include "src/model/folder_weights.h"
#include "src/model/merge.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static status type_unknown(const char *path, const char *type)
{
    char known[256] = "";
    for (int i = 0; family_at(i); i++)
        for (const char *const *one = family_at(i)->config_types; *one; one++)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s",
                     known[0] ? ", " : "", *one);
    FAIL(STATUS_INPUT, "%s: model_type %s is not supported; supported are: %s", path, type, known);
}

static status config_read(const json_t *config, const char *path, const char *folder,
                          struct model_shape **out)
{
    if (!json_is_object(config)) FAIL(STATUS_INPUT, "%s: not a JSON object", path);
    const char *type = NULL;
    TRY(config_text(config, path, "model_type", &type));
    const struct model_family *family = type ? family_of_config(type) : family_at(0);
    if (!family) return type_unknown(path, type);
    struct model_shape *shape = shape_new(family);
    status s = family->shape_from_config(config, path, folder, shape);
    if (s) {
        free(shape);
        return s;
    }
    *out = shape;
    return NULL;
}

status model_folder_shape(const char *folder, struct model_shape **shape)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_t *config = NULL;
    TRY(json_read(path, &config));
    status s = config_read(config, path, folder, shape);
    json_decref(config);
    return s;
}

/* A parameter's tensor, under its own name or, where that is missing, the first other one there. */
static const struct tensor *tensor_find(const struct folder_weights *weights,
                                        const struct model_shape *shape, const char *name,
                                        const char **path)
{
    const struct tensor *tensor = folder_weights_find(weights, name, path);
    const char *const *other = shape->family->tensor_names(shape, name);
    for (; !tensor && *other; other++) tensor = folder_weights_find(weights, *other, path);
    return tensor;
}

/* The parameter that a tensor of another name is a copy of; NULL: none. */
static const struct parameter *parameter_of(const struct parameters *wanted,
                                            const struct model_shape *shape, const char *name)
{
    for (int64_t i = 0; i < wanted->count; i++) {
        const char *const *other = shape->family->tensor_names(shape, wanted->list[i].name);
        for (; *other; other++)
            if (!strcmp(*other, name)) return &wanted->list[i];
    }
    return NULL;
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

static status copy_check(const char *path, const struct tensor *tensor,
                         const struct parameter *parameter, const float *values)
{
    float *copy = memory_allocate((size_t)tensor->count * sizeof *copy + 1);
    status s = values_read(path, tensor, parameter, copy);
    if (!s &&
        memcmp(copy, values + parameter->offset, (size_t)parameter->count * sizeof *copy) != 0)
        s = ERROR(STATUS_INPUT, "%s: tensor %s: config.json ties it to %s, but its values differ",
                  path, tensor->name, parameter->name);
    free(copy);
    return s;
}

static status tensors_check(const struct folder_weights *weights, const struct model_shape *shape,
                            const struct parameters *wanted, const float *values)
{
    for (int64_t i = 0; i < weights->count; i++) {
        const char *path = safetensors_path(weights->files[i]);
        for (int64_t j = 0; j < safetensors_count(weights->files[i]); j++) {
            const struct tensor *tensor = safetensors_at(weights->files[i], j);
            if (parameters_find(wanted, tensor->name) ||
                shape->family->tensor_ignored(tensor->name))
                continue;
            const struct parameter *parameter = parameter_of(wanted, shape, tensor->name);
            if (!parameter) FAIL(STATUS_INPUT, "%s: unexpected tensor %s", path, tensor->name);
            TRY(copy_check(path, tensor, parameter, values));
        }
    }
    return NULL;
}

static status weights_read(const char *folder, const struct folder_weights *weights,
                           const struct model_shape *shape, const struct parameters *wanted,
                           float *values)
{
    for (int64_t i = 0; i < wanted->count; i++) {
        const struct parameter *parameter = &wanted->list[i];
        const char *path;
        const struct tensor *tensor = tensor_find(weights, shape, parameter->name, &path);
        if (!tensor) FAIL(STATUS_INPUT, "%s: missing tensor %s", folder, parameter->name);
        TRY(values_read(path, tensor, parameter, values + parameter->offset));
    }
    return tensors_check(weights, shape, wanted, values);
}

/* Names and shapes alone. */
static status weights_check(const char *folder, const struct folder_weights *weights,
                            const struct model_shape *shape, const struct parameters *wanted)
{
    for (int64_t i = 0; i < wanted->count; i++) {
        const char *path;
        const struct tensor *tensor = tensor_find(weights, shape, wanted->list[i].name, &path);
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
            s = weights_check(folder, &weights, shape, &wanted);
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
    status s = weights_read(folder, &weights, model_shape(model), parameters, values);
    folder_weights_close(&weights);
    if (!s) s = parameters_upload(parameters, values);
    free(values);
    if (!s) s = model_refresh(model);
    return s;
}

status model_folder_save(struct model *model, const char *folder)
{
    const struct parameters *parameters = model_parameters(model);
    const struct model_shape *shape = model_shape(model);
    float *values = memory_allocate((size_t)parameters->size * sizeof *values + 1);
    status s = model_merged_download(model, values);
    if (!s) s = shape->family->folder_save(shape, parameters, values, folder);
    free(values);
    return s;
}
