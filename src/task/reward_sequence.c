#include "src/task/reward_sequence.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

void reward_sequence_make(const int32_t *history, int64_t history_count, const int32_t *cuts,
                          int64_t cut_count, const int32_t *reply, int64_t reply_count, int32_t end,
                          struct reward_sequence *out)
{
    const int64_t count = history_count + reply_count + (end >= 0);
    *out = (struct reward_sequence){.count = count, .cut_count = cut_count};
    out->tokens = memory_allocate((size_t)count * sizeof *out->tokens + 4);
    out->cuts = memory_allocate((size_t)(cut_count + 1) * sizeof *out->cuts);
    memcpy(out->tokens, history, (size_t)history_count * sizeof *history);
    if (reply_count)
        memcpy(out->tokens + history_count, reply, (size_t)reply_count * sizeof *reply);
    if (end >= 0) out->tokens[count - 1] = end;
    if (cut_count) memcpy(out->cuts, cuts, (size_t)cut_count * sizeof *cuts);
    /* A cut stands before the last token, which is a pass's own. */
    if (history_count > 0 && history_count < count - 1)
        out->cuts[out->cut_count++] = (int32_t)history_count;
}

void reward_sequence_free(struct reward_sequence *sequence)
{
    free(sequence->tokens);
    free(sequence->cuts);
}
