#include "src/model/t5/folder.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/model/config_json.h"
#include "src/model/folder_weights.h"
#include "src/model/safetensors.h"
#include "src/model/t5/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char head_name[] = "lm_head.weight", embedding_name[] = "shared.weight";

/* Names under which files store the embedding: as a copy, or alone (MADLAD-400 has no
 * shared.weight); the head's name only where it is tied. */
static const char *const embedding_names[] = {"encoder.embed_tokens.weight",
                                              "decoder.embed_tokens.weight", NULL};
static const char *const tied_names[] = {"encoder.embed_tokens.weight",
                                         "decoder.embed_tokens.weight", head_name, NULL};

const char *const *t5_tensor_names(const struct model_shape *shape, const char *parameter)
{
    static const char *const none[] = {NULL};
    if (strcmp(parameter, embedding_name)) return none;
    return t5_shape(shape)->tied ? tied_names : embedding_names;
}

/* T5 v1.0 files hold a cross-attention bias that no version of the model reads. */
bool t5_tensor_ignored(const char *name)
{
    return !strcmp(name, "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight");
}

/* Whether the weights have a head that is not the embedding. */
static status head_differs(const char *folder, bool *out)
{
    struct folder_weights weights;
    TRY(folder_weights_open(folder, &weights));
    const struct tensor *head = folder_weights_find(&weights, head_name, NULL),
                        *shared = folder_weights_find(&weights, embedding_name, NULL);
    for (int i = 0; !shared && embedding_names[i]; i++)
        shared = folder_weights_find(&weights, embedding_names[i], NULL);
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

/* T5Config derives activation and gate from feed_forward_proj; is_gated_act and dense_act_fn,
 * where a file holds them, have the last word. */
static status activation_read(const json_t *config, const char *path, struct t5_shape *s)
{
    const char *form = s->gated ? "gated-gelu" : "relu";
    TRY(config_text(config, path, "feed_forward_proj", &form));
    const bool form_gated = !strncmp(form, "gated-", 6);
    const char *form_activation = !strcmp(form, "gated-gelu") ? "gelu_new"
                                  : form_gated                ? form + 6
                                                              : form;
    const char *activation = form_activation;
    bool gated = form_gated;
    TRY(config_flag(config, path, "is_gated_act", &gated));
    TRY(config_text(config, path, "dense_act_fn", &activation));
    if (strcmp(activation, gated ? "gelu_new" : "relu") ||
        (strcmp(form_activation, "gelu_new") && strcmp(form_activation, "relu")))
        FAIL(STATUS_INPUT,
             "%s: feed_forward_proj %s with dense_act_fn %s is not supported (relu and gated-gelu "
             "are)",
             path, form, activation);
    s->gated = gated;
    return NULL;
}

/* Old form: tie_word_embeddings (absent: true, of mT5 false) says both.  Transformers 5's form,
 * known by scale_decoder_outputs: that key says the scaling, the weights whether the head is
 * separate. */
static status head_read(const json_t *config, const char *path, const char *folder,
                        struct t5_shape *s)
{
    TRY(config_flag(config, path, "tie_word_embeddings", &s->tied));
    s->scale_logits = s->tied;
    TRY(config_flag(config, path, "scale_decoder_outputs", &s->scale_logits));
    if (!config_find(config, "scale_decoder_outputs") || !folder_weights_exist(folder)) return NULL;
    bool separate;
    TRY(head_differs(folder, &separate));
    s->tied = !separate;
    return NULL;
}

/* Where a config.json of model_type mt5 does not say, MT5Config's defaults hold. */
static void mt5_defaults(struct t5_shape *s)
{
    s->common.vocabulary = 250112;
    s->d_ff = 1024;
    s->encoder_layers = 8;
    s->common.heads = 6;
    s->gated = true;
    s->tied = false;
}

status t5_shape_from_config(const json_t *config, const char *path, const char *folder,
                            struct model_shape *shape)
{
    struct t5_shape *s = (struct t5_shape *)shape;
    const char *type = "t5";
    TRY(config_text(config, path, "model_type", &type));
    if (!strcmp(type, "mt5")) mt5_defaults(s);
    TRY(config_rows(config, path, shape));
    shape->layers = s->encoder_layers;
    TRY(config_integer(config, path, "num_decoder_layers", 1, 1 << 10, &shape->layers));
    /* The logarithmic buckets begin at half of the (causal) buckets. */
    if (s->max_distance <= s->buckets / 2)
        FAIL(STATUS_INPUT,
             "%s: relative_attention_max_distance %" PRId64
             " must be above half of relative_attention_num_buckets %" PRId64,
             path, s->max_distance, s->buckets);
    int64_t start = shape->pad;
    TRY(config_integer(config, path, "decoder_start_token_id", 0, shape->vocabulary - 1, &start));
    shape->start = (int32_t)start;
    TRY(activation_read(config, path, s));
    return head_read(config, path, folder, s);
}

/* 4.57 takes both the tied head and the scaled logits from tie_word_embeddings; 5 takes the
 * scaling from scale_decoder_outputs, or from tie_word_embeddings where that key is missing,
 * and the separate head from the file.  The four combinations are written so:
 *   tied, scaled        tie_word_embeddings true
 *   separate, unscaled  tie_word_embeddings false, lm_head.weight
 *   tied, unscaled      tie_word_embeddings false, lm_head.weight a copy of shared.weight
 *   separate, scaled    tie_word_embeddings false, lm_head.weight times d_model^-0.5 */
static bool writes_tied(const struct t5_shape *s)
{
    return s->tied && s->scale_logits;
}

static status config_write(const struct t5_shape *s, const char *folder)
{
    char path[1024], eps[32];
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_float_text(eps, s->eps);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"d_ff", s->d_ff},
        {"d_kv", s->d_kv},
        {"d_model", s->common.width},
        {"decoder_start_token_id", s->common.start},
        {"eos_token_id", s->common.end},
        {"num_decoder_layers", s->common.layers},
        {"num_heads", s->common.heads},
        {"num_layers", s->encoder_layers},
        {"pad_token_id", s->common.pad},
        {"relative_attention_max_distance", s->max_distance},
        {"relative_attention_num_buckets", s->buckets},
        {"vocab_size", s->common.vocabulary},
    };
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    fprintf(writer.stream, "{\n  \"architectures\": [\"T5ForConditionalGeneration\"],\n"
                           "  \"model_type\": \"t5\",\n  \"is_encoder_decoder\": true,\n");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        fprintf(writer.stream, "  \"%s\": %" PRId64 ",\n", numbers[i].key, numbers[i].value);
    fprintf(writer.stream,
            "  \"layer_norm_epsilon\": %s,\n  \"feed_forward_proj\": \"%s\",\n"
            "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"float32\",\n"
            "  \"use_cache\": true\n}\n",
            eps, s->gated ? "gated-gelu" : "relu", writes_tied(s) ? "true" : "false");
    return file_commit(&writer);
}

