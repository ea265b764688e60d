/* Where blocks begin and what they are worth; see blocks.h. */
#include "src/reward/blocks.h"

#include "src/base/memory.h"
#include "src/reward/terms.h"

#include <stdlib.h>
#include <string.h>

int64_t blocks_most(int64_t count, int64_t size, bool deep)
{
    return deep ? count + 1 : (count + size - 1) / size + 1;
}

int32_t blocks_cut(int64_t count, int64_t size, int64_t marker, const uint8_t *marks,
                   int32_t *begin)
{
    const int64_t reasoning = marker < 0 ? count : marker;
    int32_t blocks = 0;
    for (int64_t at = 0; at < reasoning; at++)
        if (at == 0 || at == begin[blocks - 1] + size ||
            token_depth(marks, at) != token_depth(marks, at - 1))
            begin[blocks++] = (int32_t)at;
    if (marker >= 0 && marker < count) begin[blocks++] = (int32_t)marker;
    return blocks;
}

status blocks_terms(const struct reward_settings *settings, const struct reward_turn *reply,
                    const uint8_t *marks, const int32_t *begin, int64_t blocks, void *terms,
                    size_t stride)
{
    const size_t history = (size_t)reply->history_count, n = (size_t)reply->reply_count;
    int32_t *tokens = memory_allocate((history + n + 1) * sizeof *tokens);
    if (history) memcpy(tokens, reply->history, history * sizeof *tokens);
    if (n) memcpy(tokens + history, reply->reply, n * sizeof *tokens);
    struct reward_turn block = *reply;
    block.history = tokens;
    status s = NULL;
    for (int64_t u = 0; !s && u < blocks; u++) {
        const int64_t at = begin[u], end = u + 1 < blocks ? begin[u + 1] : reply->reply_count;
        block.key.span = (int32_t)u;
        block.entropy_floored = reply->entropy_floored + at;
        block.salient_mass = reply->salient_mass + at;
        block.reply = reply->reply + at;
        block.reply_count = end - at;
        block.history_count = reply->history_count + at;
        s = reward_terms_compute(settings, &block, (double *)((char *)terms + stride * (size_t)u));
        for (int64_t i = at; i < end; i++) {
            block.visible += (marks[i] & BLOCK_VISIBLE) != 0;
            block.salient += (marks[i] & BLOCK_SALIENT) != 0;
        }
    }
    free(tokens);
    return s;
}
