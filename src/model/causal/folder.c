#include "src/model/causal/folder.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/model/config_json.h"
#include "src/model/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const causal_config_types[] = {"llama", "mistral", "qwen2", "qwen3", NULL};
static const char *const architectures[] = {"LlamaForCausalLM", "MistralForCausalLM",
                                            "Qwen2ForCausalLM", "Qwen3ForCausalLM"};

const char *const *causal_tensor_names(const struct model_shape *shape, const char *parameter)
{
    static const char *const none[] = {NULL}, *const tied[] = {"lm_head.weight", NULL};
    return causal_shape(shape)->tied && !strcmp(parameter, "model.embed_tokens.weight") ? tied
                                                                                        : none;
}

/* Old files hold the frequencies of rotary positions, which follow from config.json. */
bool causal_tensor_ignored(const char *name)
{
    const char *end = strrchr(name, '.');
    return end && !strcmp(end, ".inv_freq") && strstr(name, ".rotary_emb");
}

/* What a config.json leaves out is Transformers' default for its type. */
static void defaults_of(struct causal_shape *s)
{
    const bool qwen = s->kind == CAUSAL_QWEN2 || s->kind == CAUSAL_QWEN3;
    s->common.vocabulary = qwen ? 151936 : 32000;
    s->d_ff = qwen ? 22016 : s->kind == CAUSAL_MISTRAL ? 14336 : 11008;
    s->context = qwen ? 32768 : s->kind == CAUSAL_MISTRAL ? 131072 : 2048;
    s->tied = false;
}

/* Parts of models that are not computed here, by the keys that ask for them. */
static status unsupported_check(const json_t *config, const char *path)
{
    static const char *const flags[] = {"attention_bias", "mlp_bias"};
    const char *activation = "silu";
    double rotated = 1;
    TRY(config_text(config, path, "hidden_act", &activation));
    if (strcmp(activation, "silu"))
        FAIL(STATUS_INPUT, "%s: hidden_act %s is not supported (silu is)", path, activation);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool asked = false;
        TRY(config_flag(config, path, flags[i], &asked));
        if (asked) FAIL(STATUS_INPUT, "%s: %s true is not supported", path, flags[i]);
    }
    TRY(config_number(config, path, "partial_rotary_factor", 0, 1, &rotated));
    if (rotated != 1)
        FAIL(STATUS_INPUT, "%s: partial_rotary_factor %g is not supported (1 is)", path, rotated);
    if (config_find(config, "quantization_config"))
        FAIL(STATUS_INPUT,
             "%s: quantization_config: quantised weights are not supported; take the folder in "
             "F32, BF16 or F16",
             path);
    return NULL;
}

static status heads_read(const json_t *config, const char *path, struct causal_shape *s)
{
    s->kv_heads = s->kind == CAUSAL_LLAMA ? s->common.heads : s->kind == CAUSAL_MISTRAL ? 8 : 32;
    TRY(config_integer(config, path, "num_key_value_heads", 1, 1 << 10, &s->kv_heads));
    s->head_dim = s->kind == CAUSAL_QWEN3 ? 128 : s->common.width / s->common.heads;
    return config_integer(config, path, "head_dim", 1, 1 << 12, &s->head_dim);
}

/* Transformers 4: rope_theta and rope_scaling; 5: rope_parameters, which has both. */
static status rope_read(const json_t *config, const char *path, struct causal_shape *s)
{
    const json_t *scaling = config_find(config, "rope_parameters");
    const json_t *theta_in = scaling && config_find(scaling, "rope_theta") ? scaling : config;
    const char *type = "default";
    double theta = 10000, factor = 1, low = 1, high = 4, rotated = 1;
    TRY(config_number(theta_in, path, "rope_theta", 0, 1e12, &theta));
    s->rope_theta = (float)theta;
    if (!scaling) scaling = config_find(config, "rope_scaling");
    if (!scaling) return NULL;
    if (!json_is_object(scaling)) FAIL(STATUS_INPUT, "%s: rope_scaling is not an object", path);
    TRY(config_text(scaling, path, "type", &type));
    TRY(config_text(scaling, path, "rope_type", &type));
    TRY(config_number(scaling, path, "partial_rotary_factor", 0, 1, &rotated));
    if (rotated != 1)
        FAIL(STATUS_INPUT, "%s: partial_rotary_factor %g is not supported (1 is)", path, rotated);
    if (!strcmp(type, "default")) return NULL;
    if (strcmp(type, "linear") && strcmp(type, "llama3"))
        FAIL(STATUS_INPUT, "%s: rope_type %s is not supported (default, linear and llama3 are)",
             path, type);
    s->rope_kind = !strcmp(type, "linear") ? ROPE_LINEAR : ROPE_LLAMA3;
    TRY(config_number(scaling, path, "factor", 0, 1e6, &factor));
    s->rope_factor = (float)factor;
    if (s->rope_kind == ROPE_LINEAR) return NULL;
    TRY(config_number(scaling, path, "low_freq_factor", 0, 1e6, &low));
    TRY(config_number(scaling, path, "high_freq_factor", 0, 1e6, &high));
    s->rope_low_factor = (float)low;
    s->rope_high_factor = (float)high;
    s->rope_original_context = s->context;
    return config_integer(scaling, path, "original_max_position_embeddings", 1, 1 << 24,
                          &s->rope_original_context);
}

