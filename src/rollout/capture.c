/* The attention summary's inputs and outputs on the device; see capture.h. */
#include "src/rollout/capture.h"

#include "src/base/arena.h"
#include "src/reward/terms.h"

#include <stdlib.h>
#include <string.h>

void capture_create(struct capture *capture, struct queue *queue)
{
    *capture = (struct capture){.queue = queue, .turns = 1};
}

void capture_destroy(struct capture *capture)
{
    struct buffer *all[] = {&capture->visible,   &capture->salient,      &capture->earlier,
                            &capture->floor,     &capture->counter,      &capture->entropy,
                            &capture->floored,   &capture->mass,         &capture->special,
                            &capture->turn_mass, &capture->top_position, &capture->top_weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (capture->queue) buffer_release(capture->queue, all[i]);
}

status capture_prompts(struct capture *capture, const struct prompt *prompts, int64_t count)
{
    int64_t total = 0, turns = 1;
    for (int64_t p = 0; p < count; p++) {
        total += prompts[p].count;
        for (int64_t i = 0; i < prompts[p].count; i++)
            if (prompts[p].earlier[i] >= turns) turns = prompts[p].earlier[i] + 1;
    }
    capture->turns = turns;
    uint8_t *host = memory_allocate((size_t)total * 3 + 1);
    int64_t at = 0;
    for (int64_t p = 0; p < count; p++) {
        const size_t n = (size_t)prompts[p].count;
        memcpy(host + at, prompts[p].visible, n);
        memcpy(host + total + at, prompts[p].salient, n);
        memcpy(host + 2 * total + at, prompts[p].earlier, n);
        at += prompts[p].count;
    }
    struct queue *q = capture->queue;
    status s = buffer_upload(q, &capture->visible, host, (size_t)total);
    if (!s) s = buffer_upload(q, &capture->salient, host + total, (size_t)total);
    if (!s) s = buffer_upload(q, &capture->earlier, host + 2 * total, (size_t)total);
    if (!s) s = q->op->synchronize(q);
    free(host);
    return s;
}

status capture_rows(struct capture *capture, const struct config *config,
                    const struct prompt *prompts, const int32_t *prompt_of_row,
                    const uint32_t *counters, int64_t rows)
{
    struct queue *q = capture->queue;
    const size_t n = (size_t)rows;
    float *floors = memory_allocate((n + 1) * sizeof *floors);
    for (int64_t r = 0; r < rows; r++) {
        const struct prompt *prompt = &prompts[prompt_of_row[r]];
        floors[r] = (float)reward_floor(config, prompt->turn, prompt->visible_count);
    }
    status s = buffer_upload(q, &capture->floor, floors, n * sizeof *floors);
    if (!s) s = buffer_upload(q, &capture->counter, counters, n * 3 * sizeof *counters);
    if (!s) s = buffer_reserve(q, &capture->entropy, n * sizeof(float));
    if (!s) s = buffer_reserve(q, &capture->floored, n * sizeof(float));
    if (!s) s = buffer_reserve(q, &capture->mass, n * sizeof(float));
    if (!s) s = buffer_reserve(q, &capture->special, n * sizeof(float));
    if (!s) s = buffer_reserve(q, &capture->turn_mass, n * (size_t)capture->turns * sizeof(float));
    if (!s) s = buffer_reserve(q, &capture->top_position, n * SUMMARY_TOP * sizeof(int32_t));
    if (!s) s = buffer_reserve(q, &capture->top_weight, n * SUMMARY_TOP * sizeof(float));
    if (!s) s = q->op->synchronize(q);
    free(floors);
    return s;
}

status capture_reduce(struct capture *capture, const struct config *config, const float *captured,
                      int64_t stride, int64_t layers_heads, const int32_t *history_of_row,
                      const int32_t *key_begin, const int32_t *key_end, const int32_t *step,
                      int64_t rows)
{
    struct queue *q = capture->queue;
    const struct attention_summary summary = {
        .rows = rows,
        .capture = captured,
        .capture_stride = stride,
        .weight = 1.0f / (float)layers_heads,
        .history_of_row = history_of_row,
        .key_begin = key_begin,
        .key_end = key_end,
        .visible = capture->visible.data,
        .salient = capture->salient.data,
        .turn = capture->earlier.data,
        .floor_delta = capture->floor.data,
        .floor_form = config->floor.form,
        .shuffle = config->control == CONTROL_SHUFFLED,
        .key = {(uint32_t)config->seed, RANDOM_SHUFFLED_CONTROL},
        .counter = capture->counter.data,
        .step = step,
        .turns = capture->turns,
        .top = SUMMARY_TOP,
        .entropy = capture->entropy.data,
        .entropy_floored = capture->floored.data,
        .salient_mass = capture->mass.data,
        .special_mass = capture->special.data,
        .turn_mass = capture->turn_mass.data,
        .top_position = capture->top_position.data,
        .top_weight = capture->top_weight.data};
    q->op->attention_summary(q, &summary);
    return NULL;
}
