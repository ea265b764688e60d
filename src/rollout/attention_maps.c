/* Whole attention of a reply; see attention_maps.h. */
#include "src/rollout/attention_maps.h"

#include "src/base/memory.h"
#include "src/rollout/generator.h"

#include <stdlib.h>
#include <string.h>

static int64_t keys_of(const struct generator *g, int64_t history, int64_t reply)
{
    return model_shape_is_causal(model_shape(g->model)) ? history + reply - 1 : history;
}

int64_t attention_maps_bytes(const struct generator *g, int64_t history, int64_t reply)
{
    const struct model_shape *shape = model_shape(g->model);
    return shape->layers * shape->heads * reply * keys_of(g, history, reply) *
           (int64_t)sizeof(float);
}

/* What a row does not see was left as memory had it. */
static void unseen_clear(struct attention_maps *maps, int64_t history)
{
    for (int64_t map = 0; map < maps->layers * maps->heads; map++)
        for (int64_t row = 0; row < maps->rows; row++) {
            float *weight = maps->weight + (map * maps->rows + row) * maps->keys;
            for (int64_t key = history + row; key < maps->keys; key++) weight[key] = 0;
        }
}

static status pass_run(struct generator *g, const struct rollout_settings *settings,
                       const struct packed_prompts *packed, const struct given_reply *given)
{
    const int32_t reply_begin[2] = {0, (int32_t)given->count}, reply_history[1] = {0};
    struct model_batch batch = packed_prompts_batch(packed);
    batch.replies = 1;
    batch.reply_begin = reply_begin;
    batch.reply_tokens = given->tokens;
    batch.reply_history = reply_history;
    model_run_read_heads(g->run, NULL);
    model_run_capture_self(g->run, false);
    model_run_keep_maps(g->run, true);
    status s = model_forward(g->run, &batch, MODEL_KEEP_NOTHING, settings->layers);
    model_run_keep_maps(g->run, false);
    return s;
}

status attention_maps_read(struct generator *g, const struct rollout_settings *settings,
                           const struct prompt *prompts, const struct reply_row *row,
                           const struct given_reply *given, struct attention_maps *out)
{
    const struct model_shape *shape = model_shape(g->model);
    const int64_t history = prompts[row->prompt].count;
    TRY(generator_check(g, settings));
    *out = (struct attention_maps){.layers = settings->layers,
                                   .heads = shape->heads,
                                   .rows = given->count,
                                   .keys = keys_of(g, history, given->count),
                                   .first_layer = shape->layers - settings->layers};
    const int64_t map = out->rows * out->keys;
    struct packed_prompts packed;
    packed_prompts_make(&packed, prompts, row, 1);
    status s = pass_run(g, settings, &packed, given);
    packed_prompts_free(&packed);
    TRY(s);
    out->weight = memory_allocate((size_t)(out->layers * out->heads * map) * sizeof *out->weight);
    for (int64_t l = 0; !s && l < out->layers; l++)
        for (int64_t h = 0; !s && h < out->heads; h++)
            s = model_run_map(g->run, out->first_layer + l, h,
                              out->weight + (l * out->heads + h) * map);
    if (s) {
        free(out->weight);
        out->weight = NULL;
        return s;
    }
    if (model_shape_is_causal(shape)) unseen_clear(out, history);
    return NULL;
}
