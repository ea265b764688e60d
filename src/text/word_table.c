/* Open addressing with linear probing; FNV-1a. */
#include "src/text/word_table.h"

#include "src/base/memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_word(const char *word)
{
    uint64_t hash = 14695981039346656037u;
    for (; *word; word++) hash = (hash ^ (unsigned char)*word) * 1099511628211u;
    return hash ^ hash >> 29;
}

/* Where the word is or would go. */
static struct word_entry *place(const struct word_table *table, const char *word)
{
    const uint64_t mask = (uint64_t)table->capacity - 1;
    uint64_t at = hash_word(word) & mask;
    while (table->entries[at].word && strcmp(table->entries[at].word, word) != 0)
        at = (at + 1) & mask;
    return &table->entries[at];
}

struct word_entry *word_table_find(const struct word_table *table, const char *word)
{
    if (table->count == 0) return NULL;
    struct word_entry *entry = place(table, word);
    return entry->word ? entry : NULL;
}

static void grow(struct word_table *table)
{
    struct word_table larger = {.capacity = table->capacity ? 2 * table->capacity : 1024};
    larger.entries = memory_allocate((size_t)larger.capacity * sizeof *larger.entries);
    for (int64_t i = 0; i < table->capacity; i++)
        if (table->entries[i].word) *place(&larger, table->entries[i].word) = table->entries[i];
    larger.count = table->count;
    free(table->entries);
    *table = larger;
}

struct word_entry *word_table_add(struct word_table *table, const char *word)
{
    if (2 * (table->count + 1) > table->capacity) grow(table);
    struct word_entry *entry = place(table, word);
    if (!entry->word) {
        entry->word = memory_text(word);
        table->count++;
    }
    return entry;
}

void word_table_free(struct word_table *table)
{
    for (int64_t i = 0; i < table->capacity; i++) free(table->entries[i].word);
    free(table->entries);
    memset(table, 0, sizeof *table);
}
