#include "src/model/adapted.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/model/model_state.h"
#include "src/model/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Notes a chosen part with its layer's adapter, which is made for the first one. */
static void part_note(void *context, struct linear *w, const struct parameter *part)
{
    struct model *model = context;
    if (!part_is_chosen(part, model->adapter_settings.targets)) return;
    struct adapter *last = model->adapter_count ? &model->adapters[model->adapter_count - 1] : NULL;
    if (!last || last->a != w->offset) { /* the layer's, until the adapters are laid out */
        model->adapters = memory_resize(model->adapters, (size_t)(model->adapter_count + 1) *
                                                             sizeof *model->adapters);
        last = &model->adapters[model->adapter_count++];
        *last = (struct adapter){.n = w->n, .k = w->k, .a = w->offset};
    }
    last->part[last->parts++] =
        (struct adapter_part){(part->offset - w->offset) / w->k, part->shape[0]};
}

static const struct parameter *parameter_at(const struct parameters *p, int64_t offset)
{
    for (int64_t i = 0; i < p->count; i++)
        if (p->list[i].offset == offset) return &p->list[i];
    return NULL;
}

/* Appends A and B of all its parts to what is trained, under PEFT's names without their prefix. */
static void adapter_lay_out(struct model *model, struct adapter *adapter, const struct linear *w)
{
    const struct parameter *part[ADAPTER_PARTS_MAX];
    const int64_t rank = adapter->rank;
    struct parameters *to = &model->trained;
    for (int64_t i = 0; i < adapter->parts; i++)
        part[i] = parameter_at(&model->parameters, w->offset + adapter->part[i].row * adapter->k);
    parameters_align(to);
    adapter->a = to->size;
    for (int64_t i = 0; i < adapter->parts; i++)
        parameters_append(to, 2, rank, adapter->k, "%.*s.lora_A.weight", part_path_length(part[i]),
                          part[i]->name);
    parameters_align(to);
    adapter->b = to->size;
    for (int64_t i = 0; i < adapter->parts; i++)
        parameters_append(to, 2, adapter->part[i].rows, rank, "%.*s.lora_B.weight",
                          part_path_length(part[i]), part[i]->name);
}

static void adapters_lay_out(struct model *model)
{
    int64_t rounding = 0;
    parts_visit(model, part_note, model);
    for (int64_t i = 0, at = 0; i < model->linear_count && at < model->adapter_count; i++) {
        struct linear *w = model->linears[i];
        struct adapter *adapter = &model->adapters[at];
        if (w == &model->head || !w->frozen || adapter->a != w->offset) continue;
        adapter->room = &model->adapter_room;
        adapter->rank = model->adapter_settings.rank;
        adapter->scale = model->adapter_settings.alpha / (float)adapter->rank;
        adapter->rounding = rounding;
        rounding += adapter_rounding_size(adapter);
        adapter_lay_out(model, adapter, w);
        w->adapter = adapter;
        at++;
    }
    parameters_align(&model->trained);
}

/* Takes the base's values and packed matrices: its parameters must be the first of the base's. */
static status base_borrow(struct model *model, struct model *base)
{
    for (int64_t i = 0; i < model->parameters.count; i++) {
        const struct parameter *mine = &model->parameters.list[i];
        const struct parameter *theirs = parameters_find(&base->parameters, mine->name);
        if (!theirs || theirs->offset != mine->offset || theirs->count != mine->count)
            FAIL(STATUS_INTERNAL, "%s stands elsewhere in the base", mine->name);
    }
    for (int64_t i = 0; i < model->linear_count; i++) {
        struct linear *w = model->linears[i];
        w->frozen = true;
        for (int64_t k = 0; k < base->linear_count && !w->packed; k++) {
            const struct linear *from = base->linears[k];
            if (from->offset == w->offset && from->n == w->n && from->k == w->k)
                w->packed = from->packed;
        }
        if (!w->packed) FAIL(STATUS_INTERNAL, "a layer of the model is not the base's");
    }
    model->parameters.values = base->parameters.values;
    model->base = base;
    return NULL;
}

/* The family's choice: its own, or every part. */
static void targets_complete(struct model *model)
{
    const char *own = model->family->adapter_targets;
    char *targets = model->adapter_settings.targets;
    if (targets[strspn(targets, ", ")]) return;
    char *parts = own ? memory_text(own) : parts_names(model);
    snprintf(targets, ADAPTER_TARGETS_MAX, "%s", parts);
    free(parts);
}

