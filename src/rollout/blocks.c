/* Blocks of a reply and their terms; see blocks.h. */
#include "src/rollout/blocks.h"

#include "src/base/memory.h"
#include "src/reward/blocks.h"
#include "src/rollout/marker.h"
#include "src/rollout/sub_blocks.h"

#include <stdlib.h>
#include <string.h>

/* What later blocks may attend to, and what of it is salient. */
static void marks_make(const struct rollout_settings *settings, const struct history_options *words,
                       const char *text, size_t size, const int32_t *begin, const int32_t *end,
                       struct reply *reply)
{
    uint8_t *salient = memory_allocate((size_t)reply->count + 1);
    salience_mark(&words->salience, text, size, begin, end, reply->count, salient);
    for (int64_t i = 0; i < reply->count; i++) {
        const bool special = tokenizer_is_special(words->tokenizer, reply->tokens[i]);
        const bool visible = !(special && settings->exclude_special);
        reply->blocks.marks[i] =
            (uint8_t)((visible ? BLOCK_VISIBLE : 0) |
                      (visible && !special && salient[i] && settings->history_coverage
                           ? BLOCK_SALIENT
                           : 0));
    }
    free(salient);
}

/* The tokens that no model chose: the marker where it was put (cot.reason_tokens). */
static status forced_mark(const struct cot_settings *cot, struct reply *reply)
{
    const int64_t first = cot->reason_tokens, end = first + cot->marker_count;
    bool due = false;
    if (!cot->marker_count || reply->count <= first) return NULL;
    TRY(marker_is_due(cot, reply->tokens, &due));
    for (int64_t i = first; due && i < end && i < reply->count; i++)
        reply->blocks.marks[i] |= BLOCK_FORCED;
    return NULL;
}

status blocks_find(const struct rollout_settings *settings, const struct history_options *words,
                   struct reply *reply)
{
    const size_t n = (size_t)reply->count + 1;
    const int64_t most = blocks_most(reply->count, settings->cot.block, settings->cot.deep);
    if (!words->tokenizer)
        FAIL(STATUS_INPUT, "task: reasoning needs a tokenizer; the model folder has none");
    char *text;
    size_t size;
    int32_t *begin = memory_allocate(2 * n * sizeof *begin), *end = begin + n;
    status s = tokenizer_decode_ranges(words->tokenizer, reply->tokens, reply->count, &text, &size,
                                       begin, end);
    if (!s) {
        const struct marker_place place =
            marker_find(&settings->cot, text, begin, end, reply->count);
        const int64_t answer =
            settings->cot.reencode && place.last >= 0 ? place.last + 1 : place.first;
        reply->blocks.begin = memory_allocate((size_t)most * sizeof *reply->blocks.begin);
        reply->blocks.marks = memory_allocate(n);
        reply->blocks.answered = answer >= 0 && answer < reply->count;
        marks_make(settings, words, text, size, begin, end, reply);
        if (settings->cot.deep)
            reply->blocks.unbalanced = sub_blocks_mark(
                text, begin, end, answer < 0 ? reply->count : answer, size, reply->blocks.marks);
        reply->blocks.count = blocks_cut(reply->count, settings->cot.block, answer,
                                         reply->blocks.marks, reply->blocks.begin);
        free(text);
        s = forced_mark(&settings->cot, reply);
    }
    free(begin);
    return s;
}

status blocks_read(struct generator *generator, const struct rollout_settings *settings,
                   const struct history_options *words, const struct prompt *prompts,
                   const struct reply_row *rows, int64_t count, struct reply *replies)
{
    struct given_reply *given = memory_allocate(((size_t)count + 1) * sizeof *given);
    struct reply *scored = memory_allocate(((size_t)count + 1) * sizeof *scored);
    status s = NULL;
    for (int64_t r = 0; !s && r < count; r++) {
        s = blocks_find(settings, words, &replies[r]);
        given[r] = (struct given_reply){replies[r].tokens, replies[r].count, replies[r].ended,
                                        &replies[r].blocks};
    }
    if (!s) s = score_replies(generator, settings, prompts, rows, count, given, scored);
    for (int64_t r = 0; r < count; r++) {
        const struct statistics own = replies[r].statistics;
        if (!s) {
            replies[r].statistics = scored[r].statistics;
            scored[r].statistics = own;
        }
        reply_free(&scored[r]);
    }
    free(scored);
    free(given);
    return s;
}
