/* Teacher-forced scoring of given replies: see generate.h. */
#include "src/rollout/generator.h"

#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/rollout/reencode.h"

#include <stdlib.h>
#include <string.h>

status generator_reserve_scoring(struct generator *g, const struct rollout_settings *settings,
                                 int64_t candidates)
{
    struct queue *q = model_queue(g->model);
    const int64_t longest = rollout_longest_history(settings);
    const int64_t histories =
        generator_histories(settings, settings->cot.reencode ? 1 : candidates);
    const int64_t tokens = settings->batch * settings->max_new_tokens;
    const struct model_limits limits = {.histories = histories,
                                        .history_tokens =
                                            histories * (longest + rollout_cut_tokens(settings)),
                                        .summary_slots = settings->summary_slots,
                                        .longest_history = longest,
                                        .replies = settings->batch,
                                        .reply_tokens = tokens,
                                        .longest_reply = settings->max_new_tokens,
                                        .cuts = 2 * settings->max_turns,
                                        .capture_layers = settings->layers};
    const size_t bytes = (size_t)tokens * sizeof(int32_t);
    TRY(generator_check(g, settings));
    model_run_capture_self(g->run, settings->cot.block > 0);
    TRY(model_run_reserve(g->run, &limits));
    if (settings->cot.block) TRY(block_rows_reserve(&g->blocks, settings));
    TRY(capture_reserve(&g->capture, limits.history_tokens, tokens));
    const struct statistic_sizes sizes = generator_sizes(g, settings, settings->max_turns);
    TRY(results_reserve(&g->results, tokens, &sizes));
    TRY(heads_reserve(&g->heads, settings->batch, 0, longest));
    TRY(buffer_reserve(q, &g->heads.next, bytes));
    TRY(buffer_reserve(q, &g->heads.reply, bytes));
    TRY(buffer_reserve(q, &g->history, bytes));
    TRY(buffer_reserve(q, &g->step, bytes));
    return buffer_reserve(q, &g->key_begin, (size_t)(histories + 1) * sizeof(int32_t));
}

/* Teacher-forced scoring of a chunk of rows, none of them empty. */
struct score_arrays {
    int32_t *reply_begin, *tokens, *history, *prompt_of_token, *reply_of_token, *step;
    uint32_t *counter;
    int64_t total;
};

