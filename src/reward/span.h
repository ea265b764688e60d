/* Credit within a reply: its reward, and then its advantage, is a list of spans. */
#ifndef REGARD_REWARD_SPAN_H
#define REGARD_REWARD_SPAN_H

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Tokens [begin, end) of a reply and what they are worth. */
struct span {
    int32_t begin, end;
    double value;
};

/* Every token's own value, values [count]: that of the span it lies in.  Spans that do not cover
 * [0, count) one behind another are an internal error. */
status spans_expand(const struct span *spans, int64_t span_count, int64_t count, float *values);

#endif
