/* See reencode.h. */
#include "src/rollout/reencode.h"

#include "src/base/memory.h"
#include "src/reward/blocks.h"
#include "src/rollout/marker.h"

#include <stdlib.h>
#include <string.h>

status reencode_cut(const struct cot_settings *cot, const int32_t *tokens, int64_t length,
                    int32_t *begin, int32_t *count, bool *answered)
{
    struct marker_place place;
    TRY(marker_place(cot, tokens, length, &place));
    const int64_t answer = place.last < 0 ? -1 : place.last + 1;
    *count = blocks_cut(length, cot->block, answer, NULL, begin);
    *answered = answer >= 0 && answer < length;
    return NULL;
}

/* The question and tokens of a reply to it.  marks: of these tokens; NULL: V is of the question
 * alone. */
static void prompt_extend(const struct prompt *prompt, const int32_t *tokens, const uint8_t *marks,
                          int64_t count, struct prompt *out)
{
    const size_t first = (size_t)prompt->count, n = first + (size_t)count;
    *out = (struct prompt){.count = prompt->count + count,
                           .turns = prompt->turns,
                           .turn = prompt->turn,
                           .visible_count = prompt->visible_count,
                           .salient_count = prompt->salient_count,
                           .tokens = memory_allocate((n + 1) * sizeof *out->tokens),
                           .visible = memory_allocate(n + 1),
                           .salient = memory_allocate(n + 1),
                           .turn_of = memory_allocate(n + 1),
                           .part = memory_allocate(n + 1)};
    memcpy(out->tokens, prompt->tokens, first * sizeof *tokens);
    memcpy(out->visible, prompt->visible, first);
    memcpy(out->salient, prompt->salient, first);
    memcpy(out->turn_of, prompt->turn_of, first);
    memcpy(out->part, prompt->part, first);
    if (count) memcpy(out->tokens + first, tokens, (size_t)count * sizeof *tokens);
    for (int64_t i = 0; i < count; i++) {
        const size_t at = first + (size_t)i;
        out->visible_count += out->visible[at] = marks && marks[i] & BLOCK_VISIBLE;
        out->salient_count += out->salient[at] = marks && marks[i] & BLOCK_SALIENT;
        out->turn_of[at] = first ? prompt->turn_of[first - 1] : 0;
        out->part[at] = PART_ASSISTANT;
    }
}

/* Blocks of replies as replies of their own. */
struct pieces {
    struct reply *list;
    int64_t *kept; /* the first tokens of each that belong to the reply */
    int64_t count;
};

/* Puts the kept tokens of pieces [0, count) together. */
static void pieces_join(const struct generator *g, const struct rollout_settings *settings,
                        const struct prompt *prompt, const struct reply *list, const int64_t *kept,
                        int64_t count, struct reply *out)
{
    const struct statistic_table *table = generator_statistics(g);
    const struct statistic_sizes sizes = generator_sizes(g, settings, prompt->turns);
    int64_t all = 0;
    for (int64_t i = 0; i < count; i++) all += kept[i];
    reply_allocate(out, table, &sizes, settings->self_certainty, all);
    for (int64_t i = 0, at = 0; i < count; at += kept[i++]) {
        const size_t n = (size_t)kept[i];
        if (!n) continue; /* an empty reply has no arrays */
        memcpy(out->tokens + at, list[i].tokens, n * sizeof *out->tokens);
        memcpy(out->logp + at, list[i].logp, n * sizeof *out->logp);
        memcpy(out->token_entropy + at, list[i].token_entropy, n * sizeof *out->token_entropy);
        if (out->self_certainty)
            memcpy(out->self_certainty + at, list[i].self_certainty,
                   n * sizeof *out->self_certainty);
        for (int row = 0; row < table->count; row++) {
            const int64_t width = statistic_width(&table->rows[row], &sizes);
            memcpy((char *)out->statistics.array[row] + 4 * at * width,
                   list[i].statistics.array[row], 4 * n * (size_t)width);
        }
    }
    /* A reply's positions are of its question. */
    for (int row = 0; row < table->count; row++) {
        if (table->rows[row].encoding != ENCODE_INDEX) continue;
        int32_t *position = out->statistics.array[row];
        for (int64_t n = statistics_numbers(&out->statistics, row) - 1; n >= 0; n--)
            if (position[n] >= prompt->count) position[n] = -1;
    }
}

