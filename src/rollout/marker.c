/* See marker.h. */
#include "src/rollout/marker.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

int64_t marker_find(const struct cot_settings *cot, const char *text, const int32_t *begin,
                    const int32_t *end, int64_t count)
{
    const size_t blank = strspn(cot->answer_marker, " \n");
    char *word = memory_text(cot->answer_marker + blank);
    for (size_t n = strlen(word); n && strchr(" \n", word[n - 1]); n--) word[n - 1] = 0;
    const char *found = strstr(text, word);
    free(word);
    if (!found) return -1;
    for (int64_t i = 0; i < count; i++)
        if (begin[i] <= found - text && end[i] > found - text) return i;
    return -1;
}

status marker_is_due(const struct cot_settings *cot, const int32_t *tokens, bool *due)
{
    const int64_t count = cot->reason_tokens;
    char *text;
    size_t size;
    int32_t *begin = memory_allocate(2 * (size_t)count * sizeof *begin), *end = begin + count;
    status s = tokenizer_decode_ranges(cot->tokenizer, tokens, count, &text, &size, begin, end);
    if (!s) {
        *due = marker_find(cot, text, begin, end, count) < 0;
        free(text);
    }
    free(begin);
    return s;
}
