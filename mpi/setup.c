/* See setup.h. */
#include "mpi/setup.h"

#include "kernels/plan.h"
#include "src/base/config.h"
#include "src/base/log.h"
#include "src/checkpoint/adapter_folder.h"
#include "src/checkpoint/value_folder.h"

#include <stdlib.h>
#include <string.h>

status queue_open(const struct config *config, int local_rank, int ranks, struct queue **out)
{
    static const char *const names[] = {[DEVICE_AUTO] = "auto",
                                        [DEVICE_CPU] = "cpu",
                                        [DEVICE_CUDA] = "cuda",
                                        [DEVICE_SLEEP] = "sleep"};
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
        .rates = {config->sleep.flops, config->sleep.bandwidth, config->sleep.launch},
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
        TRY(model_open_merged(config->model.path, queue, with_gradients, out));
        status s = language_ends(language, *out);
        if (!s && !queue_is_plan(queue)) s = model_round(config, *out);
        if (s) {
            model_destroy(*out);
            *out = NULL;
        }
        return s;
    }
    if (!language->tokenizer)
        FAIL(STATUS_INPUT, "a new model needs a tokenizer; set tokenizer.path (or model.path)");
    const int64_t size = tokenizer_size(language->tokenizer);
    if (config->model.vocabulary && config->model.vocabulary < size)
        FAIL(STATUS_INPUT, "model.vocabulary is %lld but the tokenizer has %lld ids",
             (long long)config->model.vocabulary, (long long)size);
    const struct tokenizer *tokenizer = language->tokenizer;
    const struct chat_format *chat = language->history.chat;
    int32_t end = tokenizer_end(tokenizer);
    if (chat) TRY(chat_end(chat, tokenizer, &end));
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
        {"end", end}};
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

void run_model_warn(const struct config *config, const struct world *world,
                    const struct model *model)
{
    const int64_t wanted = config->model.d_model, width = model_shape(model)->width;
    if (world->rank != 0 || !config->model.path[0] || !wanted || wanted == width) return;
    log_line(LOG_WARNING,
             "model.d_model: %lld and the other sizes of model are of new models; the one of "
             "model.path has a width of %lld and stays as it is",
             (long long)wanted, (long long)width);
}

bool run_has_adapters(const struct config *config)
{
    return config->adapter.rank > 0 || config->adapter.path[0];
}

/* The keys, or what adapter.path holds; both where they agree. */
static status adapter_settings_of(const struct config *config, const struct queue *queue,
                                  struct adapter_settings *out)
{
    const char *path = config->adapter.path, *targets = config->adapter.targets;
    struct checkpoint_adapter found;
    bool is_there;
    memset(out, 0, sizeof *out);
    if (!path[0]) {
        if (strlen(targets) >= sizeof out->targets)
            FAIL(STATUS_INPUT, "adapter.targets is longer than %zu bytes", sizeof out->targets - 1);
        out->rank = config->adapter.rank;
        out->alpha = (float)config->adapter.alpha;
        strcpy(out->targets, targets);
        return NULL;
    }
    TRY(model_folder_verify(path, queue));
    TRY(model_folder_speaks(path));
    TRY(adapter_folder_look(path, &is_there, &found));
    if (!is_there) FAIL(STATUS_INPUT, "adapter.path: %s holds no adapters", path);
    *out = found.settings;
    if (config->adapter.rank && config->adapter.rank != out->rank)
        FAIL(STATUS_INPUT, "adapter.rank is %lld, the adapters in %s have %lld; leave it out",
             (long long)config->adapter.rank, path, (long long)out->rank);
    return NULL;
}

status run_adapted_open(const struct config *config, struct model *base, const char *base_folder,
                        bool with_gradients, struct model **out)
{
    struct adapter_settings settings;
    const struct queue *queue = model_queue(base);
    TRY(adapter_settings_of(config, queue, &settings));
    TRY(model_create_adapted(base, &settings, with_gradients, out));
    if (base_folder[0])
        model_note_base(*out, base_folder);
    else
        model_name_base(*out, RUN_BASE_FROM_CHECKPOINT);
    if (queue_is_plan(queue)) return NULL;
    status s = config->adapter.path[0] ? adapter_folder_load(config->adapter.path, *out)
                                       : model_adapted_initialize(*out, config->seed);
    if (!s) s = model_round(config, *out);
    if (s) {
        model_destroy(*out);
        *out = NULL;
    }
    return s;
}

/* On a policy with adapters, which goes. */
static status value_of_adapted(const struct config *config, struct model *base,
                               struct value_model **out)
{
    struct model *policy;
    TRY(run_adapted_open(config, base, config->model.path, true, &policy));
    status s = value_model_create_adapted(policy, out);
    if (!s) model_name_base(value_model_trunk(*out), model_base_name(policy));
    if (!s) s = value_model_start_from(*out, policy);
    model_destroy(policy);
    return s;
}

static status value_of_policy(struct model *policy, struct value_model **out)
{
    TRY(value_model_create(model_queue(policy), model_shape(policy), true, out));
    return value_model_start_from(*out, policy);
}

/* A reward model's folder, to be learned on as it is. */
static status value_goes_on(const struct config *config, struct queue *queue,
                            const struct language *language, struct value_model **out)
{
    if (run_has_adapters(config))
        FAIL(STATUS_INPUT,
             "model.path: %s is a reward model, which learns on with what it was trained with; "
             "leave out adapter.rank and adapter.path",
             config->model.path);
    TRY(value_folder_open(config->model.path, queue, true, out));
    struct model *trunk = value_model_trunk(*out);
    TRY(language_ends(language, trunk));
    return queue_is_plan(queue) ? NULL : model_round(config, trunk);
}

status run_value_model_open(const struct config *config, struct queue *queue,
                            const struct language *language, struct model **base,
                            struct value_model **out)
{
    *base = NULL;
    *out = NULL;
    if (model_folder_is_value(config->model.path))
        return value_goes_on(config, queue, language, out);
    struct model *model;
    TRY(run_model_open(config, queue, true, language, &model));
    if (run_has_adapters(config)) {
        *base = model;
        return value_of_adapted(config, model, out);
    }
    status s = value_of_policy(model, out);
    model_destroy(model);
    return s;
}
