/* The random models and prompts that bench makes; see bench.h. */
#include "src/base/memory.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/folder.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_WORD = 17 }; /* ids below it are special */

/* The scale's sizes, or those that the configuration gives with model.d_model; all layers, or one
 * a stack. */
static status shape_make(const struct bench *b, bool one_layer, struct model_shape **out)
{
    const struct config *config = &b->config;
    const struct bench_scale *scale = b->scale;
    const bool given = config->model.d_model != 0;
    const int64_t vocabulary =
        config->model.vocabulary ? config->model.vocabulary : scale->vocabulary;
    const int64_t encoder = given ? config->model.encoder_layers : scale->layers;
    const int64_t decoder = given ? config->model.decoder_layers : scale->layers;
    if (vocabulary <= FIRST_WORD)
        FAIL(STATUS_INPUT, "model.vocabulary is %lld; bench wants more than %d ids",
             (long long)vocabulary, FIRST_WORD);
    const struct model_setting settings[] = {
        {"vocabulary", (double)vocabulary},
        {"d_model", (double)(given ? config->model.d_model : scale->d_model)},
        {"d_kv", (double)(given ? config->model.d_kv : scale->d_kv)},
        {"d_ff", (double)(given ? config->model.d_ff : scale->d_ff)},
        {"heads", (double)(given ? config->model.heads : scale->heads)},
        {"kv_heads", (double)(!given                   ? scale->kv_heads
                              : config->model.kv_heads ? config->model.kv_heads
                                                       : config->model.heads)},
        {"encoder_layers", one_layer ? 1 : (double)encoder},
        {"decoder_layers", one_layer ? 1 : (double)decoder},
        {"gated", given && config->model.gated},
        {"tied", !given || config->model.tied},
        {"pad", 0},
        {"end", 1}};
    return model_shape_from_settings(scale->family, settings, sizeof settings / sizeof *settings,
                                     out);
}

/* The model's own initialization, which for a large one takes minutes on the host: every layer has
 * the values of a one-layer model's. */
static status weights_repeat(const struct bench *b, struct model *model, int64_t seed)
{
    struct model_shape *shape;
    struct parameters *to = model_parameters(model);
    struct model *one = NULL;
    TRY(shape_make(b, true, &shape));
    status s = model_create(model_queue(model), shape, false, &one);
    free(shape);
    if (!s) s = model_initialize(one, seed);
    float *from = NULL, *values = NULL;
    if (!s) {
        from = memory_allocate((size_t)model_parameters(one)->size * sizeof *from);
        values = memory_allocate((size_t)to->size * sizeof *values);
        s = parameters_download(model_parameters(one), from);
    }
    for (int64_t i = 0; !s && i < to->count; i++) {
        const struct parameter *parameter = &to->list[i];
        char name[sizeof parameter->name];
        snprintf(name, sizeof name, "%s", parameter->name);
        char *number = strstr(name, b->scale->kv_heads ? ".layers." : ".block.");
        if (number) {
            number = strchr(number + 1, '.') + 1;
            const char *rest = strchr(number, '.');
            number[0] = '0';
            memmove(number + 1, rest, strlen(rest) + 1);
        }
        const struct parameter *source = parameters_find(model_parameters(one), name);
        if (!source || source->count != parameter->count)
            s = ERROR(STATUS_INTERNAL, "a model of one layer has no %s", name);
        else
            memcpy(values + parameter->offset, from + source->offset,
                   (size_t)source->count * sizeof *values);
    }
    if (!s) s = parameters_upload(to, values);
    if (!s) s = model_refresh(model);
    free(from);
    free(values);
    if (one) model_destroy(one);
    return s;
}

status bench_is_causal(const struct bench *b, bool *causal)
{
    struct model_shape *shape;
    TRY(!b->folder                       ? shape_make(b, true, &shape)
        : model_is_checkpoint(b->folder) ? checkpoint_read_shape(b->folder, &shape)
                                         : model_folder_shape(b->folder, &shape));
    *causal = model_shape_is_causal(shape);
    free(shape);
    return NULL;
}

status bench_model(const struct bench *b, struct queue *queue, bool with_gradients,
                   struct model **out)
{
    *out = NULL;
    if (b->folder) return model_open(b->folder, queue, with_gradients, out);
    struct model_shape *shape;
    TRY(shape_make(b, false, &shape));
    status s = model_create(queue, shape, with_gradients, out);
    free(shape);
    if (s) return s;
    s = weights_repeat(b, *out, b->config.seed);
    if (!s) return NULL;
    model_destroy(*out);
    *out = NULL;
    return s;
}

status bench_prompts_make(const struct rollout_settings *settings, const struct model_shape *shape,
                          int64_t histories, int64_t tokens, int64_t candidates,
                          struct bench_prompts *out)
{
    *out = (struct bench_prompts){.prompt_count = histories, .row_count = histories * candidates};
    out->prompts = memory_allocate((size_t)histories * sizeof *out->prompts);
    out->rows = memory_allocate((size_t)out->row_count * sizeof *out->rows);
    int32_t *ids = memory_allocate((size_t)tokens * sizeof *ids);
    uint8_t *salient = memory_allocate((size_t)tokens);
    for (int64_t i = 0; i < tokens; i++) salient[i] = i % 4 == 0;
    const struct special_ids special = {shape->pad, &shape->end, 1};
    status s = NULL;
    for (int64_t h = 0; !s && h < histories; h++) {
        bench_ids(ids, tokens, FIRST_WORD, (int32_t)shape->vocabulary, 16 + (uint32_t)h);
        s = prompt_from_tokens(ids, salient, tokens, 1, &special, settings, &out->prompts[h]);
    }
    for (int64_t r = 0; r < out->row_count; r++)
        out->rows[r] = (struct reply_row){
            .prompt = (int32_t)(r / candidates),
            .counter = {(uint32_t)(r / candidates), 1, (uint32_t)(r % candidates)}};
    free(ids);
    free(salient);
    if (s) bench_prompts_free(out);
    return s;
}

void bench_prompts_change(struct bench_prompts *p, const struct model_shape *shape, uint32_t stream)
{
    for (int64_t h = 0; h < p->prompt_count; h++)
        bench_ids(p->prompts[h].tokens, p->prompts[h].count, FIRST_WORD, (int32_t)shape->vocabulary,
                  stream + (uint32_t)h);
}

void bench_prompts_free(struct bench_prompts *p)
{
    for (int64_t h = 0; p->prompts && h < p->prompt_count; h++) prompt_free(&p->prompts[h]);
    free(p->prompts);
    free(p->rows);
    *p = (struct bench_prompts){0};
}
