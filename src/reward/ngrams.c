/* A set of n-grams: open addressing, linear probing, ids compared on every hit. */
#include "src/reward/ngrams.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct ngram_set {
    int64_t n;
    uint64_t mask; /* slots - 1; slots is a power of two, at least twice the capacity */
    const int32_t *slot[];
};

status ngram_set_create(int64_t n, int64_t capacity, struct ngram_set **out)
{
    *out = NULL;
    if (n < 1) FAIL(STATUS_INTERNAL, "an n-gram needs n >= 1, not %lld", (long long)n);
    uint64_t slots = 2;
    while (slots < 2 * (uint64_t)(capacity < 1 ? 1 : capacity)) slots *= 2;
    struct ngram_set *set = memory_allocate(sizeof *set + slots * sizeof set->slot[0]);
    set->n = n;
    set->mask = slots - 1;
    *out = set;
    return NULL;
}

void ngram_set_free(struct ngram_set *set)
{
    free(set);
}

/* The slot that holds these ids, or the empty one where they belong. */
static uint64_t find(const struct ngram_set *set, const int32_t *ids)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;
    for (int64_t i = 0; i < set->n; i++) {
        hash = (hash ^ (uint32_t)ids[i]) * 0xbf58476d1ce4e5b9u;
        hash ^= hash >> 29;
    }
    uint64_t at = hash & set->mask;
    while (set->slot[at] && memcmp(set->slot[at], ids, (size_t)set->n * sizeof *ids) != 0)
        at = (at + 1) & set->mask;
    return at;
}

bool ngram_set_add(struct ngram_set *set, const int32_t *ids)
{
    uint64_t at = find(set, ids);
    if (set->slot[at]) return false;
    set->slot[at] = ids;
    return true;
}

bool ngram_set_contains(const struct ngram_set *set, const int32_t *ids)
{
    return set->slot[find(set, ids)] != NULL;
}

status ngram_share_in_history(const int32_t *reply, int64_t reply_count, const int32_t *history,
                              int64_t history_count, int64_t n, double *out)
{
    *out = 0;
    int64_t positions = reply_count - n + 1, there = history_count - n + 1;
    if (positions < 1 || there < 1) return NULL;
    struct ngram_set *set;
    TRY(ngram_set_create(n, there, &set));
    for (int64_t i = 0; i < there; i++) ngram_set_add(set, history + i);
    int64_t found = 0;
    for (int64_t i = 0; i < positions; i++) found += ngram_set_contains(set, reply + i);
    ngram_set_free(set);
    *out = (double)found / (double)positions;
    return NULL;
}

status ngram_share_repeated(const int32_t *reply, int64_t count, int64_t n, double *out)
{
    *out = 0;
    int64_t positions = count - n + 1;
    if (positions < 1) return NULL;
    struct ngram_set *set;
    TRY(ngram_set_create(n, positions, &set));
    int64_t distinct = 0;
    for (int64_t i = 0; i < positions; i++) distinct += ngram_set_add(set, reply + i);
    ngram_set_free(set);
    *out = (double)(positions - distinct) / (double)positions;
    return NULL;
}
