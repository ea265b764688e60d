/* Prefixes and their rows; see prefix_cache.h. */
#include "src/model/prefix_cache.h"

#include "src/base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct node {
    int32_t *tokens; /* NULL: the place is free */
    int64_t count, first, parent;
    int64_t children;
    uint64_t hash;
    int64_t batch; /* the last that needed it */
};

/* Rows [first, first + count). */
struct piece {
    int64_t first, count;
};

struct pieces {
    struct piece *piece;
    int64_t count, capacity;
};

struct prefix_cache {
    int64_t rows, batch, evicted;
    struct node *nodes;
    int64_t node_count, node_capacity;
    struct pieces free;  /* ascending; no two of them touch */
    struct pieces taken; /* by the present batch */
};

struct prefix_cache *prefix_cache_create(void)
{
    return memory_allocate(sizeof(struct prefix_cache));
}

void prefix_cache_destroy(struct prefix_cache *cache)
{
    if (!cache) return;
    prefix_cache_clear(cache, 0);
    free(cache->nodes);
    free(cache->free.piece);
    free(cache->taken.piece);
    free(cache);
}

static void piece_insert(struct pieces *pieces, int64_t at, int64_t first, int64_t count)
{
    if (pieces->count == pieces->capacity) {
        pieces->capacity = 2 * pieces->capacity + 8;
        pieces->piece =
            memory_resize(pieces->piece, (size_t)pieces->capacity * sizeof *pieces->piece);
    }
    memmove(pieces->piece + at + 1, pieces->piece + at,
            (size_t)(pieces->count++ - at) * sizeof *pieces->piece);
    pieces->piece[at] = (struct piece){first, count};
}

static void piece_remove(struct pieces *pieces, int64_t at)
{
    memmove(pieces->piece + at, pieces->piece + at + 1,
            (size_t)(--pieces->count - at) * sizeof *pieces->piece);
}

void prefix_cache_clear(struct prefix_cache *cache, int64_t rows)
{
    for (int64_t n = 0; n < cache->node_count; n++) free(cache->nodes[n].tokens);
    cache->node_count = cache->free.count = cache->taken.count = cache->evicted = 0;
    cache->rows = rows;
    if (rows) piece_insert(&cache->free, 0, 0, rows);
}

int64_t prefix_cache_rows(const struct prefix_cache *cache)
{
    return cache->rows;
}

static void rows_release(struct prefix_cache *cache, int64_t first, int64_t count)
{
    struct pieces *pieces = &cache->free;
    int64_t at = 0;
    if (!count) return;
    while (at < pieces->count && pieces->piece[at].first < first) at++;
    struct piece *before = at > 0 ? &pieces->piece[at - 1] : NULL;
    struct piece *after = at < pieces->count ? &pieces->piece[at] : NULL;
    const bool joins_before = before && before->first + before->count == first;
    const bool joins_after = after && first + count == after->first;
    if (joins_before && joins_after) {
        before->count += count + after->count;
        piece_remove(pieces, at);
    } else if (joins_before) {
        before->count += count;
    } else if (joins_after) {
        after->first = first;
        after->count += count;
    } else {
        piece_insert(pieces, at, first, count);
    }
}

/* From the first free piece that is long enough; -1: none is. */
static int64_t rows_fit(struct prefix_cache *cache, int64_t count)
{
    struct pieces *pieces = &cache->free;
    for (int64_t at = 0; at < pieces->count; at++) {
        struct piece *piece = &pieces->piece[at];
        if (piece->count < count) continue;
        const int64_t first = piece->first;
        piece->first += count;
        piece->count -= count;
        if (!piece->count) piece_remove(pieces, at);
        return first;
    }
    return -1;
}

/* Forgets the leaf that was needed the longest ago; false: the batch needs all that are left. */
static bool leaf_evict(struct prefix_cache *cache)
{
    struct node *oldest = NULL;
    for (int64_t n = 0; n < cache->node_count; n++) {
        struct node *node = &cache->nodes[n];
        if (!node->tokens || node->children || node->batch == cache->batch) continue;
        if (!oldest || node->batch < oldest->batch) oldest = node;
    }
    if (!oldest) return false;
    rows_release(cache, oldest->first, oldest->count);
    if (oldest->parent >= 0) cache->nodes[oldest->parent].children--;
    free(oldest->tokens);
    oldest->tokens = NULL;
    cache->evicted++;
    return true;
}

