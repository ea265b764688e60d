/* Rows over question and earlier blocks; see block_rows.h. */
#include "src/rollout/block_rows.h"

#include "src/base/memory.h"
#include "src/reward/blocks.h"

#include <stdlib.h>
#include <string.h>

void block_rows_create(struct block_rows *b, struct queue *queue)
{
    *b = (struct block_rows){.rows = {.kind = MEMORY_CAPTURE},
                             .places = {.kind = MEMORY_CAPTURE},
                             .out = {.kind = MEMORY_CAPTURE}};
    capture_create(&b->capture, queue, false, false);
}

void block_rows_destroy(struct block_rows *b)
{
    if (!b->capture.queue) return;
    buffer_release(b->capture.queue, &b->rows);
    buffer_release(b->capture.queue, &b->places);
    capture_destroy(&b->capture);
    buffer_release(b->capture.queue, &b->out);
}

enum { BLOCK_NUMBERS = 4 };

/* What a reply's rows take on the device. */
static status buffers_reserve(struct block_rows *b, int64_t rows, int64_t stride, int64_t blocks)
{
    struct queue *q = b->capture.queue;
    const size_t rows_bytes = (size_t)(rows * stride) * sizeof(float);
    const size_t places = (size_t)(2 * rows + blocks + 1) * sizeof(int32_t);
    TRY(buffer_reserve(q, &b->rows, rows_bytes));
    TRY(buffer_reserve(q, &b->places, places));
    return buffer_reserve(q, &b->out, BLOCK_NUMBERS * (size_t)rows * sizeof(float));
}

status block_rows_reserve(struct block_rows *b, const struct rollout_settings *settings)
{
    const int64_t reply = settings->max_new_tokens, longest = settings->max_history + reply;
    const int64_t blocks = blocks_most(reply, settings->cot.block, settings->cot.deep);
    const int64_t rows = settings->cot.block_form == COT_ROWS ? blocks : reply;
    TRY(capture_reserve(&b->capture, blocks * longest, rows));
    return buffers_reserve(b, rows, longest, blocks);
}

static bool sees(const struct prompt *prompt, const uint8_t *marks, int64_t j)
{
    return j < prompt->count ? prompt->visible[j] : marks[j - prompt->count] & BLOCK_VISIBLE;
}

/* Over the visible ones of `count` entries from `first` on: they add up to `share`; all alike where
 * they are all 0. */
static void part_normalize(double *row, int64_t first, int64_t count, const struct prompt *prompt,
                           const uint8_t *marks, double share)
{
    double sum = 0;
    int64_t visible = 0;
    for (int64_t j = first; j < first + count; j++)
        if (sees(prompt, marks, j)) {
            sum += row[j];
            visible++;
        }
    for (int64_t j = first; j < first + count; j++) {
        if (!sees(prompt, marks, j))
            row[j] = 0;
        else
            row[j] = share * (sum > 0 ? row[j] / sum : 1 / (double)visible);
    }
}

/* The row of token t of a reply over prompt->count + begin entries, H(u) of the block that begins
 * at token `begin`: of a causal model as it is; else (1 - self_weight) times what lies on V of the
 * history and self_weight times what lies on the blocks' visible tokens, each renormalized; the
 * first alone before any block. */
static void block_row_join(const struct captured_rows *rows, int64_t row,
                           const struct prompt *prompt, const uint8_t *marks, int64_t begin,
                           double self_weight, double *out)
{
    const float *history = rows->history + row * rows->history_stride;
    if (!rows->reply) {
        for (int64_t j = 0; j < prompt->count + begin; j++) out[j] = (double)history[j];
        return;
    }
    const float *reply = rows->reply + row * rows->reply_stride + 1; /* behind the start token */
    bool any = false;
    for (int64_t j = 0; j < prompt->count; j++) out[j] = (double)history[j];
    for (int64_t j = 0; j < begin; j++) {
        out[prompt->count + j] = (double)reply[j];
        any |= (marks[j] & BLOCK_VISIBLE) != 0;
    }
    part_normalize(out, 0, prompt->count, prompt, marks, any ? 1 - self_weight : 1);
    part_normalize(out, prompt->count, begin, prompt, marks, self_weight);
}

