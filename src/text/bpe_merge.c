/* See bpe_merge.h. */
#include "src/text/bpe_merge.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { NO_RANK = INT32_MAX };
/* Up to so many symbols all ranks are looked at before each merge; beyond, a heap holds them. */
enum { SHORT_WORD = 48 };

struct merge {
    uint64_t pair; /* left << 32 | right; all ones: free */
    int32_t rank, id;
};

struct merge_table {
    struct merge *slots;
    uint64_t mask;
};

static const struct merge no_merge = {UINT64_MAX, NO_RANK, -1};

struct merge_table *merge_table_create(int64_t count)
{
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)count) slots *= 2;
    struct merge_table *table = memory_allocate(sizeof *table);
    table->slots = memory_allocate(slots * sizeof *table->slots);
    table->mask = slots - 1;
    for (uint64_t i = 0; i < slots; i++) table->slots[i] = no_merge;
    return table;
}

void merge_table_free(struct merge_table *table)
{
    if (!table) return;
    free(table->slots);
    free(table);
}

static struct merge *slot_of(const struct merge_table *table, int32_t left, int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t at = (pair * 0x9E3779B97F4A7C15u) >> 20;
    for (;; at++) {
        struct merge *slot = &table->slots[at & table->mask];
        if (slot->pair == pair || slot->pair == UINT64_MAX) return slot;
    }
}

void merge_table_add(struct merge_table *table, int32_t left, int32_t right, int32_t rank,
                     int32_t id)
{
    *slot_of(table, left, right) =
        (struct merge){(uint64_t)(uint32_t)left << 32 | (uint32_t)right, rank, id};
}

static int64_t merge_short(const struct merge_table *table, struct symbol *symbols, int64_t count)
{
    struct merge pairs[SHORT_WORD + 1]; /* pairs[i]: of symbols i and i + 1 */
    for (int64_t i = 0; i + 1 < count; i++)
        pairs[i] = *slot_of(table, symbols[i].id, symbols[i + 1].id);
    for (;;) {
        int64_t best = 0;
        int32_t rank = NO_RANK;
        for (int64_t i = 0; i + 1 < count; i++)
            if (pairs[i].rank < rank) rank = pairs[best = i].rank;
        if (rank == NO_RANK) return count;
        symbols[best].id = pairs[best].id;
        symbols[best].end = symbols[best + 1].end;
        count--;
        memmove(symbols + best + 1, symbols + best + 2,
                (size_t)(count - best - 1) * sizeof *symbols);
        memmove(pairs + best, pairs + best + 1, (size_t)(count - best) * sizeof *pairs);
        if (best > 0) pairs[best - 1] = *slot_of(table, symbols[best - 1].id, symbols[best].id);
        if (best + 1 < count) pairs[best] = *slot_of(table, symbols[best].id, symbols[best + 1].id);
    }
}

/* A pair that may be merged: its left symbol, and what the two were to become when it was noted. */
struct candidate {
    int32_t rank, id;
    int64_t left;
};

struct heap {
    struct candidate *items;
    int64_t count;
};

static bool comes_before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct heap *heap, struct candidate item)
{
    int64_t at = heap->count++;
    for (int64_t up; at > 0 && comes_before(&item, &heap->items[up = (at - 1) / 2]); at = up)
        heap->items[at] = heap->items[up];
    heap->items[at] = item;
}

static struct candidate heap_pop(struct heap *heap)
{
    const struct candidate top = heap->items[0], last = heap->items[--heap->count];
    int64_t at = 0;
    for (;;) {
        int64_t down = 2 * at + 1;
        if (down >= heap->count) break;
        if (down + 1 < heap->count && comes_before(&heap->items[down + 1], &heap->items[down]))
            down++;
        if (!comes_before(&heap->items[down], &last)) break;
        heap->items[at] = heap->items[down];
        at = down;
    }
    heap->items[at] = last;
    return top;
}

static void note_pair(const struct merge_table *table, const struct symbol *symbols, int64_t left,
                      int64_t right, struct heap *heap)
{
    const struct merge *merge = slot_of(table, symbols[left].id, symbols[right].id);
    if (merge->rank != NO_RANK) heap_push(heap, (struct candidate){merge->rank, merge->id, left});
}

/* Symbols are a list; one that was merged into its left neighbour has the id -1. */
static int64_t merge_long(const struct merge_table *table, struct symbol *symbols, int64_t count)
{
    int64_t *next = memory_allocate((size_t)count * sizeof *next);
    int64_t *previous = memory_allocate((size_t)count * sizeof *previous);
    /* Each merge takes one symbol away and notes two pairs at most. */
    struct heap heap = {memory_allocate((size_t)(3 * count) * sizeof *heap.items), 0};
    for (int64_t i = 0; i < count; i++) {
        next[i] = i + 1;
        previous[i] = i - 1;
        if (i + 1 < count) note_pair(table, symbols, i, i + 1, &heap);
    }
    while (heap.count > 0) {
        const struct candidate top = heap_pop(&heap);
        const int64_t left = top.left, right = next[left];
        if (symbols[left].id < 0 || right == count) continue;
        if (slot_of(table, symbols[left].id, symbols[right].id)->id != top.id) continue;
        symbols[left].id = top.id;
        symbols[left].end = symbols[right].end;
        symbols[right].id = -1;
        next[left] = next[right];
        if (next[left] < count) {
            previous[next[left]] = left;
            note_pair(table, symbols, left, next[left], &heap);
        }
        if (previous[left] >= 0) note_pair(table, symbols, previous[left], left, &heap);
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i = next[i]) symbols[kept++] = symbols[i];
    free(next);
    free(previous);
    free(heap.items);
    return kept;
}

int64_t merge_symbols(const struct merge_table *table, struct symbol *symbols, int64_t count)
{
    return count <= SHORT_WORD ? merge_short(table, symbols, count)
                               : merge_long(table, symbols, count);
}
