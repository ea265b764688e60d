#include "src/model/model.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/model/model_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void model_add_linear(struct model *model, struct linear *w)
{
    const size_t size = (size_t)(model->linear_count + 1) * sizeof(struct linear *);
    model->linears = memory_resize(model->linears, size);
    model->linears[model->linear_count++] = w;
}

struct model *model_new(struct queue *queue, const struct model_shape *shape)
{
    struct model *model = memory_allocate(shape->family->model_size);
    model->family = shape->family;
    model->queue = queue;
    model->parameters.queue = queue;
    model->shape = model_shape_copy(shape);
    model->family->lay_out(model);
    return model;
}

static status memory_take(struct model *model)
{
    struct parameters *p = &model->parameters;
    struct queue *q = model->queue;
    size_t bytes = (size_t)p->size * sizeof(float);
    TRY(q->op->allocate(q, MEMORY_WEIGHTS, bytes, (void **)&p->values));
    q->op->zero(q, p->values, bytes);
    for (int64_t i = 0; i < model->linear_count; i++)
        TRY(linear_create(q, model->linears[i], model->with_gradients));
    if (model->family->create) TRY(model->family->create(model));
    return model_refresh(model);
}

status model_create_extended(struct queue *queue, const struct model_shape *shape,
                             bool with_gradients,
                             void (*extend)(struct model *model, void *context), void *context,
                             struct model **out)
{
    TRY(model_shape_check(shape));
    struct model *model = model_new(queue, shape);
    model->with_gradients = with_gradients;
    if (extend) extend(model, context);
    status s = memory_take(model);
    if (s) {
        model_destroy(model);
        return status_context(s, "creating the model");
    }
    *out = model;
    return NULL;
}

status model_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                    struct model **out)
{
    return model_create_extended(queue, shape, with_gradients, NULL, NULL, out);
}

status model_lay_out(const struct model_shape *shape, struct parameters *out)
{
    TRY(model_shape_check(shape));
    struct model *model = model_new(NULL, shape);
    *out = model->parameters;
    model->parameters = (struct parameters){0};
    model_destroy(model);
    return NULL;
}

void model_destroy(struct model *model)
{
    if (!model) return;
    struct queue *q = model->queue;
    for (int64_t i = 0; i < model->linear_count; i++) linear_destroy(q, model->linears[i]);
    for (int64_t i = 0; i < model->adapter_count; i++) adapter_destroy(q, &model->adapters[i]);
    adapter_room_destroy(q, &model->adapter_room);
    if (model->trained.values) q->op->release(q, model->trained.values);
    if (model->parameters.values && !model->base) q->op->release(q, model->parameters.values);
    if (model->owns_base) model_destroy(model->base);
    model->family->release(model);
    free(model->parameters.list);
    free(model->trained.list);
    free(model->adapters);
    free(model->base_name);
    free(model->linears);
    free(model->shape);
    free(model);
}

const struct model_shape *model_shape(const struct model *model)
{
    return model->shape;
}

struct parameters *model_parameters(struct model *model)
{
    return &model->parameters;
}

struct parameters *model_trained(struct model *model)
{
    return model->base ? &model->trained : &model->parameters;
}

status model_add_end(struct model *model, int32_t token)
{
    struct model_shape *shape = model->shape;
    if (model_shape_is_end(shape, token)) return NULL;
    if (shape->more_ends == SHAPE_MORE_ENDS)
        FAIL(STATUS_INPUT, "replies end with %d tokens already, none of them %d, the chat format's",
             1 + SHAPE_MORE_ENDS, token);
    shape->more_end[shape->more_ends++] = token;
    return NULL;
}

struct queue *model_queue(struct model *model)
{
    return model->queue;
}

struct model_version model_version(const struct model *model)
{
    return (struct model_version){.update = model->update, .step = model->step};
}

void model_round_stochastically(struct model *model, int64_t seed)
{
    model->stochastic = true;
    model->seed = seed;
}