/* Adds a row over V(H(u)), renormalized, to a sum. */
static void block_row_add(const double *row, const struct prompt *prompt, const uint8_t *marks,
                          int64_t begin, double *sum)
{
    double mass = 0;
    int64_t visible = 0;
    const int64_t count = prompt->count + begin;
    for (int64_t j = 0; j < count; j++)
        if (sees(prompt, marks, j)) {
            mass += row[j];
            visible++;
        }
    for (int64_t j = 0; j < count; j++)
        if (sees(prompt, marks, j)) sum[j] += mass > 0 ? row[j] / mass : 1 / (double)visible;
}

/* What one reply's rows are read with: a history for each block, a row for each token or block. */
struct block_work {
    struct prompt *histories; /* [blocks] */
    float *rows;              /* [rows, stride] */
    int32_t *history, *step;  /* [rows] */
    uint32_t *counter;        /* [rows, 3] */
    int32_t *begin;           /* [blocks + 1] of the histories' tokens */
    int64_t count, stride, blocks;
};

static void history_make(const struct prompt *prompt, const struct reply *reply, int64_t begin,
                         struct prompt *out)
{
    const size_t count = (size_t)(prompt->count + begin) + 1;
    *out = (struct prompt){.count = prompt->count + begin, .turns = 1, .turn = prompt->turn};
    out->visible = memory_allocate(count);
    out->salient = memory_allocate(count);
    out->turn_of = memory_allocate(count);
    out->part = memory_allocate(count);
    memcpy(out->visible, prompt->visible, (size_t)prompt->count);
    memcpy(out->salient, prompt->salient, (size_t)prompt->count);
    out->visible_count = prompt->visible_count;
    out->salient_count = prompt->salient_count;
    for (int64_t j = 0; j < begin; j++) {
        const uint8_t mark = reply->blocks.marks[j];
        out->visible_count += out->visible[prompt->count + j] = (mark & BLOCK_VISIBLE) != 0;
        out->salient_count += out->salient[prompt->count + j] = (mark & BLOCK_SALIENT) != 0;
    }
}

static void work_make(struct block_work *w, const struct rollout_settings *settings,
                      const struct captured_rows *rows, int64_t first, const struct prompt *prompt,
                      const uint32_t counter[3], const struct reply *reply)
{
    const struct reply_blocks *blocks = &reply->blocks;
    const size_t n = (size_t)reply->count;
    *w = (struct block_work){.blocks = blocks->count,
                             .stride = prompt->count + blocks->begin[blocks->count - 1]};
    w->histories = memory_allocate((size_t)blocks->count * sizeof *w->histories);
    w->begin = memory_allocate(((size_t)blocks->count + 1) * sizeof *w->begin);
    w->history = memory_allocate(n * sizeof *w->history);
    w->step = memory_allocate(n * sizeof *w->step);
    w->counter = memory_allocate(3 * n * sizeof *w->counter);
    w->rows = memory_allocate(n * (size_t)w->stride * sizeof *w->rows + 4);
    double *row = memory_allocate(2 * (size_t)w->stride * sizeof *row + 8), *sum = row + w->stride;
    for (int32_t u = 0; u < blocks->count; u++) {
        const int64_t begin = blocks->begin[u];
        const int64_t end = u + 1 < blocks->count ? blocks->begin[u + 1] : reply->count;
        history_make(prompt, reply, begin, &w->histories[u]);
        w->begin[u + 1] = w->begin[u] + (int32_t)w->histories[u].count;
        memset(sum, 0, (size_t)w->stride * sizeof *sum);
        for (int64_t t = begin; t < end; t++) {
            block_row_join(rows, first + t, prompt, blocks->marks, begin, settings->cot.self_weight,
                           row);
            if (settings->cot.block_form == COT_ROWS) {
                block_row_add(row, prompt, blocks->marks, begin, sum);
                if (t + 1 < end) continue;
            }
            const double *from = settings->cot.block_form == COT_ROWS ? sum : row;
            for (int64_t j = 0; j < prompt->count + begin; j++)
                w->rows[w->count * w->stride + j] = (float)from[j];
            w->history[w->count] = u;
            w->step[w->count] = (int32_t)t;
            memcpy(w->counter + 3 * w->count++, counter, 3 * sizeof *counter);
        }
    }
    free(row);
}

