/* The attention summary's inputs on the device; see capture.h. */
#include "src/rollout/capture.h"

#include "src/base/philox.h"
#include "src/reward/terms.h"

#include <math.h>
#include <string.h>

void capture_create(struct capture *capture, struct queue *queue, bool causal, bool heads)
{
    *capture = (struct capture){.queue = queue,
                                .causal = causal,
                                .heads = heads,
                                .inputs = {.kind = MEMORY_CAPTURE},
                                .turns = 1};
}

void capture_destroy(struct capture *capture)
{
    if (!capture->queue) return;
    buffer_release(capture->queue, &capture->inputs);
    host_buffer_release(capture->queue, &capture->image);
}

static size_t padded(int64_t bytes)
{
    return ((size_t)bytes + 63) / 64 * 64;
}

/* The masks come first, then floors, then counters, then what heads are read with: as many numbers
 * as tokens in each array. */
static size_t floors_offset(int64_t tokens)
{
    return 5 * padded(tokens);
}

static size_t counters_offset(int64_t tokens, int64_t replies)
{
    return floors_offset(tokens) + padded(replies * (int64_t)sizeof(float));
}

static size_t heads_offset(int64_t tokens, int64_t replies)
{
    return counters_offset(tokens, replies) + padded(3 * replies * (int64_t)sizeof(uint32_t));
}

static size_t inputs_bytes(const struct capture *capture, int64_t tokens, int64_t replies)
{
    return heads_offset(tokens, replies) + (capture->heads ? 4 * padded(4 * tokens) : 0);
}

static void inputs_cut(struct capture *capture, char *base, int64_t tokens, int64_t replies)
{
    capture->visible = (uint8_t *)base;
    capture->salient = (uint8_t *)base + padded(tokens);
    capture->turn_of = (uint8_t *)base + 2 * padded(tokens);
    capture->special = (uint8_t *)base + 3 * padded(tokens);
    capture->speaker = (uint8_t *)base + 4 * padded(tokens);
    capture->floor = (float *)(void *)(base + floors_offset(tokens));
    capture->counter = (uint32_t *)(void *)(base + counters_offset(tokens, replies));
    char *heads = base + heads_offset(tokens, replies);
    const size_t each = padded(4 * tokens);
    capture->token = capture->heads ? (int32_t *)(void *)heads : NULL;
    capture->in_v = capture->heads ? (float *)(void *)(heads + each) : NULL;
    capture->sink = capture->heads ? (float *)(void *)(heads + 2 * each) : NULL;
    capture->uniform = capture->heads ? (float *)(void *)(heads + 3 * each) : NULL;
}

status capture_reserve(struct capture *capture, int64_t tokens, int64_t replies)
{
    const size_t bytes = inputs_bytes(capture, tokens, replies);
    TRY(buffer_reserve(capture->queue, &capture->inputs, bytes));
    return host_buffer_reserve(capture->queue, &capture->image, bytes);
}

int64_t capture_turns(const struct capture_batch *batch)
{
    int64_t turns = 1;
    for (int64_t p = 0; p < batch->prompt_count; p++)
        if (batch->prompts[p].turns > turns) turns = batch->prompts[p].turns;
    return turns;
}

int64_t capture_longest(const struct capture_batch *batch)
{
    int64_t longest = 0;
    for (int64_t p = 0; p < batch->prompt_count; p++)
        if (batch->prompts[p].count > longest) longest = batch->prompts[p].count;
    return longest;
}

/* What heads are read with, of prompt `number`, whose tokens begin at `at`.  Sinks are position 0
 * of a causal model's history, else the special tokens. */