static void pieces_free(struct pieces *pieces)
{
    for (int64_t i = 0; i < pieces->count; i++) reply_free(&pieces->list[i]);
    free(pieces->list);
    free(pieces->kept);
}

static struct pieces pieces_new(int64_t count)
{
    return (struct pieces){.list = memory_allocate(((size_t)count + 1) * sizeof(struct reply)),
                           .kept = memory_allocate(((size_t)count + 1) * sizeof(int64_t)),
                           .count = count};
}

/* The settings of what is generated or scored block by block. */
static struct rollout_settings block_settings(const struct rollout_settings *settings)
{
    struct rollout_settings inner = *settings;
    inner.cot.reencode = false;
    return inner;
}

/* Random numbers of block u are those of turn 1 + u. */
static struct reply_row block_row(const struct reply_row *row, int64_t prompt, int64_t block)
{
    return (struct reply_row){
        (int32_t)prompt, {row->counter[0], row->counter[1] + (uint32_t)block, row->counter[2]}, 0};
}

/* Rows while they are generated; pieces of row r from r * rounds on, one a round. */
struct sampler {
    struct generator *generator;
    const struct rollout_settings *settings;
    enum random_purpose purpose;
    const struct prompt *prompts;
    const struct reply_row *rows;
    int64_t row_count, rounds;
    struct pieces pieces;
    int32_t *tokens; /* [row_count, max_new_tokens] */
    int64_t *length; /* [row_count] */
    bool *answering, *ended;
};

static bool row_done(const struct sampler *w, int64_t r)
{
    return w->ended[r] || w->length[r] == w->settings->max_new_tokens;
}

/* A block has been sampled; behind the marker the answer begins. */
static status block_take(struct sampler *w, int64_t r, int64_t round, struct reply *block)
{
    const int64_t most = w->settings->max_new_tokens, before = w->length[r];
    const int64_t count = block->count < most - before ? block->count : most - before;
    int32_t *tokens = w->tokens + r * most;
    if (count) memcpy(tokens + before, block->tokens, (size_t)count * sizeof *tokens);
    w->length[r] += count;
    w->ended[r] = block->ended && count == block->count;
    w->pieces.list[r * w->rounds + round] = *block;
    *block = (struct reply){0};
    if (!w->answering[r]) {
        struct marker_place place;
        TRY(marker_place(&w->settings->cot, tokens, w->length[r], &place));
        w->answering[r] = place.last >= 0;
        if (place.last >= 0 && place.last + 1 < w->length[r]) {
            w->length[r] = place.last + 1;
            w->ended[r] = false;
        }
    }
    w->pieces.kept[r * w->rounds + round] = w->length[r] - before;
    return NULL;
}

/* The next block of all rows that reason, or of all that answer. */
static status round_run(struct sampler *w, int64_t round, bool answering)
{
    const size_t n = (size_t)w->row_count + 1;
    struct rollout_settings inner = block_settings(w->settings);
    struct prompt *prompts = memory_allocate(n * sizeof *prompts);
    struct reply_row *rows = memory_allocate(n * sizeof *rows);
    struct reply *replies = memory_allocate(n * sizeof *replies);
    int64_t *of = memory_allocate(n * sizeof *of), count = 0, longest = 0;
    const int64_t most = w->settings->max_new_tokens;
    for (int64_t r = 0; r < w->row_count; r++) {
        if (row_done(w, r) || w->answering[r] != answering) continue;
        prompt_extend(&w->prompts[w->rows[r].prompt], w->tokens + r * most, NULL, w->length[r],
                      &prompts[count]);
        rows[count] = block_row(&w->rows[r], count, round);
        if (most - w->length[r] > longest) longest = most - w->length[r];
        of[count++] = r;
    }
    inner.max_new_tokens = answering || longest < inner.cot.block ? longest : inner.cot.block;
    status s =
        count ? generate_replies(w->generator, &inner, w->purpose, prompts, rows, count, replies)
              : NULL;
    for (int64_t i = 0; !s && i < count; i++) s = block_take(w, of[i], round, &replies[i]);
    for (int64_t i = 0; i < count; i++) {
        prompt_free(&prompts[i]);
        reply_free(&replies[i]);
    }
    free(prompts);
    free(rows);
    free(replies);
    free(of);
    return s;
}