static void work_free(struct block_work *w)
{
    for (int64_t u = 0; u < w->blocks; u++) prompt_free(&w->histories[u]);
    free(w->histories);
    free(w->begin);
    free(w->history);
    free(w->step);
    free(w->counter);
    free(w->rows);
}

/* numbers [BLOCK_NUMBERS][rows]: entropy, with the floor, salient mass, and what lies outside of V.
 */
static status work_run(struct block_rows *b, const struct rollout_settings *settings,
                       const struct block_work *w, float *numbers)
{
    struct queue *q = b->capture.queue;
    const struct capture_batch batch = {.prompts = w->histories,
                                        .prompt_count = w->blocks,
                                        .prompt_of = w->history,
                                        .counters = w->counter,
                                        .replies = w->count};
    const size_t rows = (size_t)w->count * sizeof(int32_t);
    const size_t begins = (size_t)(w->blocks + 1) * sizeof(int32_t);
    TRY(capture_begin(&b->capture, settings, &batch, w->begin[w->blocks], w->count));
    TRY(buffers_reserve(b, w->count, w->stride, w->blocks));
    TRY(buffer_upload(q, &b->rows, w->rows, (size_t)(w->count * w->stride) * sizeof(float)));
    char *places = b->places.data;
    q->op->upload(q, places, w->history, rows);
    q->op->upload(q, places + rows, w->step, rows);
    q->op->upload(q, places + 2 * rows, w->begin, begins);
    const int32_t *begin = (const int32_t *)(void *)(places + 2 * rows);
    float *out = b->out.data;
    struct attention_summary summary = {.entropy = out,
                                        .entropy_floored = out + w->count,
                                        .salient_mass = out + 2 * w->count,
                                        .special_mass = out + 3 * w->count,
                                        .rows = w->count,
                                        .capture = b->rows.data,
                                        .capture_stride = w->stride,
                                        .weight = 1,
                                        .history_of_row = (const int32_t *)(void *)places,
                                        .key_begin = begin,
                                        .key_end = begin + 1,
                                        .step = (const int32_t *)(void *)(places + rows)};
    capture_inputs(&b->capture, settings, &summary);
    q->op->attention_summary(q, &summary);
    q->op->download(q, numbers, out, BLOCK_NUMBERS * (size_t)w->count * sizeof *numbers);
    return q->op->synchronize(q);
}

/* A row's numbers go to its token, or with cot.block_form: rows to all of its block. */
static void reply_set(const struct block_work *w, const float *numbers, struct reply *reply)
{
    static const int which[] = {STATISTIC_ENTROPY, STATISTIC_ENTROPY_FLOORED,
                                STATISTIC_SALIENT_MASS};
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        const float *from = numbers + (int64_t)i * w->count;
        float *to = reply->statistics.array[which[i]];
        int64_t t = 0;
        for (int64_t row = 0; row < w->count; row++)
            while (t <= w->step[row]) to[t++] = from[row];
    }
}

status block_rows_read(struct block_rows *b, const struct rollout_settings *settings,
                       const struct captured_rows *rows, int64_t first, const struct prompt *prompt,
                       const uint32_t counter[3], struct reply *reply)
{
    struct block_work work;
    if (!reply->blocks.count) return NULL;
    work_make(&work, settings, rows, first, prompt, counter, reply);
    float *numbers = memory_allocate(BLOCK_NUMBERS * (size_t)work.count * sizeof *numbers);
    status s = work_run(b, settings, &work, numbers);
    if (!s) reply_set(&work, numbers, reply);
    free(numbers);
    work_free(&work);
    return s;
}
