/* The sizes bench runs at, and the random models and prompts it makes of them; see bench.h. */
#include "src/base/memory.h"
#include "src/checkpoint/model_folder.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_WORD = 3 }; /* ids below it are special */

/* T5 1.0's forms. */
#define SHAPE(vocabulary_, d_model_, d_kv_, d_ff_, heads_, layers)                                 \
    {                                                                                              \
        .vocabulary = vocabulary_, .d_model = d_model_, .d_kv = d_kv_, .d_ff = d_ff_,              \
        .heads = heads_, .encoder_layers = layers, .decoder_layers = layers, .buckets = 32,        \
        .max_distance = 128, .tied = true, .scale_logits = true, .eps = 1e-6f, .pad = 0, .end = 1, \
        .decoder_start = 0                                                                         \
    }

/* tiny: for tests; small: T5-small's layers, for the CPU; large: T5-large, for a GPU. */
static const struct bench_scale scales[] = {
    {.name = "tiny",
     .shape = SHAPE(64, 32, 8, 64, 4, 2),
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
     .shape = SHAPE(2000, 512, 64, 2048, 8, 6),
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
     .shape = SHAPE(32128, 1024, 64, 4096, 16, 24),
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

/* The scale's shape, or the one that the configuration gives with model.d_model. */
static status shape_choose(const struct bench *b, struct model_shape *out)
{
    const struct config *config = &b->config;
    *out = b->scale->shape;
    if (config->model.vocabulary) out->vocabulary = config->model.vocabulary;
    if (out->vocabulary <= FIRST_WORD)
        FAIL(STATUS_INPUT, "model.vocabulary is %lld; bench wants more than %d ids",
             (long long)out->vocabulary, FIRST_WORD);
    if (config->model.d_model == 0) return NULL;
    out->d_model = config->model.d_model;
    out->d_kv = config->model.d_kv;
    out->d_ff = config->model.d_ff;
    out->heads = config->model.heads;
    out->encoder_layers = config->model.encoder_layers;
    out->decoder_layers = config->model.decoder_layers;
    out->gated = config->model.gated;
    out->tied = out->scale_logits = config->model.tied;
    return NULL;
}

/* T5's own initialization, which for a large model takes minutes on the host: every layer has the
 * values of a one-layer model's. */
static status weights_repeat(struct model *model, int64_t seed)
{
    struct model_shape shape = *model_shape(model);
    struct parameters *to = model_parameters(model);
    struct model *one = NULL;
    shape.encoder_layers = shape.decoder_layers = 1;
    status s = model_create(model_queue(model), &shape, false, &one);
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
    struct model_shape shape;
    TRY(shape_choose(b, &shape));
    TRY(model_create(queue, &shape, with_gradients, out));
    status s = weights_repeat(*out, b->config.seed);
    if (!s) return NULL;
    model_destroy(*out);
    *out = NULL;
    return s;
}

status bench_prompts_make(const struct config *config, const struct model_shape *shape,
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
        s = prompt_from_tokens(ids, salient, tokens, 1, shape->pad, shape->end, config,
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