static void heads_fill(struct capture *capture, const struct prompt *prompt, int64_t number,
                       int64_t at)
{
    int64_t visible = 0;
    memcpy(capture->token + at, prompt->tokens, (size_t)prompt->count * sizeof *capture->token);
    for (int64_t i = 0; i < prompt->count; i++) {
        const bool sink = capture->causal ? i == 0 : prompt->part[i] == PART_MARKER;
        capture->in_v[at + i] = prompt->visible[i] ? 1.0f : 0.0f;
        capture->sink[at + i] = sink ? 1.0f : 0.0f;
        visible += prompt->visible[i] != 0;
    }
    capture->uniform[number] = visible > 1 ? (float)log((double)visible) : 0.0f;
}

/* Into the image, which the pointers name. */
static void inputs_fill(struct capture *capture, const struct rollout_settings *settings,
                        const struct capture_batch *batch)
{
    int64_t at = 0;
    capture->turns = capture_turns(batch);
    for (int64_t p = 0; p < batch->prompt_count; p++) {
        const struct prompt *prompt = &batch->prompts[p];
        const size_t n = (size_t)prompt->count;
        memcpy(capture->visible + at, prompt->visible, n);
        memcpy(capture->salient + at, prompt->salient, n);
        memcpy(capture->turn_of + at, prompt->turn_of, n);
        for (int64_t i = 0; i < prompt->count; i++)
            capture->special[at + i] =
                prompt->part[i] == (capture->causal ? PART_MARKER : PART_SUMMARY);
        for (int64_t i = 0; i < prompt->count; i++) {
            const int speaker = prompt->speaker ? prompt->speaker[i] : 0;
            capture->speaker[at + i] =
                (uint8_t)(speaker ? 2 * (speaker - 1) + (prompt->salient[i] != 0)
                                  : STATISTICS_NO_SPEAKER);
        }
        if (capture->heads) heads_fill(capture, prompt, p, at);
        at += prompt->count;
    }
    for (int64_t r = 0; r < batch->replies; r++) {
        const struct prompt *prompt = &batch->prompts[batch->prompt_of[r]];
        capture->floor[r] =
            (float)reward_floor(&settings->reward, prompt->turn, prompt->visible_count);
    }
    memcpy(capture->counter, batch->counters, (size_t)batch->replies * 3 * sizeof(uint32_t));
}

status capture_begin(struct capture *capture, const struct rollout_settings *settings,
                     const struct capture_batch *batch, int64_t tokens, int64_t replies)
{
    struct queue *q = capture->queue;
    q->op->mark_wait(q, MARK_CAPTURE); /* the last image has been read */
    TRY(capture_reserve(capture, tokens, replies));
    inputs_cut(capture, capture->image.data, tokens, replies);
    inputs_fill(capture, settings, batch);
    inputs_cut(capture, capture->inputs.data, tokens, replies);
    q->op->upload(q, capture->inputs.data, capture->image.data,
                  inputs_bytes(capture, tokens, replies));
    q->op->mark(q, MARK_CAPTURE);
    return NULL;
}

enum row_floor row_floor_of(enum floor_form form)
{
    return form == FLOOR_VALUE ? ROW_FLOOR_VALUE
           : form == FLOOR_MIX ? ROW_FLOOR_MIX
                               : ROW_FLOOR_NONE;
}

void capture_inputs(const struct capture *capture, const struct rollout_settings *settings,
                    struct attention_summary *summary)
{
    summary->visible = capture->visible;
    summary->salient = capture->salient;
    summary->turn = capture->turn_of;
    summary->speaker = capture->speaker;
    summary->special = capture->causal ? capture->special : NULL;
    summary->slots = capture->causal ? NULL : capture->special;
    summary->floor_delta = capture->floor;
    summary->floor = row_floor_of(settings->reward.floor_form);
    summary->shuffle = settings->shuffled;
    summary->key[0] = (uint32_t)settings->seed;
    summary->key[1] = RANDOM_SHUFFLED_CONTROL;
    summary->counter = capture->counter;
}

void capture_reduce(const struct capture *capture, const struct rollout_settings *settings,
                    const struct results *results, const struct attention_summary *rows)
{
    struct attention_summary summary = *rows;
    capture_inputs(capture, settings, &summary);
    results_compute(results, &summary);
}
