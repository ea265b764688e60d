/* See setup.h. */
#include "mpi/setup.h"

#include "kernels/plan.h"
#include "src/base/config.h"

#include <stdlib.h>

status queue_open(const struct config *config, int local_rank, int ranks, struct queue **out)
{
    static const char *const names[] = {
        [DEVICE_AUTO] = "auto", [DEVICE_CPU] = "cpu", [DEVICE_CUDA] = "cuda"};
    char device[32];
    snprintf(device, sizeof device, "%s:%d", names[config->device], local_rank);
    const struct queue_options options = {
        .device = device,
        .threads = (int)config->threads,
        .instructions = config->instructions,
        .real_bytes = config->precision == PRECISION_BF16 ? 2 : 4,
        .narrow_on_cuda = config->precision == PRECISION_AUTO,
        .exact = config->exact,
        .tune = config->tune,
        .eager = ranks > 1,
    };
    return queue_create(&options, out);
}

/* A model whose values are there, as the configuration wants it rounded. */
static status model_round(const struct config *config, struct model *model)
{
    if (config->rounding != ROUNDING_STOCHASTIC) return NULL;
    model_round_stochastically(model, config->seed);
    return model_refresh_update(model, 0);
}

status run_model_open(const struct config *config, struct queue *queue, bool with_gradients,
                      const struct language *language, struct model **out)
{
    if (config->model.path[0]) {
        TRY(model_open(config->model.path, queue, with_gradients, out));
        return queue_is_plan(queue) ? NULL : model_round(config, *out);
    }
    if (!language->tokenizer)
        FAIL(STATUS_INPUT, "a new model needs a tokenizer; set tokenizer.path (or model.path)");
    const int64_t size = tokenizer_size(language->tokenizer);
    if (config->model.vocabulary && config->model.vocabulary < size)
        FAIL(STATUS_INPUT, "model.vocabulary is %lld but the tokenizer has %lld ids",
             (long long)config->model.vocabulary, (long long)size);
    const struct tokenizer *tokenizer = language->tokenizer;
    const struct model_setting settings[] = {
        {"vocabulary", (double)(config->model.vocabulary ? config->model.vocabulary : size)},
        {"d_model", (double)config->model.d_model},
        {"d_kv", (double)config->model.d_kv},
        {"d_ff", (double)config->model.d_ff},
        {"heads", (double)config->model.heads},
        {"kv_heads",
         (double)(config->model.kv_heads ? config->model.kv_heads : config->model.heads)},
        {"context", (double)config->model.context},
        {"encoder_layers", (double)config->model.encoder_layers},
        {"decoder_layers", (double)config->model.decoder_layers},
        {"gated", config->model.gated},
        {"tied", config->model.tied},
        {"pad", tokenizer_pad(tokenizer)},
        {"end", tokenizer_end(tokenizer)}};
    struct model_shape *shape;
    TRY(model_shape_from_settings(config->model.family, settings,
                                  sizeof settings / sizeof *settings, &shape));
    status s = model_create(queue, shape, with_gradients, out);
    free(shape);
    if (s || queue_is_plan(queue)) return s;
    s = model_initialize(*out, config->seed);
    if (!s) s = model_round(config, *out);
    if (s) {
        model_destroy(*out);
        *out = NULL;
    }
    return s;
}
