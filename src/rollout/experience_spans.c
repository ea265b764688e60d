/* Spans of a turn; see experience_spans.h. */
#include "src/rollout/experience_spans.h"

#include "src/base/memory.h"

#include <string.h>

int64_t experience_spans(const struct experience_turn *turn)
{
    return turn->span_count ? turn->span_count : 1;
}

struct experience_span experience_span(const struct experience_turn *turn, int64_t i)
{
    if (turn->span_count) return turn->spans[i];
    struct experience_span whole = {.end = turn->reply_length};
    memcpy(whole.terms, turn->terms, sizeof whole.terms);
    return whole;
}

void experience_turn_cut(struct experience_turn *turn, const int32_t *begin, int32_t count)
{
    turn->span_count = count;
    turn->spans = memory_allocate((size_t)count * sizeof *turn->spans);
    for (int32_t i = 0; i < count; i++) {
        turn->spans[i].begin = begin[i];
        turn->spans[i].end = i + 1 < count ? begin[i + 1] : turn->reply_length;
    }
    memcpy(turn->spans[count - 1].terms, turn->terms, sizeof turn->terms);
}