/* Whether a Qwen has layers with a window: those that layer_types names so, else those from
 * max_window_layers on. */
static status qwen_window_used(const json_t *config, const char *path, int64_t layers, bool *used)
{
    int64_t first = 28;
    *used = false;
    TRY(config_flag(config, path, "use_sliding_window", used));
    if (!*used) return NULL;
    const json_t *types = config_find(config, "layer_types"), *one;
    TRY(config_integer(config, path, "max_window_layers", 0, 1 << 20, &first));
    if (!types) {
        *used = first < layers;
        return NULL;
    }
    size_t i;
    *used = false;
    json_array_foreach(types, i, one)
    {
        const char *name = json_string_value(one);
        if (name && !strcmp(name, "sliding_attention")) *used = true;
    }
    return NULL;
}

static status window_read(const json_t *config, const char *path, struct causal_shape *s)
{
    bool used = s->kind == CAUSAL_MISTRAL;
    if (s->kind == CAUSAL_QWEN2 || s->kind == CAUSAL_QWEN3)
        TRY(qwen_window_used(config, path, s->common.layers, &used));
    const bool null = json_is_null(json_object_get(config, "sliding_window"));
    s->window = 0;
    if (!used || null) return NULL;
    s->window = 4096;
    return config_integer(config, path, "sliding_window", 1, 1 << 24, &s->window);
}

/* eos_token_id: an id or a list of ids. */
static status ends_read(const json_t *config, const char *path, struct model_shape *shape)
{
    const json_t *value = config_find(config, "eos_token_id");
    const size_t count = json_is_array(value) ? json_array_size(value) : 1;
    if (!value) return NULL;
    if (count < 1 || count > 1 + SHAPE_MORE_ENDS)
        FAIL(STATUS_INPUT, "%s: eos_token_id has %zu ids, allowed are 1 to %d", path, count,
             1 + SHAPE_MORE_ENDS);
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
        const json_int_t token = json_integer_value(id);
        if (!json_is_integer(id) || token < 0 || token >= shape->vocabulary)
            FAIL(STATUS_INPUT, "%s: eos_token_id holds something that is no id of the vocabulary",
                 path);
        if (i == 0)
            shape->end = (int32_t)token;
        else
            shape->more_end[i - 1] = (int32_t)token;
    }
    shape->more_ends = (int64_t)count - 1;
    return NULL;
}

/* generation_config.json has the last word on what ends a reply; padding is the end where neither
 * file names it. */
static status ids_read(const json_t *config, const char *path, const char *folder,
                       struct causal_shape *s)
{
    struct model_shape *shape = &s->common;
    const int64_t last = shape->vocabulary - 1;
    char generation_path[1024];
    json_t *generation = NULL;
    int64_t pad = -1;
    shape->end = (int32_t)(last < 2 ? last : 2);
    TRY(ends_read(config, path, shape));
    TRY(config_integer(config, path, "bos_token_id", -1, last, &s->begin));
    TRY(config_integer(config, path, "pad_token_id", -1, last, &pad));
    snprintf(generation_path, sizeof generation_path, "%s/generation_config.json", folder);
    status failed = NULL;
    if (file_exists(generation_path)) {
        TRY(json_read(generation_path, &generation));
        failed = ends_read(generation, generation_path, shape);
        if (!failed && pad < 0)
            failed = config_integer(generation, generation_path, "pad_token_id", -1, last, &pad);
        json_decref(generation);
    }
    shape->pad = pad < 0 ? shape->end : (int32_t)pad;
    return failed;
}

status causal_shape_from_config(const json_t *config, const char *path, const char *folder,
                                struct model_shape *shape)
{
    struct causal_shape *s = (struct causal_shape *)shape;
    const char *type = "llama";
    TRY(config_text(config, path, "model_type", &type));
    while (strcmp(causal_config_types[s->kind], type) != 0) s->kind++;
    defaults_of(s);
    TRY(config_rows(config, path, shape));
    TRY(config_flag(config, path, "tie_word_embeddings", &s->tied));
    TRY(unsupported_check(config, path));
    TRY(heads_read(config, path, s));
    TRY(rope_read(config, path, s));
    TRY(window_read(config, path, s));
    TRY(ids_read(config, path, folder, s));
    return status_context(causal_shape_check(shape), "%s", path);
}