status reencode_generate(struct generator *g, const struct rollout_settings *settings,
                         enum random_purpose purpose, const struct prompt *prompts,
                         const struct reply_row *rows, int64_t row_count, struct reply *replies)
{
    const size_t n = (size_t)row_count + 1;
    const int64_t rounds = blocks_most(settings->max_new_tokens, settings->cot.block, false);
    struct sampler w = {.generator = g,
                        .settings = settings,
                        .purpose = purpose,
                        .prompts = prompts,
                        .rows = rows,
                        .row_count = row_count,
                        .rounds = rounds,
                        .pieces = pieces_new(row_count * rounds),
                        .tokens =
                            memory_allocate(n * (size_t)settings->max_new_tokens * sizeof(int32_t)),
                        .length = memory_allocate(n * sizeof(int64_t)),
                        .answering = memory_allocate(n),
                        .ended = memory_allocate(n)};
    status s = NULL;
    memset(replies, 0, (size_t)row_count * sizeof *replies);
    for (int64_t round = 0; !s && round < rounds; round++) {
        /* Whoever comes to the marker in this round answers in the next. */
        s = round_run(&w, round, true);
        if (!s) s = round_run(&w, round, false);
    }
    for (int64_t r = 0; !s && r < row_count; r++) {
        pieces_join(g, settings, &prompts[rows[r].prompt], w.pieces.list + r * rounds,
                    w.pieces.kept + r * rounds, rounds, &replies[r]);
        replies[r].ended = w.ended[r];
    }
    pieces_free(&w.pieces);
    free(w.tokens);
    free(w.length);
    free(w.answering);
    free(w.ended);
    return s;
}

/* Blocks of given replies, side by side. */
struct given_blocks {
    struct prompt *prompts;
    struct reply_row *rows;
    struct given_reply *given;
    struct reply_blocks *alone; /* what a block is by itself: one block */
    int32_t *begin;             /* [blocks] tokens of the reply */
    int64_t *first;             /* [replies + 1] of each reply's blocks */
    int32_t zero;
};

static void block_add(struct given_blocks *b, const struct prompt *prompt,
                      const struct reply_row *row, const struct given_reply *reply, int64_t block,
                      int64_t begin, int64_t end, int64_t at)
{
    uint8_t *marks = reply->blocks ? reply->blocks->marks : NULL;
    prompt_extend(prompt, reply->tokens, marks, begin, &b->prompts[at]);
    b->rows[at] = block_row(row, at, block);
    if (marks)
        b->alone[at] = (struct reply_blocks){.begin = &b->zero, .marks = marks + begin, .count = 1};
    b->given[at] = (struct given_reply){.tokens = reply->tokens + begin,
                                        .count = end - begin,
                                        .ended = reply->ended && end == reply->count,
                                        .blocks = marks ? &b->alone[at] : NULL};
}

static status blocks_begin(const struct cot_settings *cot, const struct given_reply *reply,
                           int32_t *begin, int32_t *count)
{
    bool answered;
    if (!reply->blocks)
        return reencode_cut(cot, reply->tokens, reply->count, begin, count, &answered);
    *count = reply->blocks->count;
    if (*count) memcpy(begin, reply->blocks->begin, (size_t)*count * sizeof *begin);
    return NULL;
}

