/* What words were encoded to, so that a word that comes again is not merged again.  Bounded: when
 * it is full it begins anew. */
#ifndef REGARD_TEXT_BPE_CACHE_H
#define REGARD_TEXT_BPE_CACHE_H

#include "src/text/bpe_merge.h"

enum { CACHED_WORD_MAX = 64 }; /* bytes of the longest word that is kept */

struct word_cache;
struct word_cache *word_cache_create(void);
void word_cache_free(struct word_cache *cache);
/* Words of at most CACHED_WORD_MAX bytes.  false: not there. */
bool word_cache_find(const struct word_cache *cache, const char *word, size_t size,
                     const struct symbol **symbols, int64_t *count);
void word_cache_add(struct word_cache *cache, const char *word, size_t size,
                    const struct symbol *symbols, int64_t count);

/* The hash of a byte string that the tables of a tokenizer use. */
uint64_t bytes_hash(const char *bytes, size_t size);

#endif
