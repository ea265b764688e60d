/* Which prefixes a decoder's store of keys and values holds: a tree of nodes on the host, each a
 * run of tokens behind its parent's, with the rows of the store that hold them.  It gives out rows
 * (first fit) and, where none are left, forgets the leaves that were used the longest ago.  What
 * the present batch has found, added or taken is never forgotten; where that leaves the free rows
 * in pieces too short for the rest, prefix_cache_clear and beginning anew make room for every batch
 * that fits alone. */
#ifndef REGARD_MODEL_PREFIX_CACHE_H
#define REGARD_MODEL_PREFIX_CACHE_H

#include <stdbool.h>
#include <stdint.h>

struct prefix_cache;
/* A node's parent where its tokens stand at the beginning; no node. */
enum { PREFIX_ROOT = -1, PREFIX_NONE = -2 };

struct prefix_cache *prefix_cache_create(void);
void prefix_cache_destroy(struct prefix_cache *cache);
/* Forgets all; so many rows from now on. */
void prefix_cache_clear(struct prefix_cache *cache, int64_t rows);
int64_t prefix_cache_rows(const struct prefix_cache *cache);
/* A new batch begins: it needs nothing yet, and the rows taken for the last one are free. */
void prefix_cache_begin(struct prefix_cache *cache);

/* The node of these tokens behind `parent`, which the batch needs; PREFIX_NONE: there is none. */
int64_t prefix_cache_find(struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                          int64_t count);
/* A node that there is none of yet, with rows of its own.  PREFIX_NONE: they do not fit beside what
 * the batch needs. */
int64_t prefix_cache_add(struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                         int64_t count);
/* The first of `count` rows in one piece, for the batch's own use; -1: they do not fit. */
int64_t prefix_cache_take(struct prefix_cache *cache, int64_t count);
/* The first rows of a piece that was taken hold these tokens behind `parent` now: they become a
 * node, unless there is one of the same tokens.  The rest of the piece is free. */
void prefix_cache_retain(struct prefix_cache *cache, int64_t parent, const int32_t *tokens,
                         int64_t count, int64_t first_row);

int64_t prefix_cache_parent(const struct prefix_cache *cache, int64_t node);
/* A node's rows are [first, first + count). */
int64_t prefix_cache_first(const struct prefix_cache *cache, int64_t node);
int64_t prefix_cache_count(const struct prefix_cache *cache, int64_t node);
/* Nodes forgotten to make room since the last clear. */
int64_t prefix_cache_evicted(const struct prefix_cache *cache);

#endif
