#include "src/model/peft.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/model/adapted.h"
#include "src/model/config_json.h"
#include "src/model/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "base_model.model.";

static void path_join(char out[PEFT_PATH_MAX + 32], const char *folder, const char *name)
{
    snprintf(out, PEFT_PATH_MAX + 32, "%.1000s/%s", folder, name);
}

bool peft_is_folder(const char *folder)
{
    char path[PEFT_PATH_MAX + 32];
    path_join(path, folder, "adapter_config.json");
    return file_exists(path);
}

/* ---- reading ---- */

/* Keys that are read below, or say nothing about what the adapters compute. */
static bool key_is_known(const char *key)
{
    static const char *const names[] = {"peft_type",
                                        "auto_mapping",
                                        "revision",
                                        "base_model_name_or_path",
                                        "inference_mode",
                                        "r",
                                        "lora_alpha",
                                        "target_modules",
                                        "lora_dropout",
                                        "task_type",
                                        "init_lora_weights",
                                        "use_rslora",
                                        "bias",
                                        "peft_version",
                                        "qalora_group_size",
                                        "ensure_weight_tying",
                                        "megatron_core"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], key)) return true;
    return false;
}

static bool is_off(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_string(value) && !*json_string_value(value));
}

/* Every other option must be off. */
static status options_check(json_t *config, const char *path)
{
    const char *key, *type = "LORA", *bias = "none", *start = NULL;
    json_t *value;
    TRY(config_text(config, path, "peft_type", &type));
    if (strcmp(type, "LORA") != 0)
        FAIL(STATUS_INPUT, "%s: peft_type %s is not supported (LORA is)", path, type);
    TRY(config_text(config, path, "bias", &bias));
    if (strcmp(bias, "none") != 0)
        FAIL(STATUS_INPUT, "%s: bias %s is not supported (none is)", path, bias);
    /* Other starts than PEFT's own change the base's weights too. */
    if (json_is_string(config_find(config, "init_lora_weights")))
        TRY(config_text(config, path, "init_lora_weights", &start));
    if (start && strcmp(start, "gaussian") && strcmp(start, "eva") && strcmp(start, "orthogonal"))
        FAIL(STATUS_INPUT, "%s: init_lora_weights %s is not supported: it changes the base", path,
             start);
    json_object_foreach(config, key, value)
    {
        if (!key_is_known(key) && !is_off(value))
            FAIL(STATUS_INPUT, "%s: %s is not supported", path, key);
    }
    return NULL;
}

static status targets_read(const json_t *config, const char *path, struct adapter_settings *out)
{
    const json_t *list = config_find(config, "target_modules"), *one;
    size_t i, used = 0;
    if (!json_is_array(list) || json_array_size(list) == 0)
        FAIL(STATUS_INPUT, "%s: target_modules must be a list of names", path);
    json_array_foreach(list, i, one)
    {
        const char *name = json_string_value(one);
        if (!name || !*name || strpbrk(name, ", "))
            FAIL(STATUS_INPUT, "%s: target_modules must be a list of names", path);
        used += (size_t)snprintf(out->targets + used, sizeof out->targets - used, "%s%s",
                                 i ? "," : "", name);
        if (used >= sizeof out->targets)
            FAIL(STATUS_INPUT, "%s: target_modules is longer than %d bytes", path,
                 ADAPTER_TARGETS_MAX);
    }
    return NULL;
}

static status config_settings(json_t *config, const char *path, struct adapter_settings *out,
                              char base[PEFT_PATH_MAX])
{
    bool rslora = false;
    double alpha = 8;
    const char *name = "";
    if (!json_is_object(config)) FAIL(STATUS_INPUT, "%s: not a JSON object", path);
    TRY(options_check(config, path));
    out->rank = 8;
    TRY(config_integer(config, path, "r", 1, ADAPTER_RANK_MAX, &out->rank));
    if (config_find(config, "lora_alpha")) TRY(json_get_number(config, path, "lora_alpha", &alpha));
    TRY(config_flag(config, path, "use_rslora", &rslora));
    /* alpha / sqrt(rank) in place of alpha / rank */
    out->alpha = (float)(rslora ? alpha * sqrt((double)out->rank) : alpha);
    TRY(config_text(config, path, "base_model_name_or_path", &name));
    snprintf(base, PEFT_PATH_MAX, "%s", name);
    return targets_read(config, path, out);
}

status peft_settings(const char *folder, struct adapter_settings *out, char base[PEFT_PATH_MAX])
{
    char path[PEFT_PATH_MAX + 32];
    json_t *config;
    memset(out, 0, sizeof *out);
    path_join(path, folder, "adapter_config.json");
    TRY(json_read(path, &config));
    status s = config_settings(config, path, out, base);
    json_decref(config);
    return s;
}