static int64_t rows_find(struct prefix_cache *cache, int64_t count)
{
    if (count > cache->rows) return -1;
    int64_t first = rows_fit(cache, count);
    while (first < 0 && leaf_evict(cache)) first = rows_fit(cache, count);
    return first;
}

void prefix_cache_begin(struct prefix_cache *cache)
{
    for (int64_t i = 0; i < cache->taken.count; i++)
        rows_release(cache, cache->taken.piece[i].first, cache->taken.piece[i].count);
    cache->taken.count = 0;
    cache->batch++;
}

/* FNV-1a over the ids. */
static uint64_t tokens_hash(const int32_t *tokens, int64_t count)
{
    uint64_t hash = 14695981039346656037U;
    for (int64_t i = 0; i < count; i++) hash = (hash ^ (uint32_t)tokens[i]) * 1099511628211U;
    return hash;
}

static int64_t node_find(const struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                         int64_t count)
{
    const uint64_t hash = tokens_hash(tokens, count);
    for (int64_t n = 0; n < cache->node_count; n++) {
        const struct node *node = &cache->nodes[n];
        if (node->tokens && node->hash == hash && node->parent == parent && node->count == count &&
            !memcmp(node->tokens, tokens, (size_t)count * sizeof *tokens))
            return n;
    }
    return PREFIX_NONE;
}

int64_t prefix_cache_find(struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                          int64_t count)
{
    const int64_t node = node_find(cache, parent, tokens, count);
    if (node != PREFIX_NONE) cache->nodes[node].batch = cache->batch;
    return node;
}

static int64_t node_place(struct prefix_cache *cache)
{
    for (int64_t n = 0; n < cache->node_count; n++)
        if (!cache->nodes[n].tokens) return n;
    if (cache->node_count == cache->node_capacity) {
        cache->node_capacity = 2 * cache->node_capacity + 16;
        cache->nodes =
            memory_resize(cache->nodes, (size_t)cache->node_capacity * sizeof *cache->nodes);
    }
    return cache->node_count++;
}

static int64_t node_make(struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                         int64_t count, int64_t first)
{
    const int64_t at = node_place(cache);
    struct node *node = &cache->nodes[at];
    *node = (struct node){.count = count,
                          .first = first,
                          .parent = parent,
                          .hash = tokens_hash(tokens, count),
                          .batch = cache->batch};
    node->tokens = memory_allocate((size_t)count * sizeof *tokens);
    memcpy(node->tokens, tokens, (size_t)count * sizeof *tokens);
    if (parent >= 0) cache->nodes[parent].children++;
    return at;
}

int64_t prefix_cache_add(struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                         int64_t count)
{
    assert(count > 0);
    const int64_t first = rows_find(cache, count);
    return first < 0 ? PREFIX_NONE : node_make(cache, parent, tokens, count, first);
}

int64_t prefix_cache_take(struct prefix_cache *cache, int64_t count)
{
    assert(count > 0);
    const int64_t first = rows_find(cache, count);
    if (first >= 0) piece_insert(&cache->taken, cache->taken.count, first, count);
    return first;
}

void prefix_cache_retain(struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                         int64_t count, int64_t first_row)
{
    struct pieces *taken = &cache->taken;
    int64_t at = 0;
    while (at < taken->count && taken->piece[at].first != first_row) at++;
    assert(at < taken->count && count > 0 && count <= taken->piece[at].count);
    const struct piece piece = taken->piece[at];
    if (node_find(cache, parent, tokens, count) != PREFIX_NONE) return;
    piece_remove(taken, at);
    node_make(cache, parent, tokens, count, piece.first);
    rows_release(cache, piece.first + count, piece.count - count);
}

int64_t prefix_cache_parent(const struct prefix_cache *cache, int64_t node)
{
    return cache->nodes[node].parent;
}

int64_t prefix_cache_first(const struct prefix_cache *cache, int64_t node)
{
    return cache->nodes[node].first;
}

int64_t prefix_cache_count(const struct prefix_cache *cache, int64_t node)
{
    return cache->nodes[node].count;
}

int64_t prefix_cache_evicted(const struct prefix_cache *cache)
{
    return cache->evicted;
}
