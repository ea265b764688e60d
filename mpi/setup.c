/* See setup.h. */
#include "mpi/setup.h"

#include "kernels/plan.h"

status queue_open(const struct config *config, int local_rank, struct queue **out)
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
    const struct model_shape shape = {
        .vocabulary = config->model.vocabulary ? config->model.vocabulary : size,
        .d_model = config->model.d_model,
        .d_kv = config->model.d_kv,
        .d_ff = config->model.d_ff,
        .heads = config->model.heads,
        .encoder_layers = config->model.encoder_layers,
        .decoder_layers = config->model.decoder_layers,
        .buckets = 32,
        .max_distance = 128,
        .gated = config->model.gated,
        .tied = config->model.tied,
        .scale_logits = config->model.tied,
        .eps = 1e-6f,
        .pad = tokenizer_pad(language->tokenizer),
        .end = tokenizer_end(language->tokenizer),
        .decoder_start = tokenizer_pad(language->tokenizer)};
    TRY(model_create(queue, &shape, with_gradients, out));
    if (queue_is_plan(queue)) return NULL;
    status s = model_initialize(*out, config->seed);
    if (!s) s = model_round(config, *out);
    if (s) {
        model_destroy(*out);
        *out = NULL;
    }
    return s;
}
