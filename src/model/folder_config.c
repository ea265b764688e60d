/* config.json of the T5 family to a shape.  Missing keys take the defaults of Transformers'
 * T5Config; what this program cannot compute is refused by name. */
#include "src/model/folder.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/model/folder_weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A key's value; null counts as absent, as in Transformers. */
static const json_t *config_find(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return json_is_null(value) ? NULL : value;
}

static status config_integer(const json_t *config, const char *path, const char *key,
                             int64_t absent, int64_t low, int64_t high, int64_t *out)
{
    const json_t *value = config_find(config, key);
    *out = absent;
    if (value && !json_is_integer(value)) FAIL(STATUS_INPUT, "%s: %s is not an integer", path, key);
    if (value) *out = json_integer_value(value);
    if (*out < low || *out > high)
        FAIL(STATUS_INPUT, "%s: %s is %" PRId64 ", allowed are %" PRId64 " to %" PRId64, path, key,
             *out, low, high);
    return NULL;
}

static status config_flag(const json_t *config, const char *path, const char *key, bool absent,
                          bool *out)
{
    const json_t *value = config_find(config, key);
    *out = absent;
    if (value && !json_is_boolean(value))
        FAIL(STATUS_INPUT, "%s: %s is not true or false", path, key);
    if (value) *out = json_is_true(value);
    return NULL;
}

static status config_text(const json_t *config, const char *path, const char *key,
                          const char *absent, const char **out)
{
    const json_t *value = config_find(config, key);
    *out = absent;
    if (value && !json_is_string(value)) FAIL(STATUS_INPUT, "%s: %s is not a string", path, key);
    if (value) *out = json_string_value(value);
    return NULL;
}