static status tensor_read(const struct safetensors *file, const struct parameter *one, float *to)
{
    char name[sizeof one->name + sizeof prefix], here[160], wanted[160];
    const char *path = safetensors_path(file);
    snprintf(name, sizeof name, "%s%s", prefix, one->name);
    const struct tensor *tensor = safetensors_find(file, name);
    if (!tensor) FAIL(STATUS_INPUT, "%s: missing tensor %s", path, name);
    tensor_shape_text(here, sizeof here, tensor->shape, tensor->rank);
    tensor_shape_text(wanted, sizeof wanted, one->shape, one->rank);
    if (strcmp(here, wanted) != 0)
        FAIL(STATUS_INPUT, "%s: tensor %s: its shape is %s, the base and r ask for %s", path, name,
             here, wanted);
    TRY(status_context(tensor_floats(tensor, to), "%s", path));
    for (int64_t i = 0; i < one->count; i++)
        if (!isfinite(to[i]))
            FAIL(STATUS_INPUT, "%s: tensor %s: element %lld is not finite", path, name,
                 (long long)i);
    return NULL;
}

static status tensors_read(const struct safetensors *file, const struct parameters *p, float *host)
{
    for (int64_t i = 0; i < p->count; i++)
        TRY(tensor_read(file, &p->list[i], host + p->list[i].offset));
    for (int64_t i = 0; i < safetensors_count(file); i++) {
        const char *name = safetensors_at(file, i)->name;
        const bool ours = !strncmp(name, prefix, sizeof prefix - 1);
        if (!ours || !parameters_find(p, name + sizeof prefix - 1))
            FAIL(STATUS_INPUT, "%s: unexpected tensor %s", safetensors_path(file), name);
    }
    return NULL;
}

status peft_load(const char *folder, struct model *model)
{
    struct parameters *trained = model_trained(model);
    struct safetensors *file;
    char path[PEFT_PATH_MAX + 32];
    path_join(path, folder, "adapter_model.safetensors");
    TRY(safetensors_open(path, &file));
    float *host = memory_allocate((size_t)trained->size * sizeof *host);
    status s = tensors_read(file, trained, host);
    safetensors_close(file);
    if (!s) s = parameters_upload(trained, host);
    free(host);
    return s ? s : model_refresh(model);
}

/* ---- writing ---- */

static status config_save(struct model *model, const char *base, const char *folder)
{
    const struct adapter_settings *settings = model_adapter(model);
    char path[PEFT_PATH_MAX + 32], alpha[40];
    struct file_writer writer;
    path_join(path, folder, "adapter_config.json");
    TRY(file_begin(&writer, path));
    FILE *out = writer.stream;
    fprintf(out, "{\n  \"base_model_name_or_path\": ");
    json_write_text(out, base);
    json_float_text(alpha, settings->alpha);
    if (settings->alpha == floorf(settings->alpha))
        snprintf(alpha, sizeof alpha, "%.0f", (double)settings->alpha);
    fprintf(out,
            ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
            "  \"init_lora_weights\": true,\n  \"lora_alpha\": %s,\n  \"lora_dropout\": 0.0,\n"
            "  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n  \"r\": %lld,\n"
            "  \"target_modules\": [",
            alpha, (long long)settings->rank);
    const char *list = settings->targets;
    for (bool first = true; *(list += strspn(list, ", ")); first = false) {
        const int length = (int)strcspn(list, ", ");
        char name[ADAPTER_TARGETS_MAX];
        snprintf(name, sizeof name, "%.*s", length, list);
        if (!first) fprintf(out, ", ");
        json_write_text(out, name);
        list += length;
    }
    fprintf(out,
            "],\n  \"task_type\": null,\n  \"use_dora\": false,\n  \"use_rslora\": false\n}\n");
    return file_commit(&writer);
}

static status weights_save(const struct parameters *p, const float *host, const char *folder)
{
    enum { NAME = sizeof p->list->name + sizeof prefix };
    char(*names)[NAME] = memory_allocate((size_t)p->count * sizeof *names);
    struct tensor_source *tensors = memory_allocate((size_t)p->count * sizeof *tensors);
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        snprintf(names[i], NAME, "%s%s", prefix, one->name);
        tensors[i] = (struct tensor_source){.name = names[i],
                                            .values = host + one->offset,
                                            .rank = one->rank,
                                            .shape = {one->shape[0], one->shape[1]}};
    }
    char path[PEFT_PATH_MAX + 32];
    path_join(path, folder, "adapter_model.safetensors");
    status s = safetensors_write(path, tensors, p->count);
    free(names);
    free(tensors);
    return s;
}

status peft_save(struct model *model, const char *base, const char *folder)
{
    const struct parameters *trained = model_trained(model);
    float *host = memory_allocate((size_t)trained->size * sizeof *host);
    status s = parameters_download(trained, host);
    if (!s) s = weights_save(trained, host, folder);
    free(host);
    return s ? s : config_save(model, base, folder);
}
