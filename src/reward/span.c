/* Spans to tokens; see span.h. */
#include "src/reward/span.h"

status spans_expand(const struct span *spans, int64_t span_count, int64_t count, float *values)
{
    int64_t at = 0;
    for (int64_t i = 0; i < span_count; i++) {
        if (spans[i].begin != at || spans[i].end < at || spans[i].end > count)
            FAIL(STATUS_INTERNAL, "span %lld of a reply of %lld tokens is [%d, %d), due at %lld",
                 (long long)i, (long long)count, spans[i].begin, spans[i].end, (long long)at);
        for (; at < spans[i].end; at++) values[at] = (float)spans[i].value;
    }
    if (at != count)
        FAIL(STATUS_INTERNAL, "the spans of a reply of %lld tokens end at %lld", (long long)count,
             (long long)at);
    return NULL;
}
