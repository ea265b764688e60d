/* Batched generation with attention capture: see generate.h.  Histories are encoded once, their
 * candidates share cross-attention keys and values, rows that ended leave the batch. */
#include "src/rollout/generate.h"

#include "src/base/arena.h"
#include "src/rollout/capture.h"

#include <stdlib.h>
#include <string.h>

/* How many steps pass between two looks at which rows have ended. */
enum { GENERATE_LOOK_EVERY = 2 };

/* What a step leaves for each row, recorded on the device at [row, step]. */
enum record {
    REC_TOKEN,
    REC_LOGP,
    REC_TOKEN_ENTROPY,
    REC_ENTROPY,
    REC_FLOORED,
    REC_MASS,
    REC_SPECIAL,
    REC_TURN_MASS,
    REC_TOP_POSITION,
    REC_TOP_WEIGHT,
    REC_COUNT
};

struct generator {
    struct t5 *model;
    struct t5_decoder *decoder;
    struct t5_run *run;
    struct capture capture;
    struct buffer slot, logp, token_entropy, key_begin, history, step;
    struct buffer record[REC_COUNT];
};

status generator_create(struct t5 *model, struct generator **out)
{
    struct generator *g = memory_allocate(sizeof *g);
    g->model = model;
    capture_create(&g->capture, t5_queue(model));
    status s = t5_shape(model)->decoder_layers ? t5_decoder_create(model, &g->decoder) : NULL;
    if (!s) s = t5_run_create(model, &g->run);
    if (s) {
        generator_destroy(g);
        return s;
    }
    *out = g;
    return NULL;
}

void generator_destroy(struct generator *g)
{
    if (!g) return;
    struct queue *q = t5_queue(g->model);
    struct buffer *all[] = {&g->slot,      &g->logp,    &g->token_entropy,
                            &g->key_begin, &g->history, &g->step};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_release(q, all[i]);
    for (int i = 0; i < REC_COUNT; i++) buffer_release(q, &g->record[i]);
    capture_destroy(&g->capture);
    if (g->decoder) t5_decoder_destroy(g->decoder);
    if (g->run) t5_run_destroy(g->run);
    free(g);
}

static int64_t record_width(const struct generator *g, int record)
{
    return record == REC_TURN_MASS                                  ? g->capture.turns
           : record == REC_TOP_POSITION || record == REC_TOP_WEIGHT ? SUMMARY_TOP
                                                                    : 1;
}

/* The prompts that a chunk of rows reads: packed tokens for the model. */
struct packed_prompts {
    int64_t first, count;
    int32_t *begin, *tokens;
};

static void packed_prompts_make(struct packed_prompts *packed, const struct prompt *prompts,
                                const struct reply_row *rows, int64_t row_count)
{
    packed->first = rows[0].prompt;
    packed->count = rows[row_count - 1].prompt - packed->first + 1;
    packed->begin = memory_allocate((size_t)(packed->count + 1) * sizeof *packed->begin);
    for (int64_t p = 0; p < packed->count; p++)
        packed->begin[p + 1] = packed->begin[p] + (int32_t)prompts[packed->first + p].count;
    packed->tokens =
        memory_allocate((size_t)packed->begin[packed->count] * sizeof *packed->tokens + 4);
    for (int64_t p = 0; p < packed->count; p++)
        memcpy(packed->tokens + packed->begin[p], prompts[packed->first + p].tokens,
               (size_t)prompts[packed->first + p].count * sizeof *packed->tokens);
}

static void packed_prompts_free(struct packed_prompts *packed)
{
    free(packed->begin);
    free(packed->tokens);
}

/* Rows of one chunk that are still in the batch, by their index in the chunk. */
struct active {
    int32_t *row, *prompt;
    uint32_t *counter;
    int64_t count;
};

/* Uploads what belongs to the active rows; called at the start and after rows left. */
static status active_upload(struct generator *g, const struct config *config,
                            const struct prompt *prompts, struct active *active,
                            const struct reply_row *rows, int64_t first_prompt)
{
    struct queue *q = t5_queue(g->model);
    for (int64_t i = 0; i < active->count; i++) {
        const struct reply_row *row = &rows[active->row[i]];
        active->prompt[i] = row->prompt - (int32_t)first_prompt;
        memcpy(active->counter + 3 * i, row->counter, sizeof row->counter);
    }
    TRY(buffer_upload(q, &g->slot, active->row, (size_t)active->count * sizeof(int32_t)));
    TRY(buffer_reserve(q, &g->logp, (size_t)active->count * sizeof(float)));
    TRY(buffer_reserve(q, &g->token_entropy, (size_t)active->count * sizeof(float)));
    return capture_rows(&g->capture, config, prompts + first_prompt, active->prompt,
                        active->counter, active->count);
}

