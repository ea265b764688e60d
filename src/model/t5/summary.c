#include "src/model/t5/summary.h"

#include "src/base/cut_turns.h"
#include "src/base/memory.h"
#include "src/model/t5/pool.h"

#include <string.h>

/* Rows that replies and critics read: the histories'; those of the turns stand behind them. */
static int64_t rows_read(const struct t5_run *run)
{
    return run->common.history_tokens - run->cut_tokens;
}

static status turns_check(const struct model_run *run, int64_t h, int64_t length,
                          const struct cut_turns *turns)
{
    const int64_t vocabulary = run->model->shape->vocabulary;
    const int64_t learned = t5_of(run->model)->shape->summary_slots;
    if (turns->slots >= length)
        FAIL(STATUS_INPUT, "history %lld of the batch has %lld tokens and %lld slots", (long long)h,
             (long long)length, (long long)turns->slots);
    if (learned && turns->slots != learned)
        FAIL(STATUS_INPUT, "history %lld of the batch has %lld slots, the model learned %lld",
             (long long)h, (long long)turns->slots, (long long)learned);
    if (!learned && turns->slots != turns->turns)
        FAIL(STATUS_INPUT, "history %lld of the batch has %lld slots for %lld turns", (long long)h,
             (long long)turns->slots, (long long)turns->turns);
    for (int64_t t = 0; t < turns->tokens; t++)
        if (turns->token[t] < 0 || turns->token[t] >= vocabulary)
            FAIL(STATUS_INPUT,
                 "turns cut off history %lld of the batch: token %d is outside the vocabulary of "
                 "%lld",
                 (long long)h, turns->token[t], (long long)vocabulary);
    return NULL;
}

static const int32_t *words_of(const struct model_batch *batch, int64_t h, int64_t *count)
{
    *count = batch->cut_begin ? (int64_t)batch->cut_begin[h + 1] - batch->cut_begin[h] : 0;
    return *count ? batch->cuts + batch->cut_begin[h] : NULL;
}

status t5_summaries_measure(struct model_run *common, const struct model_batch *batch)
{
    struct t5_run *run = t5_run_of(common);
    run->summary_count = run->cut_turns = run->cut_tokens = 0;
    run->summaries =
        memory_resize(run->summaries, (size_t)(batch->histories + 1) * sizeof *run->summaries);
    for (int64_t h = 0; h < batch->histories; h++) {
        struct cut_turns turns;
        int64_t count;
        const int32_t *words = words_of(batch, h, &count);
        if (!count || words[0] != CUT_TURNS) continue;
        if (!cut_turns_read(words, count, &turns))
            FAIL(STATUS_INPUT, "history %lld of the batch: turns that were cut off do not add up",
                 (long long)h);
        const int32_t begin = batch->history_begin[h];
        TRY(turns_check(common, h, (int64_t)batch->history_begin[h + 1] - begin, &turns));
        run->summaries[run->summary_count++] =
            (struct t5_summary){h, begin, run->cut_turns, turns.turns, turns.slots};
        for (int64_t i = 0; i < turns.turns; i++)
            if (turns.length[i] > common->longest_history)
                common->longest_history = turns.length[i];
        run->cut_turns += turns.turns;
        run->cut_tokens += turns.tokens;
    }
    common->history_tokens += run->cut_tokens;
    run->encoder_segments = batch->histories + run->summary_count + run->cut_turns;
    return NULL;
}

void t5_summaries_limit(struct model_run *common, const struct model_limits *limits)
{
    struct t5_run *run = t5_run_of(common);
    run->summary_count = limits->summary_slots ? limits->histories : 0;
    run->cut_turns = limits->histories * limits->summary_slots;
    run->cut_tokens = limits->summary_slots ? limits->history_tokens : 0; /* which has them */
    run->encoder_segments = limits->histories + run->summary_count + run->cut_turns;
}

void t5_summaries_place_integers(struct t5_run *run, struct workspace *workspace)
{
    run->encoder_begin = workspace_ints(workspace, run->encoder_segments + 1);
    run->cut_begin = workspace_ints(workspace, run->cut_turns + 1);
    t5_pool_place_integers(run, workspace);
}

void t5_summaries_fill(const struct t5_run *run, const struct model_batch *batch)
{
    int32_t at = batch->history_begin[batch->histories], *ids = run->history_ids + at;
    const int32_t behind = at;
    int32_t *segment = run->encoder_begin, *turn = run->cut_begin;
    const struct t5_summary *summary = run->summaries;
    const struct t5_summary *end = summary + run->summary_count;
    for (int64_t h = 0; h < batch->histories; h++) {
        *segment++ = batch->history_begin[h];
        if (summary < end && summary->history == h)
            *segment++ = batch->history_begin[h] + (int32_t)summary++->slots;
    }
    for (summary = run->summaries; summary < end; summary++) {
        struct cut_turns turns;
        int64_t count;
        const int32_t *words = words_of(batch, summary->history, &count);
        cut_turns_read(words, count, &turns);
        memcpy(ids, turns.token, (size_t)turns.tokens * sizeof *ids);
        ids += turns.tokens;
        for (int64_t i = 0; i < turns.turns; i++) {
            *segment++ = at;
            *turn++ = at - behind;
            at += turns.length[i];
        }
    }
    *segment = at;
    *turn = at - behind;
    t5_pool_fill(run);
}

void t5_summaries_forward(struct t5_run *run)
{
    struct queue *q = run->common.model->queue;
    const int64_t d = run->common.model->shape->width;
    const bool learned = t5_of(run->common.model)->shape->summary_slots > 0;
    const real *turns = real_at(q, run->common.hidden, rows_read(run) * d);
    if (!run->summary_count) return;
    if (learned) t5_pool_forward(run, turns);
    for (int64_t i = 0; i < run->summary_count; i++) {
        const struct t5_summary *s = &run->summaries[i];
        real *slots = real_at(q, run->common.hidden, s->row * d);
        if (learned)
            q->op->copy(q, slots, real_at(q, run->pool.out, i * s->slots * d),
                        (size_t)(s->slots * d) * q->real_bytes);
        else
            q->op->mean_rows(q, slots, turns, run->cut_begin + s->first_turn, s->slots, d);
    }
}

void t5_summaries_backward(struct t5_run *run, real *dencoder, float *gradients)
{
    struct queue *q = run->common.model->queue;
    const int64_t d = run->common.model->shape->width;
    const bool learned = t5_of(run->common.model)->shape->summary_slots > 0;
    real *dturns = real_at(q, dencoder, rows_read(run) * d);
    for (int64_t i = 0; i < run->summary_count; i++) {
        const struct t5_summary *s = &run->summaries[i];
        real *slots = real_at(q, dencoder, s->row * d);
        const size_t bytes = (size_t)(s->slots * d) * q->real_bytes;
        if (learned)
            q->op->copy(q, real_at(q, run->pool.dout, i * s->slots * d), slots, bytes);
        else
            q->op->mean_rows_backward(q, dturns, slots, run->cut_begin + s->first_turn, s->slots,
                                      d);
        q->op->zero(q, slots, bytes);
    }
    if (learned && run->summary_count)
        t5_pool_backward(run, real_at(q, run->common.hidden, rows_read(run) * d), dturns,
                         gradients);
}
