/* See marker.h. */
#include "src/rollout/marker.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct marker_place marker_find(const struct cot_settings *cot, const char *text,
                                const int32_t *begin, const int32_t *end, int64_t count)
{
    struct marker_place place = {-1, -1};
    const size_t blank = strspn(cot->answer_marker, " \n");
    char *word = memory_text(cot->answer_marker + blank);
    size_t size = strlen(word);
    for (; size && strchr(" \n", word[size - 1]); size--) word[size - 1] = 0;
    const char *found = strstr(text, word);
    free(word);
    if (!found) return place;
    const int64_t first = found - text, last = first + (int64_t)size - 1;
    for (int64_t i = count - 1; i >= 0; i--) {
        if (begin[i] <= first && end[i] > first) place.first = i;
        if (begin[i] <= last && end[i] > last && place.last < 0) place.last = i;
    }
    return place;
}

status marker_place(const struct cot_settings *cot, const int32_t *tokens, int64_t count,
                    struct marker_place *place)
{
    char *text;
    size_t size;
    int32_t *begin = memory_allocate((2 * (size_t)count + 1) * sizeof *begin), *end = begin + count;
    status s = tokenizer_decode_ranges(cot->tokenizer, tokens, count, &text, &size, begin, end);
    if (!s) {
        *place = marker_find(cot, text, begin, end, count);
        free(text);
    }
    free(begin);
    return s;
}

status marker_is_due(const struct cot_settings *cot, const int32_t *tokens, bool *due)
{
    struct marker_place place;
    TRY(marker_place(cot, tokens, cot->reason_tokens, &place));
    *due = place.first < 0;
    return NULL;
}