/* Where a step or a forced pass left its numbers, but for the tokens. */
static void results_name(const struct generator *g, const void *from[REC_COUNT])
{
    from[REC_LOGP] = g->logp.data;
    from[REC_TOKEN_ENTROPY] = g->token_entropy.data;
    from[REC_ENTROPY] = g->capture.entropy.data;
    from[REC_FLOORED] = g->capture.floored.data;
    from[REC_MASS] = g->capture.mass.data;
    from[REC_SPECIAL] = g->capture.special.data;
    from[REC_TURN_MASS] = g->capture.turn_mass.data;
    from[REC_TOP_POSITION] = g->capture.top_position.data;
    from[REC_TOP_WEIGHT] = g->capture.top_weight.data;
}

/* captured: the attention summary was made; without it its records stay zero. */
static status step_record(struct generator *g, const struct active *active, int64_t steps,
                          bool captured)
{
    struct queue *q = t5_queue(g->model);
    const int32_t *position = t5_decoder_step_of_row(g->decoder);
    const void *from[REC_COUNT] = {[REC_TOKEN] = t5_decoder_input(g->decoder)};
    results_name(g, from);
    for (int i = 0; i < (captured ? REC_COUNT : REC_ENTROPY); i++) {
        const int64_t width = record_width(g, i);
        q->op->cache_append(q, g->record[i].data, steps * width, g->slot.data, position, from[i],
                            width, active->count, width, sizeof(float));
    }
    return NULL;
}

/* Copies the chunk's records into the replies; a reply ends at its first end token. */
static status records_read(struct generator *g, int64_t rows, int64_t steps, int32_t end,
                           struct reply *replies)
{
    struct queue *q = t5_queue(g->model);
    void *host[REC_COUNT] = {NULL};
    for (int i = 0; i < REC_COUNT; i++) {
        const size_t bytes = (size_t)(rows * steps * record_width(g, i)) * 4;
        host[i] = memory_allocate(bytes + 4);
        q->op->download(q, host[i], g->record[i].data, bytes);
    }
    status s = q->op->synchronize(q);
    for (int64_t r = 0; !s && r < rows; r++) {
        const int32_t *tokens = (const int32_t *)host[REC_TOKEN] + r * steps;
        int64_t count = 0;
        bool ended = false;
        while (count < steps && !ended) ended = tokens[count++] == end;
        struct reply *reply = &replies[r];
        reply_allocate(reply, count, g->capture.turns, SUMMARY_TOP);
        reply->ended = ended;
        void *to[REC_COUNT] = {[REC_TOKEN] = reply->tokens,
                               [REC_LOGP] = reply->logp,
                               [REC_TOKEN_ENTROPY] = reply->token_entropy,
                               [REC_ENTROPY] = reply->entropy,
                               [REC_FLOORED] = reply->entropy_floored,
                               [REC_MASS] = reply->salient_mass,
                               [REC_SPECIAL] = reply->special_mass,
                               [REC_TURN_MASS] = reply->turn_mass,
                               [REC_TOP_POSITION] = reply->top_position,
                               [REC_TOP_WEIGHT] = reply->top_weight};
        for (int i = 0; i < REC_COUNT; i++) {
            const int64_t width = record_width(g, i);
            memcpy(to[i], (const char *)host[i] + r * steps * width * 4,
                   (size_t)(count * width) * 4);
        }
    }
    for (int i = 0; i < REC_COUNT; i++) free(host[i]);
    return s;
}