static status given_cut(struct given_blocks *b, const struct rollout_settings *settings,
                        const struct prompt *prompts, const struct reply_row *rows, int64_t count,
                        const struct given_reply *given)
{
    int64_t most = 1;
    for (int64_t r = 0; r < count; r++)
        most += blocks_most(given[r].count, settings->cot.block, false);
    *b = (struct given_blocks){.prompts = memory_allocate((size_t)most * sizeof *b->prompts),
                               .rows = memory_allocate((size_t)most * sizeof *b->rows),
                               .given = memory_allocate((size_t)most * sizeof *b->given),
                               .alone = memory_allocate((size_t)most * sizeof *b->alone),
                               .begin = memory_allocate((size_t)most * sizeof *b->begin),
                               .first = memory_allocate(((size_t)count + 1) * sizeof *b->first)};
    for (int64_t r = 0; r < count; r++) {
        int32_t blocks = 0;
        const int64_t at = b->first[r];
        TRY(blocks_begin(&settings->cot, &given[r], b->begin + at, &blocks));
        b->first[r + 1] = at + blocks;
        for (int32_t u = 0; u < blocks; u++)
            block_add(b, &prompts[rows[r].prompt], &rows[r], &given[r], u, b->begin[at + u],
                      u + 1 < blocks ? b->begin[at + u + 1] : given[r].count, at + u);
    }
    return NULL;
}

static void given_free(struct given_blocks *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) prompt_free(&b->prompts[i]);
    free(b->prompts);
    free(b->rows);
    free(b->given);
    free(b->alone);
    free(b->begin);
    free(b->first);
}

status reencode_score(struct generator *g, const struct rollout_settings *settings,
                      const struct prompt *prompts, const struct reply_row *rows, int64_t row_count,
                      const struct given_reply *given, struct reply *replies)
{
    const struct rollout_settings inner = block_settings(settings);
    struct given_blocks b;
    memset(replies, 0, (size_t)row_count * sizeof *replies);
    status s = given_cut(&b, settings, prompts, rows, row_count, given);
    int64_t count = 0;
    for (int64_t r = 1; r <= row_count; r++)
        if (b.first[r] > count) count = b.first[r];
    struct pieces pieces = pieces_new(count);
    if (!s) s = score_replies(g, &inner, b.prompts, b.rows, count, b.given, pieces.list);
    for (int64_t i = 0; i < count; i++) pieces.kept[i] = b.given[i].count;
    for (int64_t r = 0; !s && r < row_count; r++) {
        pieces_join(g, settings, &prompts[rows[r].prompt], pieces.list + b.first[r],
                    pieces.kept + b.first[r], b.first[r + 1] - b.first[r], &replies[r]);
        replies[r].ended = given[r].ended;
        if (given[r].blocks) reply_blocks_copy(&replies[r], given[r].blocks);
    }
    pieces_free(&pieces);
    given_free(&b, count);
    return s;
}

/* Example `from` block by block, behind those of `to`; frees it. */
static status example_cut(const struct cot_settings *cot, struct example *from,
                          struct example_list *to)
{
    bool answered;
    int32_t count = 0;
    const int64_t most = blocks_most(from->reply_count, cot->block, false);
    int32_t *begin = memory_allocate((size_t)most * sizeof *begin);
    status s = reencode_cut(cot, from->reply, from->reply_count, begin, &count, &answered);
    for (int32_t u = 0; !s && u < count; u++) {
        const size_t at = (size_t)begin[u], first = (size_t)from->history_count;
        const size_t end = u + 1 < count ? (size_t)begin[u + 1] : (size_t)from->reply_count;
        struct example *block = &to->examples[to->count++];
        *block =
            (struct example){.dialogue = from->dialogue,
                             .line = from->line,
                             .history = memory_allocate((first + at + 1) * sizeof *block->history),
                             .reply = memory_allocate((end - at + 1) * sizeof *block->reply),
                             .history_count = from->history_count + begin[u],
                             .reply_count = (int64_t)(end - at)};
        memcpy(block->history, from->history, first * sizeof *block->history);
        memcpy(block->history + first, from->reply, at * sizeof *block->history);
        memcpy(block->reply, from->reply + at, (end - at) * sizeof *block->reply);
    }
    free(begin);
    return s;
}

status reencode_examples(const struct cot_settings *cot, struct example_list *list)
{
    int64_t most = 1;
    for (int64_t e = 0; e < list->count; e++)
        most += blocks_most(list->examples[e].reply_count, cot->block, false);
    struct example_list cut = *list;
    cut.examples = memory_allocate((size_t)most * sizeof *cut.examples);
    cut.count = 0;
    status s = NULL;
    for (int64_t e = 0; !s && e < list->count; e++) s = example_cut(cot, &list->examples[e], &cut);
    examples_free(list);
    *list = cut;
    return s;
}
