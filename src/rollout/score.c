/* Teacher-forced scoring of given replies: see generate.h. */
#include "src/rollout/generate_parts.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

status generator_reserve_scoring(struct generator *g, const struct config *config,
                                 int64_t candidates)
{
    struct queue *q = model_queue(g->model);
    const int64_t histories = generator_histories(config, candidates);
    const int64_t tokens = config->infer.batch * config->rollout.max_new_tokens;
    const struct model_limits limits = {.histories = histories,
                                        .history_tokens = histories * config->history.max_tokens,
                                        .longest_history = config->history.max_tokens,
                                        .replies = config->infer.batch,
                                        .reply_tokens = tokens,
                                        .longest_reply = config->rollout.max_new_tokens,
                                        .capture_layers = config->attention.layers};
    const size_t bytes = (size_t)tokens * sizeof(int32_t);
    TRY(generator_check(g, config));
    TRY(model_run_reserve(g->run, &limits));
    TRY(capture_reserve(&g->capture, limits.history_tokens, tokens));
    TRY(results_reserve(&g->results, tokens, config->rollout.turns));
    TRY(buffer_reserve(q, &g->history, bytes));
    TRY(buffer_reserve(q, &g->step, bytes));
    return buffer_reserve(q, &g->key_begin, (size_t)(histories + 1) * sizeof(int32_t));
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

/* A place for every token's results, and the call's inputs on the device. */
static status scoring_begin(struct generator *g, const struct config *config,
                            const struct prompt *prompts, const struct packed_prompts *packed,
                            const struct score_arrays *a)
{
    struct queue *q = model_queue(g->model);
    const size_t n = (size_t)a->total;
    const struct capture_batch batch = {.prompts = prompts + packed->first,
                                        .prompt_count = packed->count,
                                        .prompt_of = a->prompt_of_token,
                                        .counters = a->counter,
                                        .replies = a->total};
    TRY(capture_begin(&g->capture, config, &batch, packed->begin[packed->count], a->total));
    TRY(results_begin(&g->results, a->total, g->capture.turns));
    TRY(buffer_upload(q, &g->history, a->prompt_of_token, n * sizeof(int32_t)));
    TRY(buffer_upload(q, &g->step, a->step, n * sizeof(int32_t)));
    return buffer_upload(q, &g->key_begin, packed->begin,
                         (size_t)(packed->count + 1) * sizeof(int32_t));
}

static status batch_score(struct generator *g, const struct config *config,
                          const struct packed_prompts *packed, const struct score_arrays *a,
                          int64_t row_count)
{
    const struct model_shape *shape = model_shape(g->model);
    const float temperature =
        config->rollout.temperature > 0 ? (float)config->rollout.temperature : 1.0f;
    const struct model_batch batch = {.histories = packed->count,
                                      .history_begin = packed->begin,
                                      .history_tokens = packed->tokens,
                                      .replies = row_count,
                                      .reply_begin = a->reply_begin,
                                      .reply_tokens = a->tokens,
                                      .reply_history = a->history};
    TRY(model_forward(g->run, &batch, MODEL_KEEP_NOTHING, config->attention.layers));
    const int32_t *begin = g->key_begin.data;
    struct attention_summary summary = {.rows = a->total,
                                        .weight =
                                            1.0f / (float)(config->attention.layers * shape->heads),
                                        .history_of_row = g->history.data,
                                        .key_begin = begin,
                                        .key_end = begin + 1,
                                        .step = g->step.data};
    summary.capture = model_run_capture(g->run, &summary.capture_stride);
    TRY(model_run_logp(g->run, temperature, g->results.of[RESULT_LOGP],
                       g->results.of[RESULT_TOKEN_ENTROPY], NULL));
    capture_reduce(&g->capture, config, &g->results, &summary);
    return results_read(&g->results);
}

static void replies_fill(const struct generator *g, const struct score_arrays *a, int64_t row_count,
                         struct reply *replies)
{
    for (int64_t r = 0; r < row_count; r++) {
        struct reply scored;
        results_reply(&g->results, a->reply_begin[r], replies[r].count, g->capture.turns, &scored);
        scored.ended = replies[r].ended;
        memcpy(scored.tokens, replies[r].tokens, (size_t)scored.count * sizeof(int32_t));
        reply_free(&replies[r]);
        replies[r] = scored;
    }
}

static status chunk_score(struct generator *g, const struct config *config,
                          const struct prompt *prompts, const struct reply_row *rows,
                          int64_t row_count, struct reply *replies)
{
    struct packed_prompts packed;
    struct score_arrays a;
    packed_prompts_make(&packed, prompts, rows, row_count);
    score_arrays_make(&a, &packed, rows, row_count, replies);
    status s = scoring_begin(g, config, prompts, &packed, &a);
    if (!s) s = batch_score(g, config, &packed, &a, row_count);
    if (!s) replies_fill(g, &a, row_count, replies);
    score_arrays_free(&a);
    packed_prompts_free(&packed);
    return s;
}

status score_replies(struct generator *g, const struct config *config, const struct prompt *prompts,
                     const struct reply_row *rows, int64_t row_count, struct reply *replies)
{
    TRY(generator_check(g, config));
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