static status memory_take(struct model *model)
{
    struct queue *q = model->queue;
    struct parameters *p = &model->trained;
    const size_t bytes = (size_t)p->size * sizeof(float);
    TRY(q->op->allocate(q, MEMORY_WEIGHTS, bytes, (void **)&p->values));
    q->op->zero(q, p->values, bytes);
    for (int64_t i = 0; i < model->linear_count; i++)
        TRY(linear_create(q, model->linears[i], model->with_gradients));
    if (model->family->create) TRY(model->family->create(model));
    for (int64_t i = 0; i < model->adapter_count; i++)
        TRY(adapter_create(q, &model->adapters[i], model->with_gradients));
    TRY(adapter_room_create(q, model->adapters, model->adapter_count, model->with_gradients,
                            &model->adapter_room));
    return model_refresh(model);
}

static status adapted_make(struct model *model, struct model *base,
                           void (*extend)(struct model *model, void *context), void *context)
{
    TRY(base_borrow(model, base));
    targets_complete(model);
    adapters_lay_out(model);
    if (extend) extend(model, context);
    return memory_take(model);
}

status model_create_adapted_extended(struct model *base, const struct model_shape *shape,
                                     const struct adapter_settings *settings, bool with_gradients,
                                     void (*extend)(struct model *model, void *context),
                                     void *context, struct model **out)
{
    *out = NULL;
    if (base->base) FAIL(STATUS_INTERNAL, "adapters on a model with adapters");
    if (settings->rank < 1)
        FAIL(STATUS_INTERNAL, "adapters of rank %lld", (long long)settings->rank);
    if (with_gradients && !base->with_gradients)
        FAIL(STATUS_INTERNAL, "adapters to be trained on a base created without gradients");
    struct model *model = model_new(base->queue, shape);
    model->with_gradients = with_gradients;
    model->adapter_settings = *settings;
    model->trained.queue = base->queue;
    status s = adapted_make(model, base, extend, context);
    if (s) {
        model_destroy(model);
        return s;
    }
    *out = model;
    return NULL;
}

status model_create_adapted(struct model *base, const struct adapter_settings *settings,
                            bool with_gradients, struct model **out)
{
    TRY(parts_check_targets(base, settings->targets));
    return model_create_adapted_extended(base, base->shape, settings, with_gradients, NULL, NULL,
                                         out);
}

/* Element e of parameter i takes word e % 4 of counter (i, e / 4 low, e / 4 high, seed high). */
static void fill_uniform(float *values, int64_t count, int64_t parameter, int64_t seed,
                         double bound)
{
    const uint32_t key[2] = {(uint32_t)seed, RANDOM_INITIAL_ADAPTERS};
    for (int64_t e = 0; e < count; e += 4) {
        const int64_t block = e / 4;
        const uint32_t counter[4] = {(uint32_t)parameter, (uint32_t)block,
                                     (uint32_t)((uint64_t)block >> 32),
                                     (uint32_t)((uint64_t)seed >> 32)};
        uint32_t word[4];
        philox4x32(counter, key, word);
        for (int64_t i = e; i < count && i < e + 4; i++)
            values[i] = (float)(bound * (2.0 * ((double)word[i & 3] * 0x1p-32) - 1.0));
    }
}

status model_adapted_initialize(struct model *model, int64_t seed)
{
    struct parameters *p = &model->trained;
    float *host = memory_allocate((size_t)p->size * sizeof *host);
    for (int64_t i = 0; i < p->count; i++)
        if (strstr(p->list[i].name, ".lora_A."))
            fill_uniform(host + p->list[i].offset, p->list[i].count, i, seed,
                         1.0 / sqrt((double)p->list[i].shape[1]));
    status s = parameters_upload(p, host);
    free(host);
    return s ? s : model_refresh(model);
}

void model_own_base(struct model *model)
{
    model->owns_base = true;
}

struct model *model_base(const struct model *model)
{
    return model->base;
}

const struct adapter_settings *model_adapter(const struct model *model)
{
    return model->base ? &model->adapter_settings : NULL;
}

void model_name_base(struct model *model, const char *path)
{
    free(model->base_name);
    model->base_name = memory_text(path);
}

const char *model_base_name(const struct model *model)
{
    return model->base_name ? model->base_name : "";
}

status model_base_hash(struct model *model, char hex[65])
{
    if (!model->base_hash[0]) TRY(parameters_hash(&model->base->parameters, model->base_hash));
    memcpy(hex, model->base_hash, sizeof model->base_hash);
    return NULL;
}