/* All matrices, from `values` laid out as what is trained.  A weight's place among all of them is
 * its place among the random numbers; adapters have places of their own. */
static void pack(struct model *model, const float *values)
{
    struct rounding rounding = {.counter = {(uint32_t)model->update, (uint32_t)model->step}};
    philox_key((uint64_t)model->seed, RANDOM_ROUNDING, rounding.key);
    const struct rounding *how = model->stochastic ? &rounding : NULL;
    for (int64_t i = 0; i < model->linear_count; i++) {
        const struct linear *w = model->linears[i];
        rounding.first = w->offset;
        if (!w->frozen) linear_pack(model->queue, w, values, how);
    }
    for (int64_t i = 0; i < model->adapter_count; i++)
        adapter_pack(model->queue, &model->adapters[i], values, how);
}

status model_refresh(struct model *model)
{
    model->packed++;
    pack(model, model_trained(model)->values);
    return model->queue->op->synchronize(model->queue);
}

status model_refresh_step(struct model *model)
{
    model->step++;
    return model_refresh(model);
}

status model_refresh_update(struct model *model, int64_t update)
{
    model->update = update;
    model->step = 0;
    return model_refresh(model);
}

void model_take_values(struct model *to, const float *values, int64_t update)
{
    struct queue *q = to->queue;
    const struct parameters *p = model_trained(to);
    int64_t copied = 0; /* up to here: what stands between the linear layers */
    to->packed++;
    to->update = update;
    to->step = 0;
    pack(to, values);
    for (int64_t i = 0; i < to->linear_count; i++) {
        const struct linear *w = to->linears[i];
        if (w->frozen || w->offset == to->embedding) continue; /* a tied head: read as embedding */
        q->op->copy(q, p->values + copied, values + copied,
                    (size_t)(w->offset - copied) * sizeof(float));
        copied = w->offset + w->n * w->k;
    }
    q->op->copy(q, p->values + copied, values + copied, (size_t)(p->size - copied) * sizeof(float));
}

/* Normal deviates by Box and Muller: element e of parameter i takes word e % 4 of counter
 * (i, e / 4 low, e / 4 high, seed high) under key (seed low, purpose). */
static void fill_normal(float *values, int64_t count, int64_t parameter, int64_t seed,
                        double deviation)
{
    uint32_t key[2] = {(uint32_t)seed, RANDOM_INITIAL_WEIGHTS};
    for (int64_t block = 0; block * 4 < count; block++) {
        uint32_t counter[4] = {(uint32_t)parameter, (uint32_t)block,
                               (uint32_t)((uint64_t)block >> 32), (uint32_t)((uint64_t)seed >> 32)};
        uint32_t word[4];
        philox4x32(counter, key, word);
        double normal[4];
        for (int pair = 0; pair < 4; pair += 2) {
            double radius = sqrt(-2.0 * log(1.0 - (double)word[pair] * 0x1p-32));
            double angle = 6.283185307179586 * ((double)word[pair + 1] * 0x1p-32);
            normal[pair] = radius * cos(angle);
            normal[pair + 1] = radius * sin(angle);
        }
        for (int64_t e = block * 4; e < count && e < block * 4 + 4; e++)
            values[e] = (float)(deviation * normal[e & 3]);
    }
}

status model_initialize(struct model *model, int64_t seed)
{
    struct parameters *p = &model->parameters;
    float *host = memory_allocate((size_t)p->size * sizeof(float));
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        float *values = host + one->offset;
        const double deviation = model->family->initial_deviation(model->shape, one);
        if (deviation > 0)
            fill_normal(values, one->count, i, seed, deviation);
        else
            for (int64_t e = 0; e < one->count; e++) values[e] = deviation < 0 ? 0.0f : 1.0f;
    }
    status s = parameters_upload(p, host);
    free(host);
    return s ? s : model_refresh(model);
}
