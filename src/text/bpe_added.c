/* See bpe_added.h. */
#include "src/text/bpe_added.h"

#include "src/base/memory.h"
#include "src/text/unicode.h"

#include <stdlib.h>
#include <string.h>

static int by_first_byte(const void *a, const void *b)
{
    const struct bpe_added *x = *(const struct bpe_added *const *)a;
    const struct bpe_added *y = *(const struct bpe_added *const *)b;
    if (x->pattern[0] != y->pattern[0])
        return (unsigned char)x->pattern[0] < (unsigned char)y->pattern[0] ? -1 : 1;
    if (x->pattern_size != y->pattern_size) return x->pattern_size > y->pattern_size ? -1 : 1;
    return memcmp(x->pattern, y->pattern, x->pattern_size);
}

void added_set_make(struct added_set *set, const struct bpe_added *tokens, size_t count,
                    bool normalized)
{
    memset(set, 0, sizeof *set);
    set->list = memory_allocate((count + 1) * sizeof *set->list);
    for (size_t i = 0; i < count; i++)
        if (tokens[i].normalized == normalized && tokens[i].pattern_size > 0)
            set->list[set->count++] = &tokens[i];
    qsort(set->list, set->count, sizeof *set->list, by_first_byte);
    for (size_t i = 0; i < set->count; i++)
        set->first[(unsigned char)set->list[i]->pattern[0] + 1]++;
    for (int byte = 0; byte < 256; byte++) set->first[byte + 1] += set->first[byte];
}

void added_set_free(struct added_set *set)
{
    free(set->list);
}

static const struct bpe_added *token_at(const struct added_set *set, const char *text, size_t size)
{
    const unsigned char byte = (unsigned char)text[0];
    for (uint32_t i = set->first[byte]; i < set->first[byte + 1]; i++)
        if (set->list[i]->pattern_size <= size &&
            !memcmp(set->list[i]->pattern, text, set->list[i]->pattern_size))
            return set->list[i];
    return NULL;
}

static size_t space_before(const char *text, size_t end)
{
    while (end > 0) {
        size_t start = end - 1, length;
        while (start > 0 && ((unsigned char)text[start] & 0xC0) == 0x80) start--;
        if (character_class(character_at(text + start, end - start, &length)) != CLASS_SPACE) break;
        end = start;
    }
    return end;
}

static size_t space_behind(const char *text, size_t size, size_t at)
{
    size_t length;
    while (at < size && character_class(character_at(text + at, size - at, &length)) == CLASS_SPACE)
        at += length;
    return at;
}

static bool find_token(const struct added_set *set, const char *text, size_t size,
                       bool without_special, struct added_scan *scan)
{
    while (scan->at < size) {
        const struct bpe_added *token = token_at(set, text + scan->at, size - scan->at);
        if (!token) {
            scan->at++;
            continue;
        }
        size_t begin = scan->at, end = begin + token->pattern_size;
        scan->at = end;
        if (without_special && token->special) continue;
        if (token->lstrip) begin = space_before(text, begin);
        if (begin < scan->done && token->lstrip) begin = scan->done;
        if (token->rstrip) end = space_behind(text, size, end);
        scan->token = (struct added_part){token, begin, end};
        return true;
    }
    return false;
}

bool added_next(const struct added_set *set, const char *text, size_t size, bool without_special,
                struct added_scan *scan, struct added_part *part)
{
    if (!scan->held && find_token(set, text, size, without_special, scan)) {
        scan->held = true;
        if (scan->done < scan->token.begin) {
            *part = (struct added_part){NULL, scan->done, scan->token.begin};
            return true;
        }
    }
    if (scan->held) {
        scan->held = false;
        *part = scan->token;
        scan->done = scan->token.end;
        return true;
    }
    if (scan->done >= size) return false;
    *part = (struct added_part){NULL, scan->done, size};
    scan->done = size;
    return true;
}
