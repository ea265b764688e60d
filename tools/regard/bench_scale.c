/* The sizes bench runs at, and the random models and prompts it makes of them; see bench.h. */
#include "src/base/memory.h"
#include "src/checkpoint/model_folder.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_WORD = 3 }; /* ids below it are special */

/* tiny: for tests; small: 6 + 6 layers of 512, for the CPU; large: 24 + 24 of 1024, for a GPU. */
static const struct bench_scale scales[] = {
    {.name = "tiny",
     .vocabulary = 64,
     .d_model = 32,
     .d_kv = 8,
     .d_ff = 64,
     .heads = 4,
     .layers = 2,
     .histories = 2,
     .history_tokens = 16,
     .candidates = 2,
     .new_tokens = 4,
     .decode_histories = 2,
     .decode_candidates = 3,
     .update_histories = 2,
     .update_candidates = 2,
     .reply_tokens = 4,
     .microbatches = 2,
     .exact_batches = 6,
     .peak_m = 16,
     .peak_n = 64,
     .peak_k = 64,
     .copy_bytes = 1 << 20,
     .rows = {1, 8},
     .rounds = 3},
    {.name = "small",
     .vocabulary = 2000,
     .d_model = 512,
     .d_kv = 64,
     .d_ff = 2048,
     .heads = 8,
     .layers = 6,
     .histories = 4,
     .history_tokens = 128,
     .candidates = 8,
     .new_tokens = 32,
     .decode_histories = 8,
     .decode_candidates = 8,
     .update_histories = 4,
     .update_candidates = 8,
     .reply_tokens = 32,
     .microbatches = 4,
     .exact_batches = 16,
     .peak_m = 256,
     .peak_n = 2048,
     .peak_k = 2048,
     .copy_bytes = 256 << 20,
     .rows = {1, 4, 16, 64, 256},
     .rounds = 5},
    {.name = "large",
     .vocabulary = 32128,
     .d_model = 1024,
     .d_kv = 64,
     .d_ff = 4096,
     .heads = 16,
     .layers = 24,
     .histories = 4,
     .history_tokens = 512,
     .candidates = 8,
     .new_tokens = 64,
     .decode_histories = 8,
     .decode_candidates = 32,
     .update_histories = 32,
     .update_candidates = 1,
     .reply_tokens = 64,
     .microbatches = 2,
     .exact_batches = 256,
     .peak_m = 8192,
     .peak_n = 8192,
     .peak_k = 8192,
     .copy_bytes = (int64_t)4 << 30,
     .rows = {8, 32, 256, 2048, 8192},
     .rounds = 5},
};

const struct bench_scale *bench_scale_find(const char *name)
{
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (!strcmp(name, scales[i].name)) return &scales[i];
    return NULL;
}

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
        {"encoder_layers", one_layer ? 1 : (double)encoder},
        {"decoder_layers", one_layer ? 1 : (double)decoder},
        {"gated", given && config->model.gated},
        {"tied", !given || config->model.tied},
        {"pad", 0},
        {"end", 1}};
    return model_shape_from_settings(NULL, settings, sizeof settings / sizeof *settings, out);
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
        char *number = strstr(name, ".block.");
        if (number) {
            number += strlen(".block.");
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
    status s = NULL;
    for (int64_t h = 0; !s && h < histories; h++) {
        bench_ids(ids, tokens, FIRST_WORD, (int32_t)shape->vocabulary, 16 + (uint32_t)h);
        s = prompt_from_tokens(ids, salient, tokens, 1, shape->pad, shape->end, settings,
                               &out->prompts[h]);
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

void bench_prompts_free(struct bench_prompts *p)
{
    for (int64_t h = 0; p->prompts && h < p->prompt_count; h++) prompt_free(&p->prompts[h]);
    free(p->prompts);
    free(p->rows);
    *p = (struct bench_prompts){0};
}
