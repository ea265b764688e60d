/* See bpe_cache.h. */
#include "src/text/bpe_cache.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 1 << 16,
    WORDS_MAX = SLOTS / 2,
    BYTES_MAX = WORDS_MAX * 16, /* words are short */
    SYMBOLS_MAX = WORDS_MAX * 6
};

struct entry {
    uint32_t word, symbols; /* offsets into bytes and symbols */
    uint16_t size, count;   /* size 0: free */
    uint32_t check;         /* the hash's low half */
};

struct word_cache {
    struct entry entries[SLOTS];
    int64_t words, bytes_used, symbols_used;
    char bytes[BYTES_MAX];
    struct symbol symbols[SYMBOLS_MAX];
};

uint64_t bytes_hash(const char *bytes, size_t size)
{
    uint64_t hash = size * 0x9E3779B97F4A7C15u;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t eight;
        memcpy(&eight, bytes, 8);
        hash = (hash ^ eight) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < size; i++) rest |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    hash = (hash ^ rest) * 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
    return hash * 0xD6E8FEB86659FD93u;
}

struct word_cache *word_cache_create(void)
{
    return memory_allocate(sizeof(struct word_cache));
}

void word_cache_free(struct word_cache *cache)
{
    free(cache);
}

/* The word's entry, or the free one where it would stand. */
static const struct entry *entry_of(const struct word_cache *cache, const char *word, size_t size,
                                    uint64_t hash)
{
    for (uint64_t at = hash >> 40;; at++) {
        const struct entry *entry = &cache->entries[at % SLOTS];
        if (entry->size == 0) return entry;
        if (entry->check == (uint32_t)hash && entry->size == size &&
            memcmp(cache->bytes + entry->word, word, size) == 0)
            return entry;
    }
}

bool word_cache_find(const struct word_cache *cache, const char *word, size_t size,
                     const struct symbol **symbols, int64_t *count)
{
    const struct entry *entry = entry_of(cache, word, size, bytes_hash(word, size));
    *symbols = cache->symbols + entry->symbols;
    *count = entry->count;
    return entry->size > 0;
}

void word_cache_add(struct word_cache *cache, const char *word, size_t size,
                    const struct symbol *symbols, int64_t count)
{
    if (cache->words == WORDS_MAX || cache->bytes_used + (int64_t)size > BYTES_MAX ||
        cache->symbols_used + count > SYMBOLS_MAX) {
        memset(cache->entries, 0, sizeof cache->entries);
        cache->words = cache->bytes_used = cache->symbols_used = 0;
    }
    const uint64_t hash = bytes_hash(word, size);
    const int64_t slot = entry_of(cache, word, size, hash) - cache->entries;
    cache->entries[slot] =
        (struct entry){(uint32_t)cache->bytes_used, (uint32_t)cache->symbols_used, (uint16_t)size,
                       (uint16_t)count, (uint32_t)hash};
    memcpy(cache->bytes + cache->bytes_used, word, size);
    if (count > 0)
        memcpy(cache->symbols + cache->symbols_used, symbols, (size_t)count * sizeof *symbols);
    cache->words++;
    cache->bytes_used += (int64_t)size;
    cache->symbols_used += count;
}