/* Marks the rows whose last looked-at tokens hold the end token; drops them. */
static status rows_drop(struct generator *g, const struct config *config,
                        const struct prompt *prompts, const struct reply_row *rows,
                        int64_t first_prompt, struct active *active, bool *ended, int64_t all,
                        int64_t step, int64_t steps, int32_t end)
{
    struct queue *q = t5_queue(g->model);
    int32_t *tokens = memory_allocate((size_t)(all * steps) * sizeof *tokens);
    int32_t *kept = memory_allocate((size_t)active->count * sizeof *kept);
    q->op->download(q, tokens, g->record[REC_TOKEN].data, (size_t)(all * steps) * sizeof *tokens);
    status s = q->op->synchronize(q);
    int64_t left = 0;
    for (int64_t i = 0; !s && i < active->count; i++) {
        const int32_t row = active->row[i];
        for (int64_t t = step - GENERATE_LOOK_EVERY + 1; t <= step; t++)
            if (t >= 0 && tokens[row * steps + t] == end) ended[row] = true;
        if (ended[row]) continue;
        active->row[left] = row;
        kept[left++] = (int32_t)i;
    }
    if (!s && left < active->count) {
        active->count = left;
        if (left) s = t5_decoder_keep(g->decoder, kept, left);
        if (!s && left) s = active_upload(g, config, prompts, active, rows, first_prompt);
    }
    free(tokens);
    free(kept);
    return s;
}

static status steps_run(struct generator *g, const struct config *config,
                        enum random_purpose purpose, const struct prompt *prompts,
                        const struct reply_row *rows, int64_t row_count, int64_t first_prompt,
                        struct active *active, bool *ended)
{
    struct queue *q = t5_queue(g->model);
    const struct t5_shape *shape = t5_shape(g->model);
    const int64_t steps = config->rollout.max_new_tokens;
    const int64_t layers = config->attention.layers; /* 0: capture off, asked by bench alone */
    for (int64_t step = 0; step < steps && active->count; step++) {
        TRY(t5_decoder_step(g->decoder));
        if (layers > 0) {
            int64_t stride;
            const float *captured = t5_decoder_capture(g->decoder, &stride);
            TRY(capture_reduce(&g->capture, config, captured, stride, layers * shape->heads,
                               t5_decoder_history_of_row(g->decoder),
                               t5_decoder_key_begin(g->decoder), t5_decoder_key_end(g->decoder),
                               t5_decoder_step_of_row(g->decoder), active->count));
        }
        const struct sampling sampling = {.rows = active->count,
                                          .vocabulary = shape->vocabulary,
                                          .logits = t5_decoder_logits(g->decoder),
                                          .temperature = (float)config->rollout.temperature,
                                          .top_k = config->rollout.top_k,
                                          .top_p = (float)config->rollout.top_p,
                                          .key = {(uint32_t)config->seed, (uint32_t)purpose},
                                          .counter = g->capture.counter.data,
                                          .step = t5_decoder_step_of_row(g->decoder),
                                          .token = t5_decoder_input(g->decoder),
                                          .logp = g->logp.data,
                                          .token_entropy = g->token_entropy.data};
        q->op->sample(q, &sampling);
        TRY(step_record(g, active, steps, layers > 0));
        if ((step + 1) % GENERATE_LOOK_EVERY == 0)
            TRY(rows_drop(g, config, prompts, rows, first_prompt, active, ended, row_count, step,
                          steps, shape->end));
    }
    return NULL;
}

static status chunk_generate(struct generator *g, const struct config *config,
                             enum random_purpose purpose, const struct prompt *prompts,
                             const struct reply_row *rows, int64_t row_count, struct reply *replies)
{
    struct queue *q = t5_queue(g->model);
    const int64_t steps = config->rollout.max_new_tokens;
    struct packed_prompts packed;
    packed_prompts_make(&packed, prompts, rows, row_count);
    struct active active = {.count = row_count};
    active.row = memory_allocate((size_t)row_count * sizeof *active.row);
    active.prompt = memory_allocate((size_t)row_count * sizeof *active.prompt);
    active.counter = memory_allocate((size_t)row_count * 3 * sizeof *active.counter);
    bool *ended = memory_allocate((size_t)row_count * sizeof *ended);
    for (int64_t r = 0; r < row_count; r++) active.row[r] = (int32_t)r;

    status s = capture_prompts(&g->capture, prompts + packed.first, packed.count);
    if (!s) s = active_upload(g, config, prompts, &active, rows, packed.first);
    for (int i = 0; !s && i < REC_COUNT; i++) {
        const size_t bytes = (size_t)(row_count * steps * record_width(g, i)) * 4;
        s = buffer_reserve(q, &g->record[i], bytes);
        if (!s) q->op->zero(q, g->record[i].data, bytes);
    }
    if (!s)
        s = t5_decoder_begin(g->decoder, packed.count, packed.begin, packed.tokens, row_count,
                             active.prompt, steps, config->attention.layers);
    if (!s)
        s = steps_run(g, config, purpose, prompts, rows, row_count, packed.first, &active, ended);
    if (!s) s = records_read(g, row_count, steps, t5_shape(g->model)->end, replies);
    packed_prompts_free(&packed);
    free(active.row);
    free(active.prompt);
    free(active.counter);
    free(ended);
    return s;
}