static void rope_write(FILE *out, const struct causal_shape *s)
{
    char theta[32], factor[32], low[32], high[32];
    json_float_text(theta, s->rope_theta);
    json_float_text(factor, s->rope_factor);
    json_float_text(low, s->rope_low_factor);
    json_float_text(high, s->rope_high_factor);
    fprintf(out, "  \"rope_theta\": %s,\n", theta);
    if (s->rope_kind == ROPE_DEFAULT) fprintf(out, "  \"rope_scaling\": null,\n");
    if (s->rope_kind == ROPE_LINEAR)
        fprintf(out, "  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": %s},\n", factor);
    if (s->rope_kind == ROPE_LLAMA3)
        fprintf(out,
                "  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": %s, "
                "\"low_freq_factor\": %s, \"high_freq_factor\": %s, "
                "\"original_max_position_embeddings\": %" PRId64 "},\n",
                factor, low, high, s->rope_original_context);
}

static void ends_write(FILE *out, const struct model_shape *shape)
{
    fprintf(out, "  \"eos_token_id\": %s%d", shape->more_ends ? "[" : "", shape->end);
    for (int64_t i = 0; i < shape->more_ends; i++) fprintf(out, ", %d", shape->more_end[i]);
    fprintf(out, "%s,\n", shape->more_ends ? "]" : "");
}

static void window_write(FILE *out, const struct causal_shape *s)
{
    if (s->kind == CAUSAL_LLAMA) return;
    if (s->window)
        fprintf(out, "  \"sliding_window\": %" PRId64 ",\n", s->window);
    else
        fprintf(out, "  \"sliding_window\": null,\n");
    if (s->kind == CAUSAL_MISTRAL) return;
    fprintf(out, "  \"use_sliding_window\": %s,\n", s->window ? "true" : "false");
    if (s->window) fprintf(out, "  \"max_window_layers\": 0,\n");
}

static status config_write(const struct causal_shape *s, const char *folder)
{
    char path[1024], eps[32];
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_float_text(eps, s->eps);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"head_dim", s->head_dim},
        {"hidden_size", s->common.width},
        {"intermediate_size", s->d_ff},
        {"max_position_embeddings", s->context},
        {"num_attention_heads", s->common.heads},
        {"num_hidden_layers", s->common.layers},
        {"num_key_value_heads", s->kv_heads},
        {"pad_token_id", s->common.pad},
        {"vocab_size", s->common.vocabulary},
    };
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    FILE *out = writer.stream;
    fprintf(out, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n",
            architectures[s->kind], causal_config_types[s->kind]);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        fprintf(out, "  \"%s\": %" PRId64 ",\n", numbers[i].key, numbers[i].value);
    if (s->begin >= 0) fprintf(out, "  \"bos_token_id\": %" PRId64 ",\n", s->begin);
    ends_write(out, &s->common);
    rope_write(out, s);
    window_write(out, s);
    fprintf(out,
            "  \"attention_bias\": false,\n  \"hidden_act\": \"silu\",\n  \"rms_norm_eps\": %s,\n"
            "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"float32\",\n"
            "  \"use_cache\": true\n}\n",
            eps, s->tied ? "true" : "false");
    return file_commit(&writer);
}

static status generation_config_write(const struct causal_shape *s, const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/generation_config.json", folder);
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    fprintf(writer.stream, "{\n  \"_from_model_config\": true,\n");
    if (s->begin >= 0) fprintf(writer.stream, "  \"bos_token_id\": %" PRId64 ",\n", s->begin);
    ends_write(writer.stream, &s->common);
    fprintf(writer.stream, "  \"pad_token_id\": %d\n}\n", s->common.pad);
    return file_commit(&writer);
}

status causal_folder_save(const struct model_shape *shape, const struct parameters *parameters,
                          float *values, const char *folder)
{
    const struct causal_shape *s = causal_shape(shape);
    if (shape->headless)
        FAIL(STATUS_INPUT, "%s: a critic cannot be written as a model folder", folder);
    TRY(config_write(s, folder));
    TRY(generation_config_write(s, folder));
    struct tensor_source *tensors = memory_allocate((size_t)parameters->count * sizeof *tensors);
    for (int64_t i = 0; i < parameters->count; i++) {
        const struct parameter *one = &parameters->list[i];
        tensors[i] = (struct tensor_source){
            .name = one->name, .values = values + one->offset, .rank = one->rank};
        for (int r = 0; r < one->rank; r++) tensors[i].shape[r] = one->shape[r];
    }
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    status written = safetensors_write(path, tensors, parameters->count);
    free(tensors);
    return written;
}
