/* A model as a Hugging Face folder that Transformers 4.57 and 5 load with equal outputs.
 *
 * 4.57 takes both the tied head and the scaled logits from tie_word_embeddings; 5 takes the
 * scaling from scale_decoder_outputs, or from tie_word_embeddings where that key is missing,
 * and the separate head from the file.  The four combinations are written so:
 *   tied, scaled        tie_word_embeddings true
 *   separate, unscaled  tie_word_embeddings false, lm_head.weight
 *   tied, unscaled      tie_word_embeddings false, lm_head.weight a copy of shared.weight
 *   separate, scaled    tie_word_embeddings false, lm_head.weight times d_model^-0.5 */
#include "src/model/folder.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/model/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static bool writes_tied(const struct model_shape *shape)
{
    return shape->tied && shape->scale_logits;
}

static status config_write(const struct model_shape *shape, const char *folder)
{
    char path[1024], eps[32];
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_float_text(eps, shape->eps);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"d_ff", shape->d_ff},
        {"d_kv", shape->d_kv},
        {"d_model", shape->d_model},
        {"decoder_start_token_id", shape->decoder_start},
        {"eos_token_id", shape->end},
        {"num_decoder_layers", shape->decoder_layers},
        {"num_heads", shape->heads},
        {"num_layers", shape->encoder_layers},
        {"pad_token_id", shape->pad},
        {"relative_attention_max_distance", shape->max_distance},
        {"relative_attention_num_buckets", shape->buckets},
        {"vocab_size", shape->vocabulary},
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
            eps, shape->gated ? "gated-gelu" : "relu", writes_tied(shape) ? "true" : "false");
    return file_commit(&writer);
}

static status generation_config_write(const struct model_shape *shape, const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/generation_config.json", folder);
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    fprintf(writer.stream,
            "{\n  \"_from_model_config\": true,\n  \"decoder_start_token_id\": %d,\n"
            "  \"eos_token_id\": %d,\n  \"pad_token_id\": %d\n}\n",
            shape->decoder_start, shape->end, shape->pad);
    return file_commit(&writer);
}

static struct tensor_source source_of(const char *name, const struct parameter *parameter,
                                      const float *values)
{
    struct tensor_source source = {.name = name, .values = values, .rank = parameter->rank};
    for (int i = 0; i < parameter->rank; i++) source.shape[i] = parameter->shape[i];
    return source;
}

/* Downloads the parameters and writes them, with the head that the form needs. */
static status weights_write(struct model *model, const char *folder)
{
    const struct model_shape *shape = model_shape(model);
    const struct parameters *parameters = model_parameters(model);
    const struct parameter *head = parameters_find(parameters, "lm_head.weight"),
                           *shared = parameters_find(parameters, "shared.weight");
    float *values = memory_allocate((size_t)parameters->size * sizeof *values + 1);
    struct tensor_source *tensors =
        memory_allocate((size_t)(parameters->count + 1) * sizeof *tensors);
    status s = parameters_download(parameters, values);
    if (!s && head && shape->scale_logits) {
        const float scale = 1.0f / sqrtf((float)shape->d_model);
        for (int64_t i = 0; i < head->count; i++) values[head->offset + i] *= scale;
    }
    if (!s) {
        int64_t count = 0;
        for (; count < parameters->count; count++) {
            const struct parameter *parameter = &parameters->list[count];
            tensors[count] = source_of(parameter->name, parameter, values + parameter->offset);
        }
        if (!head && shared && !writes_tied(shape))
            tensors[count++] = source_of("lm_head.weight", shared, values + shared->offset);
        char path[1024];
        snprintf(path, sizeof path, "%s/model.safetensors", folder);
        s = safetensors_write(path, tensors, count);
    }
    free(tensors);
    free(values);
    return s;
}

status model_folder_save(struct model *model, const char *folder)
{
    const struct model_shape *shape = model_shape(model);
    if (!shape->decoder_layers)
        FAIL(STATUS_INPUT, "%s: an encoder alone cannot be written as a T5 folder", folder);
    TRY(config_write(shape, folder));
    TRY(generation_config_write(shape, folder));
    return weights_write(model, folder);
}