static status layers_check(const struct generator *g, const struct config *config)
{
    const int64_t layers = t5_shape(g->model)->decoder_layers;
    if (config->attention.layers > layers)
        FAIL(STATUS_INPUT,
             "attention.layers is %lld but the model's decoder has %lld layers; lower it",
             (long long)config->attention.layers, (long long)layers);
    return NULL;
}

status generate_replies(struct generator *g, const struct config *config,
                        enum random_purpose purpose, const struct prompt *prompts,
                        const struct reply_row *rows, int64_t row_count, struct reply *replies)
{
    TRY(layers_check(g, config));
    memset(replies, 0, (size_t)row_count * sizeof *replies);
    for (int64_t at = 0; at < row_count; at += config->infer.batch) {
        const int64_t left = row_count - at;
        TRY(chunk_generate(g, config, purpose, prompts, rows + at,
                           left < config->infer.batch ? left : config->infer.batch, replies + at));
    }
    return NULL;
}

/* Teacher-forced scoring of a chunk of rows, none of them empty. */
struct score_arrays {
    int32_t *reply_begin, *tokens, *history, *prompt_of_token, *step;
    uint32_t *counter;
    int64_t total;
};

static void score_arrays_make(struct score_arrays *a, const struct packed_prompts *packed,
                              const struct reply_row *rows, int64_t row_count,
                              const struct reply *replies)
{
    a->total = 0;
    for (int64_t r = 0; r < row_count; r++) a->total += replies[r].count;
    const size_t n = (size_t)a->total + 1;
    a->reply_begin = memory_allocate((size_t)(row_count + 1) * sizeof *a->reply_begin);
    a->history = memory_allocate((size_t)row_count * sizeof *a->history);
    a->tokens = memory_allocate(n * sizeof *a->tokens);
    a->prompt_of_token = memory_allocate(n * sizeof *a->prompt_of_token);
    a->step = memory_allocate(n * sizeof *a->step);
    a->counter = memory_allocate(n * 3 * sizeof *a->counter);
    int64_t at = 0;
    for (int64_t r = 0; r < row_count; r++) {
        a->reply_begin[r] = (int32_t)at;
        a->history[r] = rows[r].prompt - (int32_t)packed->first;
        for (int64_t i = 0; i < replies[r].count; i++, at++) {
            a->tokens[at] = replies[r].tokens[i];
            a->prompt_of_token[at] = a->history[r];
            a->step[at] = (int32_t)i;
            memcpy(a->counter + 3 * at, rows[r].counter, sizeof rows[r].counter);
        }
    }
    a->reply_begin[row_count] = (int32_t)at;
}

static void score_arrays_free(struct score_arrays *a)
{
    free(a->reply_begin);
    free(a->tokens);
    free(a->history);
    free(a->prompt_of_token);
    free(a->step);
    free(a->counter);
}

