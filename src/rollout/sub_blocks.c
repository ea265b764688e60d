/* See sub_blocks.h. */
#include "src/rollout/sub_blocks.h"

#include "src/base/memory.h"
#include "src/reward/blocks.h"

#include <stdlib.h>
#include <string.h>

static bool begins_with(const char *text, size_t size, const char *tag)
{
    const size_t length = strlen(tag);
    return size >= length && !memcmp(text, tag, length);
}

/* depth [size + 1]: of each byte, and of the text's end.  Returns whether a tag has no partner. */
static bool depths_fill(const char *text, size_t size, int32_t *depth)
{
    int32_t open = 0;
    bool alone = false;
    for (size_t at = 0; at < size;) {
        size_t length = 1;
        int32_t after = 0;
        if (begins_with(text + at, size - at, "<sub>")) {
            open++;
        } else if (begins_with(text + at, size - at, "</sub>")) {
            alone |= open == 0;
            after = open ? -1 : 0;
            length = strlen("</sub>");
        }
        for (size_t i = 0; i < length; i++) depth[at++] = open;
        open += after;
    }
    depth[size] = open;
    return alone || open > 0;
}

bool sub_blocks_mark(const char *text, const int32_t *begin, const int32_t *end, int64_t tokens,
                     size_t size, uint8_t *marks)
{
    const size_t bytes = tokens ? (size_t)end[tokens - 1] : 0, n = bytes < size ? bytes : size;
    int32_t *depth = memory_allocate((n + 1) * sizeof *depth);
    const bool unbalanced = depths_fill(text, n, depth);
    for (int64_t i = 0; i < tokens; i++) {
        const int32_t own = depth[end[i] > begin[i] ? end[i] - 1 : begin[i]];
        marks[i] =
            (uint8_t)(marks[i] + BLOCK_DEPTH * (own < BLOCK_DEPTH_MAX ? own : BLOCK_DEPTH_MAX));
    }
    free(depth);
    return unbalanced;
}