static status sizes_read(const json_t *config, const char *path, struct model_shape *shape)
{
    const struct {
        const char *key;
        int64_t *out, absent, low, high;
    } sizes[] = {
        {"vocab_size", &shape->vocabulary, 32128, 2, 1 << 24},
        {"d_model", &shape->d_model, 512, 1, 1 << 16},
        {"d_kv", &shape->d_kv, 64, 1, 1 << 12},
        {"d_ff", &shape->d_ff, 2048, 1, 1 << 20},
        {"num_heads", &shape->heads, 8, 1, 1 << 10},
        {"num_layers", &shape->encoder_layers, 6, 1, 1 << 10},
        {"relative_attention_num_buckets", &shape->buckets, 32, 4, 1 << 12},
        {"relative_attention_max_distance", &shape->max_distance, 128, 1, 1 << 20},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        TRY(config_integer(config, path, sizes[i].key, sizes[i].absent, sizes[i].low, sizes[i].high,
                           sizes[i].out));
    TRY(config_integer(config, path, "num_decoder_layers", shape->encoder_layers, 1, 1 << 10,
                       &shape->decoder_layers));
    /* T5's logarithmic buckets begin at half of the (causal) buckets. */
    if (shape->max_distance <= shape->buckets / 2)
        FAIL(STATUS_INPUT,
             "%s: relative_attention_max_distance %" PRId64
             " must be above half of relative_attention_num_buckets %" PRId64,
             path, shape->max_distance, shape->buckets);

    const json_t *eps = config_find(config, "layer_norm_epsilon");
    if (eps && !json_is_number(eps))
        FAIL(STATUS_INPUT, "%s: layer_norm_epsilon is not a number", path);
    shape->eps = eps ? (float)json_number_value(eps) : 1e-6f;
    if (!(shape->eps > 0 && shape->eps <= 1))
        FAIL(STATUS_INPUT, "%s: layer_norm_epsilon is %g, allowed are above 0 to 1", path,
             (double)shape->eps);
    return NULL;
}

static status tokens_read(const json_t *config, const char *path, struct model_shape *shape)
{
    int64_t pad, end, start, last = shape->vocabulary - 1;
    TRY(config_integer(config, path, "pad_token_id", 0, 0, last, &pad));
    TRY(config_integer(config, path, "eos_token_id", 1, 0, last, &end));
    TRY(config_integer(config, path, "decoder_start_token_id", pad, 0, last, &start));
    shape->pad = (int32_t)pad;
    shape->end = (int32_t)end;
    shape->decoder_start = (int32_t)start;
    return NULL;
}

/* T5Config derives activation and gate from feed_forward_proj; is_gated_act and dense_act_fn,
 * where a file holds them, have the last word. */
static status activation_read(const json_t *config, const char *path, struct model_shape *shape)
{
    const char *form, *activation;
    bool gated;
    TRY(config_text(config, path, "feed_forward_proj", "relu", &form));
    const bool form_gated = !strncmp(form, "gated-", 6);
    const char *form_activation = !strcmp(form, "gated-gelu") ? "gelu_new"
                                  : form_gated                ? form + 6
                                                              : form;
    TRY(config_flag(config, path, "is_gated_act", form_gated, &gated));
    TRY(config_text(config, path, "dense_act_fn", form_activation, &activation));
    if (strcmp(activation, gated ? "gelu_new" : "relu") ||
        (strcmp(form_activation, "gelu_new") && strcmp(form_activation, "relu")))
        FAIL(STATUS_INPUT,
             "%s: feed_forward_proj %s with dense_act_fn %s is not supported (relu and gated-gelu "
             "are)",
             path, form, activation);
    shape->gated = gated;
    return NULL;
}

static status head_differs(const char *folder, bool *out)
{
    struct folder_weights weights;
    TRY(folder_weights_open(folder, &weights));
    const struct tensor *head = folder_weights_find(&weights, "lm_head.weight", NULL),
                        *shared = folder_weights_find(&weights, "shared.weight", NULL);
    status s = NULL;
    *out = head != NULL;
    if (head && shared && head->count == shared->count) {
        size_t size = (size_t)head->count * sizeof(float);
        float *a = memory_allocate(size + 1), *b = memory_allocate(size + 1);
        s = tensor_floats(head, a);
        if (!s) s = tensor_floats(shared, b);
        if (!s) *out = memcmp(a, b, size) != 0;
        free(a);
        free(b);
    }
    s = status_context(s, "%s", folder);
    folder_weights_close(&weights);
    return s;
}

/* Old form: tie_word_embeddings (absent: true) says both.  Transformers 5's form, known by
 * scale_decoder_outputs: that key says the scaling, the weights whether the head is separate. */
static status head_read(const json_t *config, const char *path, const char *folder,
                        struct model_shape *shape)
{
    TRY(config_flag(config, path, "tie_word_embeddings", true, &shape->tied));
    TRY(config_flag(config, path, "scale_decoder_outputs", shape->tied, &shape->scale_logits));
    if (!config_find(config, "scale_decoder_outputs") || !folder_weights_exist(folder)) return NULL;
    bool separate;
    TRY(head_differs(folder, &separate));
    shape->tied = !separate;
    return NULL;
}

static status config_read(const json_t *config, const char *path, const char *folder,
                          struct model_shape *shape)
{
    if (!json_is_object(config)) FAIL(STATUS_INPUT, "%s: not a JSON object", path);
    const char *type;
    TRY(config_text(config, path, "model_type", "t5", &type));
    if (strcmp(type, "t5"))
        FAIL(STATUS_INPUT, "%s: model_type %s is not supported (t5 is)", path, type);
    TRY(sizes_read(config, path, shape));
    TRY(tokens_read(config, path, shape));
    TRY(activation_read(config, path, shape));
    return head_read(config, path, folder, shape);
}

status model_folder_shape(const char *folder, struct model_shape *shape)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_t *config = NULL;
    TRY(json_read(path, &config));
    struct model_shape result = {0};
    status s = config_read(config, path, folder, &result);
    json_decref(config);
    if (!s) *shape = result;
    return s;
}