/* Device results, [total] and [total, columns], into the replies. */
static status scores_read(struct generator *g, const struct score_arrays *a, int64_t row_count,
                          struct reply *replies)
{
    struct queue *q = t5_queue(g->model);
    const void *from[REC_COUNT] = {NULL};
    results_name(g, from);
    void *host[REC_COUNT] = {NULL};
    for (int i = REC_LOGP; i < REC_COUNT; i++) {
        const size_t bytes = (size_t)(a->total * record_width(g, i)) * 4;
        host[i] = memory_allocate(bytes + 4);
        q->op->download(q, host[i], from[i], bytes);
    }
    status s = q->op->synchronize(q);
    for (int64_t r = 0; !s && r < row_count; r++) {
        struct reply scored;
        reply_allocate(&scored, replies[r].count, g->capture.turns, SUMMARY_TOP);
        scored.ended = replies[r].ended;
        memcpy(scored.tokens, replies[r].tokens, (size_t)scored.count * sizeof(int32_t));
        void *to[REC_COUNT] = {[REC_LOGP] = scored.logp,
                               [REC_TOKEN_ENTROPY] = scored.token_entropy,
                               [REC_ENTROPY] = scored.entropy,
                               [REC_FLOORED] = scored.entropy_floored,
                               [REC_MASS] = scored.salient_mass,
                               [REC_SPECIAL] = scored.special_mass,
                               [REC_TURN_MASS] = scored.turn_mass,
                               [REC_TOP_POSITION] = scored.top_position,
                               [REC_TOP_WEIGHT] = scored.top_weight};
        for (int i = REC_LOGP; i < REC_COUNT; i++) {
            const int64_t width = record_width(g, i);
            memcpy(to[i], (const char *)host[i] + a->reply_begin[r] * width * 4,
                   (size_t)(scored.count * width) * 4);
        }
        reply_free(&replies[r]);
        replies[r] = scored;
    }
    for (int i = 0; i < REC_COUNT; i++) free(host[i]);
    return s;
}

static status chunk_score(struct generator *g, const struct config *config,
                          const struct prompt *prompts, const struct reply_row *rows,
                          int64_t row_count, struct reply *replies)
{
    struct queue *q = t5_queue(g->model);
    const struct t5_shape *shape = t5_shape(g->model);
    const float temperature =
        config->rollout.temperature > 0 ? (float)config->rollout.temperature : 1.0f;
    struct packed_prompts packed;
    packed_prompts_make(&packed, prompts, rows, row_count);
    struct score_arrays a;
    score_arrays_make(&a, &packed, rows, row_count, replies);
    const struct t5_batch batch = {.histories = packed.count,
                                   .history_begin = packed.begin,
                                   .history_tokens = packed.tokens,
                                   .replies = row_count,
                                   .reply_begin = a.reply_begin,
                                   .reply_tokens = a.tokens,
                                   .reply_history = a.history};
    const size_t n = (size_t)a.total;
    status s = capture_prompts(&g->capture, prompts + packed.first, packed.count);
    if (!s)
        s = capture_rows(&g->capture, config, prompts + packed.first, a.prompt_of_token, a.counter,
                         a.total);
    if (!s) s = buffer_upload(q, &g->history, a.prompt_of_token, n * sizeof(int32_t));
    if (!s) s = buffer_upload(q, &g->step, a.step, n * sizeof(int32_t));
    if (!s)
        s = buffer_upload(q, &g->key_begin, packed.begin,
                          (size_t)(packed.count + 1) * sizeof(int32_t));
    if (!s) s = buffer_reserve(q, &g->logp, n * sizeof(float));
    if (!s) s = buffer_reserve(q, &g->token_entropy, n * sizeof(float));
    if (!s) s = t5_forward(g->run, &batch, false, config->attention.layers);
    if (!s) {
        int64_t stride;
        const float *captured = t5_run_capture(g->run, &stride);
        const int32_t *begin = g->key_begin.data;
        s = t5_run_logp(g->run, temperature, g->logp.data, g->token_entropy.data, NULL);
        if (!s)
            s = capture_reduce(&g->capture, config, captured, stride,
                               config->attention.layers * shape->heads, g->history.data, begin,
                               begin + 1, g->step.data, a.total);
    }
    if (!s) s = scores_read(g, &a, row_count, replies);
    score_arrays_free(&a);
    packed_prompts_free(&packed);
    return s;
}

status score_replies(struct generator *g, const struct config *config, const struct prompt *prompts,
                     const struct reply_row *rows, int64_t row_count, struct reply *replies)
{
    TRY(layers_check(g, config));
    int64_t at = 0;
    while (at < row_count) {
        int64_t count = 0;
        while (at + count < row_count && count < config->infer.batch &&
               replies[at + count].count > 0)
            count++;
        if (count) TRY(chunk_score(g, config, prompts, rows + at, count, replies + at));
        at += count;
        if (at < row_count && replies[at].count == 0) {
            const bool ended = replies[at].ended;
            reply_free(&replies[at]);
            reply_allocate(&replies[at], 0, 1, SUMMARY_TOP);
            replies[at++].ended = ended;
        }
    }
    return NULL;
}
