/* See bpe.h: from text to ids and back. */
#include "src/text/bpe.h"

#include "src/base/memory.h"
#include "src/text/bpe_data.h"
#include "src/text/bpe_normal.h"
#include "src/text/unicode.h"

#include <stdlib.h>
#include <string.h>

void bpe_free(struct bpe *bpe)
{
    if (!bpe) return;
    for (size_t i = 0; i < bpe->added_count; i++) {
        free(bpe->added[i].text);
        free(bpe->added[i].pattern);
    }
    free(bpe->added);
    added_set_free(&bpe->raw);
    added_set_free(&bpe->normalized);
    free(bpe->bytes);
    free(bpe->tokens);
    free(bpe->table);
    merge_table_free(bpe->merges);
    splitter_free(bpe->splitter);
    word_cache_free(bpe->cache);
    free(bpe);
}

/* The id of a word of the vocabulary, -1: none. */
static int32_t bpe_word_id(const struct bpe *bpe, const char *bytes, size_t size)
{
    for (uint64_t at = bytes_hash(bytes, size) >> 32;; at++) {
        const int32_t id = bpe->table[at & bpe->table_mask];
        if (id < 0) return -1;
        const struct bpe_token *token = &bpe->tokens[id];
        if (token->end - token->begin == size && !memcmp(bpe->bytes + token->begin, bytes, size))
            return id;
    }
}

/* Where words are encoded to. */
struct target {
    const struct bpe *bpe;
    struct token_list *out;
    size_t offset; /* of the text that is split, in the text that ranges are of */
};

static int64_t word_symbols(const struct bpe *bpe, const char *word, size_t size,
                            struct symbol *symbols)
{
    if (bpe->ignore_merges) {
        const int32_t id = bpe_word_id(bpe, word, size);
        symbols[0] = (struct symbol){id, 0, (int32_t)size};
        if (id >= 0) return 1;
    }
    int64_t count = 0;
    bool fused = false;
    for (size_t i = 0; i < size; i++) {
        const int32_t known = bpe->byte_ids[(unsigned char)word[i]];
        const int32_t id = known >= 0 ? known : bpe->unknown;
        if (known < 0 && fused)
            symbols[count - 1].end = (int32_t)i + 1;
        else if (id >= 0)
            symbols[count++] = (struct symbol){id, (int32_t)i, (int32_t)i + 1};
        fused = known < 0 && id >= 0 && bpe->fuse_unknown;
    }
    return merge_symbols(bpe->merges, symbols, count);
}

static int32_t place(const struct target *target, int32_t at, bool prefixed, size_t begin)
{
    return (int32_t)(target->offset + begin) + (prefixed && at > 0 ? at - 1 : at);
}

static void add_word(void *context, const char *word, size_t size, bool prefixed, size_t begin)
{
    const struct target *target = context;
    const struct bpe *bpe = target->bpe;
    const bool kept = size <= CACHED_WORD_MAX;
    struct symbol few[CACHED_WORD_MAX], *own = few;
    const struct symbol *symbols;
    int64_t count;
    if (!kept || !word_cache_find(bpe->cache, word, size, &symbols, &count)) {
        if (size > CACHED_WORD_MAX) own = memory_allocate(size * sizeof *own);
        count = word_symbols(bpe, word, size, own);
        if (kept) word_cache_add(bpe->cache, word, size, own, count);
        symbols = own;
    }
    for (int64_t i = 0; i < count; i++)
        token_list_add(target->out, symbols[i].id, place(target, symbols[i].begin, prefixed, begin),
                       place(target, symbols[i].end, prefixed, begin));
    if (own != few) free(own);
}

/* Text behind normalisation: the tokens that are looked for there, and words.  offset: of the text,
 * in what ranges are of. */
static status encode_normalized(const struct bpe *bpe, const char *text, size_t size, size_t offset,
                                bool plain, struct token_list *out)
{
    struct added_scan scan = {0};
    struct added_part part;
    while (added_next(&bpe->normalized, text, size, plain, &scan, &part)) {
        struct target target = {bpe, out, offset + part.begin};
        if (part.token)
            token_list_add(out, part.token->id, (int32_t)target.offset,
                           (int32_t)(offset + part.end));
        else
            TRY(splitter_run(bpe->splitter, text + part.begin, part.end - part.begin, add_word,
                             &target));
    }
    return NULL;
}

static status encode_text(const struct bpe *bpe, const char *text, size_t size, size_t offset,
                          bool plain, struct token_list *out)
{
    struct changed_text normal = {.begin = NULL};
    if (!bpe->nfc || !text_to_nfc(text, size, &normal))
        return encode_normalized(bpe, text, size, offset, plain, out);
    const int64_t first = out->count;
    status s = encode_normalized(bpe, normal.text.data, normal.text.size, 0, plain, out);
    changed_text_map(&normal, out, first);
    for (int64_t i = first; i < out->count; i++) {
        out->begin[i] += (int32_t)offset;
        out->end[i] += (int32_t)offset;
    }
    changed_text_free(&normal);
    return s;
}

static status encode_valid(const struct bpe *bpe, const char *text, size_t size, bool plain,
                           struct token_list *out)
{
    struct added_scan scan = {0};
    struct added_part part;
    while (added_next(&bpe->raw, text, size, plain, &scan, &part)) {
        if (part.token)
            token_list_add(out, part.token->id, (int32_t)part.begin, (int32_t)part.end);
        else
            TRY(encode_text(bpe, text + part.begin, part.end - part.begin, part.begin, plain, out));
    }
    return NULL;
}

status bpe_encode(const struct bpe *bpe, const char *text, size_t size, bool plain,
                  struct token_list *out)
{
    struct changed_text valid = {.begin = NULL};
    if (size > INT32_MAX / 4) FAIL(STATUS_INPUT, "a text of %zu bytes is too long", size);
    if (!text_to_utf8(text, size, &valid)) return encode_valid(bpe, text, size, plain, out);
    const int64_t first = out->count;
    status s = encode_valid(bpe, valid.text.data, valid.text.size, plain, out);
    changed_text_map(&valid, out, first);
    changed_text_free(&valid);
    return s;
}

const char *bpe_bytes(const struct bpe *bpe, int32_t id, size_t *size)
{
    *size = 0;
    if (id < 0 || id >= bpe->size) return "";
    const struct bpe_token *token = &bpe->tokens[id];
    *size = token->end - token->begin;
    return bpe->bytes + token->begin;
}

void bpe_decode(const struct bpe *bpe, const int32_t *ids, int64_t count, bool skip_special,
                struct text_buffer *out)
{
    struct text_buffer bytes = {0};
    text_append(&bytes, "", 0);
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        const char *part = bpe_bytes(bpe, ids[i], &size);
        if (!skip_special || !bpe_is_special(bpe, ids[i])) text_append(&bytes, part, size);
    }
    utf8_append_repaired(out, bytes.data, bytes.size);
    free(bytes.data);
}

int64_t bpe_size(const struct bpe *bpe)
{
    return bpe->size;
}

bool bpe_is_special(const struct bpe *bpe, int32_t id)
{
    return id >= 0 && id < bpe->size && bpe->tokens[id].special;
}

int32_t bpe_id(const struct bpe *bpe, const char *text, size_t size)
{
    for (size_t i = 0; i < bpe->added_count; i++)
        if (bpe->added[i].size == size && !memcmp(bpe->added[i].text, text, size))
            return bpe->added[i].id;
    return bpe_word_id(bpe, text, size);
}
