#include "src/model/forest.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a over the tokens, begun with the parent. */
static uint64_t segment_hash(int64_t parent, const int32_t *tokens, int64_t count)
{
    uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)parent;
    for (int64_t i = 0; i < count; i++) hash = (hash ^ (uint32_t)tokens[i]) * 0x100000001b3u;
    return hash;
}

static int64_t segment_find(const struct forest *forest, const struct forest_node *wanted)
{
    for (int64_t i = wanted->parent + 1; i < forest->count; i++) {
        const struct forest_node *node = &forest->nodes[i];
        if (node->hash == wanted->hash && node->parent == wanted->parent &&
            node->count == wanted->count &&
            !memcmp(node->tokens, wanted->tokens, (size_t)node->count * sizeof *node->tokens))
            return i;
    }
    return -1;
}

static int64_t segment_add(struct forest *forest, int64_t parent, const int32_t *tokens,
                           int64_t count)
{
    struct forest_node node = {.parent = parent,
                               .tokens = tokens,
                               .count = count,
                               .row = forest->rows,
                               .hash = segment_hash(parent, tokens, count)};
    if (parent >= 0) {
        const struct forest_node *above = &forest->nodes[parent];
        node.position = above->position + above->count;
        node.depth = above->depth + 1;
    }
    const int64_t found = forest->apart ? -1 : segment_find(forest, &node);
    if (found >= 0) return found;
    if (forest->count == forest->capacity) {
        forest->capacity = forest->capacity ? 2 * forest->capacity : 64;
        forest->nodes =
            memory_resize(forest->nodes, (size_t)forest->capacity * sizeof *forest->nodes);
    }
    forest->nodes[forest->count] = node;
    forest->rows += count;
    return forest->count++;
}

int64_t forest_add(struct forest *forest, const int32_t *tokens, int64_t count, const int32_t *cuts,
                   int64_t cut_count)
{
    int64_t node = -1, begin = 0;
    for (int64_t i = 0; i <= cut_count && begin < count; i++) {
        const int64_t end = i < cut_count && cuts[i] < count ? cuts[i] : count;
        if (end <= begin) continue;
        node = segment_add(forest, node, tokens + begin, end - begin);
        begin = end;
    }
    return node;
}

void forest_clear(struct forest *forest)
{
    forest->count = forest->rows = 0;
}

void forest_free(struct forest *forest)
{
    free(forest->nodes);
    *forest = (struct forest){0};
}
