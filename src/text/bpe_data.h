/* What bpe.c and bpe_read.c share; not for other modules. */
#ifndef REGARD_TEXT_BPE_DATA_H
#define REGARD_TEXT_BPE_DATA_H

#include "src/text/bpe_added.h"
#include "src/text/bpe_cache.h"
#include "src/text/bpe_merge.h"
#include "src/text/bpe_split.h"

struct bpe {
    /* Of each id: its bytes, in `bytes`, and what it is. */
    int64_t size;
    char *bytes;
    struct bpe_token {
        uint32_t begin, end;
        bool known, special;
        bool word; /* in the model's vocabulary, and words can spell it */
    } * tokens;
    /* Ids by their bytes: of the vocabulary's words. */
    int32_t *table; /* -1: free */
    uint64_t table_mask;
    int32_t byte_ids[256]; /* -1: the byte has no token */
    int32_t unknown;       /* the token for such bytes; -1: they vanish */
    bool fuse_unknown;     /* one for several in a row */
    bool ignore_merges;    /* a word of the vocabulary is its token, whatever the merges say */
    struct merge_table *merges;
    struct splitter *splitter;
    bool nfc;
    struct bpe_added *added;
    size_t added_count;
    struct added_set raw, normalized;
    struct word_cache *cache;
};

#endif