static status generation_config_write(const struct t5_shape *s, const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/generation_config.json", folder);
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    fprintf(writer.stream,
            "{\n  \"_from_model_config\": true,\n  \"decoder_start_token_id\": %d,\n"
            "  \"eos_token_id\": %d,\n  \"pad_token_id\": %d\n}\n",
            s->common.start, s->common.end, s->common.pad);
    return file_commit(&writer);
}

static struct tensor_source source_of(const char *name, const struct parameter *parameter,
                                      const float *values)
{
    struct tensor_source source = {.name = name, .values = values, .rank = parameter->rank};
    for (int i = 0; i < parameter->rank; i++) source.shape[i] = parameter->shape[i];
    return source;
}

/* The parameters, with the head that the form needs. */
static status weights_write(const struct t5_shape *s, const struct parameters *parameters,
                            float *values, const char *folder)
{
    const struct parameter *head = parameters_find(parameters, head_name),
                           *shared = parameters_find(parameters, embedding_name);
    struct tensor_source *tensors =
        memory_allocate((size_t)(parameters->count + 1) * sizeof *tensors);
    if (head && s->scale_logits) {
        const float scale = 1.0f / sqrtf((float)s->common.width);
        for (int64_t i = 0; i < head->count; i++) values[head->offset + i] *= scale;
    }
    int64_t count = 0;
    for (int64_t i = 0; i < parameters->count; i++) {
        const struct parameter *parameter = &parameters->list[i];
        if (!strcmp(parameter->name, T5_SUMMARY_QUERIES)) {
            log_line(LOG_WARNING,
                     "%s, history.summary: learned, is left out: Transformers' T5 has none",
                     parameter->name);
            continue;
        }
        tensors[count++] = source_of(parameter->name, parameter, values + parameter->offset);
    }
    if (!head && shared && !writes_tied(s))
        tensors[count++] = source_of(head_name, shared, values + shared->offset);
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    status written = safetensors_write(path, tensors, count);
    free(tensors);
    return written;
}

status t5_folder_save(const struct model_shape *shape, const struct parameters *parameters,
                      float *values, const char *folder)
{
    const struct t5_shape *s = t5_shape(shape);
    if (!shape->layers)
        FAIL(STATUS_INPUT, "%s: an encoder alone cannot be written as a T5 folder", folder);
    TRY(config_write(s, folder));
    TRY(generation_config_write(s, folder));
    return weights_write(s, parameters, values, folder);
}
