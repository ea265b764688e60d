/* Packing turns into a teacher-forced batch; see pack.h. */
#include "src/learn/pack.h"

#include "src/base/cut_turns.h"
#include "src/base/memory.h"
#include "src/model/forest.h"

#include <stdlib.h>
#include <string.h>

static bool same_history(const struct learn_turn *a, const struct learn_turn *b)
{
    return !a->apart && a->history_count == b->history_count && a->cut_count == b->cut_count &&
           (!a->cut_count || !memcmp(a->cuts, b->cuts, (size_t)a->cut_count * sizeof *a->cuts)) &&
           !memcmp(a->history, b->history, (size_t)a->history_count * sizeof *a->history);
}

/* The history tokens that a pass computes more for a turn behind the others. */
static int64_t tokens_added(struct forest *forest, bool causal, const struct learn_turn *turn,
                            bool same)
{
    if (same) return 0;
    if (!causal) {
        struct cut_turns cut; /* which the encoder reads too */
        cut_turns_read(turn->cuts, turn->cut_count, &cut);
        return turn->history_count + cut.tokens;
    }
    const int64_t before = forest->rows;
    forest->apart = turn->apart;
    forest_add(forest, turn->history, turn->history_count - 1, turn->cuts, turn->cut_count);
    return forest->rows - before;
}

int64_t pack_chunk(const struct learn_settings *settings, bool causal, int64_t together,
                   const struct learn_turn *turns, int64_t count)
{
    int64_t replies = 0, histories = 0, n = 0;
    struct forest forest = {0};
    while (n < count) {
        for (int64_t i = n; i < n + together; i++) {
            replies += turns[i].reply_count;
            histories += tokens_added(&forest, causal, &turns[i],
                                      i && same_history(&turns[i], &turns[i - 1]));
        }
        if (n && (replies > settings->reply_tokens || histories > settings->history_tokens)) break;
        n += together;
    }
    forest_free(&forest);
    return n;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Up to `bound` tokens in all, or one group alone; no more than all turns have. */
static int64_t tokens_of_pass(int64_t bound, int64_t longest, int64_t turns, int64_t together)
{
    if (together * longest > bound) return together * longest;
    return turns > bound / longest ? bound : turns * longest;
}

struct model_limits pack_limits(const struct learn_settings *settings,
                                const struct learn_limits *limits)
{
    const int64_t together = limits->together ? limits->together : 1;
    const int64_t history = limits->longest_history + limits->cut_tokens;
    struct model_limits pass = {.cuts = limits->cuts,
                                .summary_slots = limits->summary_slots,
                                .longest_history = limits->longest_history,
                                .longest_reply = limits->longest_reply};
    pass.history_tokens =
        tokens_of_pass(settings->history_tokens, history, limits->turns, together);
    pass.reply_tokens =
        tokens_of_pass(settings->reply_tokens, limits->longest_reply, limits->turns, together);
    pass.histories = smaller(limits->turns, pass.history_tokens);
    pass.replies = smaller(limits->turns, pass.reply_tokens);
    return pass;
}

void packed_batch_make(struct packed_batch *packed, const struct learn_turn *turns, int64_t count)
{
    int64_t histories = 0, history_tokens = 0, tokens = 0, cuts = 0;
    for (int64_t i = 0; i < count; i++) {
        history_tokens += turns[i].history_count;
        cuts += turns[i].cut_count;
        tokens += turns[i].reply_count;
    }
    const size_t n = (size_t)count + 1;
    *packed = (struct packed_batch){.tokens = tokens};
    packed->history_begin = memory_allocate(n * sizeof(int32_t));
    packed->history_tokens = memory_allocate((size_t)history_tokens * sizeof(int32_t) + 4);
    packed->reply_begin = memory_allocate(n * sizeof(int32_t));
    packed->reply_tokens = memory_allocate((size_t)tokens * sizeof(int32_t) + 4);
    packed->reply_history = memory_allocate(n * sizeof(int32_t));
    packed->history_of_turn = memory_allocate(n * sizeof(int32_t));
    packed->cut_begin = memory_allocate(n * sizeof(int32_t));
    packed->cuts = memory_allocate((size_t)cuts * sizeof(int32_t) + 4);
    cuts = 0;
    int64_t replies = 0, at = 0, filled = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct learn_turn *turn = &turns[i];
        if (!i || !same_history(turn, &turns[i - 1])) {
            memcpy(packed->history_tokens + at, turn->history,
                   (size_t)turn->history_count * sizeof(int32_t));
            at += turn->history_count;
            packed->history_begin[++histories] = (int32_t)at;
            if (turn->cut_count)
                memcpy(packed->cuts + cuts, turn->cuts, (size_t)turn->cut_count * sizeof(int32_t));
            packed->cut_begin[histories] = (int32_t)(cuts += turn->cut_count);
        }
        packed->history_of_turn[i] = (int32_t)histories - 1;
        if (!turn->reply_count) continue;
        packed->pair_tokens += turn->history_count + turn->reply_count;
        memcpy(packed->reply_tokens + filled, turn->reply,
               (size_t)turn->reply_count * sizeof(int32_t));
        filled += turn->reply_count;
        packed->reply_history[replies++] = (int32_t)histories - 1;
        packed->reply_begin[replies] = (int32_t)filled;
    }
    packed->batch = (struct model_batch){.histories = histories,
                                         .history_begin = packed->history_begin,
                                         .history_tokens = packed->history_tokens,
                                         .cut_begin = packed->cut_begin,
                                         .cuts = packed->cuts,
                                         .apart = count > 0 && turns[0].apart,
                                         .replies = replies,
                                         .reply_begin = packed->reply_begin,
                                         .reply_tokens = packed->reply_tokens,
                                         .reply_history = packed->reply_history};
}

void packed_batch_free(struct packed_batch *packed)
{
    free(packed->history_begin);
    free(packed->history_tokens);
    free(packed->reply_begin);
    free(packed->reply_tokens);
    free(packed->reply_history);
    free(packed->cut_begin);
    free(packed->cuts);
    free(packed->history_of_turn);
    memset(packed, 0, sizeof *packed);
}