static void score_arrays_make(struct score_arrays *a, const struct packed_prompts *packed,
                              const struct reply_row *rows, int64_t row_count,
                              const struct given_reply *given)
{
    a->total = 0;
    for (int64_t r = 0; r < row_count; r++) a->total += given[r].count;
    const size_t n = (size_t)a->total + 1;
    a->reply_begin = memory_allocate((size_t)(row_count + 1) * sizeof *a->reply_begin);
    a->history = memory_allocate((size_t)row_count * sizeof *a->history);
    a->tokens = memory_allocate(n * sizeof *a->tokens);
    a->prompt_of_token = memory_allocate(n * sizeof *a->prompt_of_token);
    a->reply_of_token = memory_allocate(n * sizeof *a->reply_of_token);
    a->step = memory_allocate(n * sizeof *a->step);
    a->counter = memory_allocate(n * 3 * sizeof *a->counter);
    int64_t at = 0;
    for (int64_t r = 0; r < row_count; r++) {
        a->reply_begin[r] = (int32_t)at;
        a->history[r] = rows[r].prompt - (int32_t)packed->first;
        for (int64_t i = 0; i < given[r].count; i++, at++) {
            a->tokens[at] = given[r].tokens[i];
            a->prompt_of_token[at] = a->history[r];
            a->reply_of_token[at] = (int32_t)r;
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
    free(a->reply_of_token);
    free(a->step);
    free(a->counter);
}

/* A place for every token's results, and the call's inputs on the device. */
static status scoring_begin(struct generator *g, const struct rollout_settings *settings,
                            const struct prompt *prompts, const struct packed_prompts *packed,
                            const struct score_arrays *a, int64_t row_count)
{
    struct queue *q = model_queue(g->model);
    const size_t n = (size_t)a->total;
    const struct capture_batch batch = {.prompts = prompts + packed->first,
                                        .prompt_count = packed->count,
                                        .prompt_of = a->prompt_of_token,
                                        .counters = a->counter,
                                        .replies = a->total};
    TRY(capture_begin(&g->capture, settings, &batch, packed->begin[packed->count], a->total));
    const struct statistic_sizes sizes = generator_sizes(g, settings, g->capture.turns);
    TRY(results_begin(&g->results, a->total, &sizes, settings->self_certainty));
    TRY(heads_reserve(&g->heads, row_count, 0, capture_longest(&batch)));
    TRY(heads_begin(&g->heads, &g->capture, &g->results, a->history, row_count));
    TRY(heads_of_given(&g->heads, a->tokens, a->reply_of_token, a->total, a->reply_begin));
    TRY(buffer_upload(q, &g->history, a->prompt_of_token, n * sizeof(int32_t)));
    TRY(buffer_upload(q, &g->step, a->step, n * sizeof(int32_t)));
    return buffer_upload(q, &g->key_begin, packed->begin,
                         (size_t)(packed->count + 1) * sizeof(int32_t));
}

static status batch_score(struct generator *g, const struct rollout_settings *settings,
                          const struct packed_prompts *packed, const struct score_arrays *a,
                          int64_t row_count)
{
    const struct model_shape *shape = model_shape(g->model);
    const float temperature = settings->temperature > 0 ? (float)settings->temperature : 1.0f;
    struct model_batch batch = packed_prompts_batch(packed);
    batch.replies = row_count;
    batch.reply_begin = a->reply_begin;
    batch.reply_tokens = a->tokens;
    batch.reply_history = a->history;
    const int32_t *begin = g->key_begin.data;
    g->heads.call.history_of_row = g->history.data;
    g->heads.call.key_begin = begin;
    g->heads.call.key_end = begin + 1;
    g->heads.call.step = g->step.data;
    model_run_read_heads(g->run, heads_call(&g->heads));
    TRY(model_forward(g->run, &batch, MODEL_KEEP_NOTHING, settings->layers));
    struct attention_summary summary = {.rows = a->total,
                                        .weight = 1.0f / (float)(settings->layers * shape->heads),
                                        .history_of_row = g->history.data,
                                        .key_begin = begin,
                                        .key_end = begin + 1,
                                        .step = g->step.data};
    summary.capture = model_run_capture(g->run, &summary.capture_stride);
    TRY(model_run_logp(g->run, temperature, g->results.logp, g->results.token_entropy,
                       results_self_certainty(&g->results), NULL));
    capture_reduce(&g->capture, settings, &g->results, &summary);
    heads_finish(&g->heads);
    return results_read(&g->results);
}

static void replies_fill(const struct generator *g, const struct score_arrays *a,
                         const struct prompt *prompts, const struct reply_row *rows,
                         int64_t row_count, const struct given_reply *given, struct reply *replies)
{
    for (int64_t r = 0; r < row_count; r++) {
        results_reply(&g->results, a->reply_begin[r], given[r].count, prompts[rows[r].prompt].turns,
                      &replies[r]);
        memcpy(replies[r].tokens, given[r].tokens, (size_t)given[r].count * sizeof(int32_t));
        replies[r].ended = given[r].ended;
    }
}

static bool has_blocks(const struct given_reply *given, int64_t row_count)
{
    for (int64_t r = 0; r < row_count; r++)
        if (given[r].blocks) return true;
    return false;
}

/* After replies_fill: what is read off rows over earlier blocks too. */
static status blocks_read(struct generator *g, const struct rollout_settings *settings,
                          const struct score_arrays *a, const struct prompt *prompts,
                          const struct reply_row *rows, int64_t row_count,
                          const struct given_reply *given, struct reply *replies)
{
    struct queue *q = model_queue(g->model);
    struct captured_rows captured;
    const float *history = model_run_capture(g->run, &captured.history_stride);
    const float *reply = model_run_self_capture(g->run, &captured.reply_stride);
    const size_t history_bytes = (size_t)(a->total * captured.history_stride) * sizeof(float);
    const size_t reply_bytes =
        reply ? (size_t)(a->total * captured.reply_stride) * sizeof(float) : 0;
    float *host = memory_allocate(history_bytes + reply_bytes + 4);
    q->op->download(q, host, history, history_bytes);
    if (reply) q->op->download(q, host + history_bytes / sizeof *host, reply, reply_bytes);
    captured.history = host;
    captured.reply = reply ? host + history_bytes / sizeof *host : NULL;
    status s = q->op->synchronize(q);
    for (int64_t r = 0; !s && r < row_count; r++) {
        if (!given[r].blocks) continue;
        reply_blocks_copy(&replies[r], given[r].blocks);
        s = block_rows_read(&g->blocks, settings, &captured, a->reply_begin[r],
                            &prompts[rows[r].prompt], rows[r].counter, &replies[r]);
    }
    free(host);
    return s;
}

static status chunk_score(struct generator *g, const struct rollout_settings *settings,
                          const struct prompt *prompts, const struct reply_row *rows,
                          int64_t row_count, const struct given_reply *given, struct reply *replies)
{
    struct packed_prompts packed;
    struct score_arrays a;
    packed_prompts_make(&packed, prompts, rows, row_count);
    score_arrays_make(&a, &packed, rows, row_count, given);
    status s = scoring_begin(g, settings, prompts, &packed, &a, row_count);
    const bool blocks = has_blocks(given, row_count);
    model_run_capture_self(g->run, blocks);
    if (!s) s = batch_score(g, settings, &packed, &a, row_count);
    if (!s) replies_fill(g, &a, prompts, rows, row_count, given, replies);
    if (!s && blocks) s = blocks_read(g, settings, &a, prompts, rows, row_count, given, replies);
    score_arrays_free(&a);
    packed_prompts_free(&packed);
    return s;
}

/* Nothing is read off a reply without tokens. */
static void empty_fill(const struct generator *g, const struct rollout_settings *settings,
                       const struct prompt *prompt, bool ended, struct reply *reply)
{
    const struct statistic_sizes sizes = generator_sizes(g, settings, prompt->turns);
    reply_allocate(reply, generator_statistics(g), &sizes, settings->self_certainty, 0);
    reply->ended = ended;
}

status score_replies(struct generator *g, const struct rollout_settings *settings,
                     const struct prompt *prompts, const struct reply_row *rows, int64_t row_count,
                     const struct given_reply *given, struct reply *replies)
{
    TRY(generator_check(g, settings));
    if (settings->cot.reencode)
        return reencode_score(g, settings, prompts, rows, row_count, given, replies);
    memset(replies, 0, (size_t)row_count * sizeof *replies);
    int64_t at = 0;
    while (at < row_count) {
        int64_t count = 0;
        while (at + count < row_count && count < settings->batch && given[at + count].count > 0)
            count++;
        progress_poll();
        if (count)
            TRY(chunk_score(g, settings, prompts, rows + at, count, given + at, replies + at));
        progress_add(count);
        at += count;
        if (at < row_count && given[at].count == 0) {
            empty_fill(g, settings, &prompts[rows[at].prompt], given[at].ended, &replies[at]);
            at++;
        }
    }
    return NULL;
}
