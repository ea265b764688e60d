/* Special tokens by name, and white space as Transformers strips it round them. */
#include "src/base/memory.h"
#include "src/text/tokenizer_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool is_extra(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= tokenizer->pieces && id < tokenizer->pieces + tokenizer->extra_ids;
}

static const struct added_token *added_of(const struct tokenizer *tokenizer, int32_t id)
{
    for (int64_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == id) return &tokenizer->added[i];
    return NULL;
}

/* Extra ids behind pieces count down from the highest id, those behind bytes count up. */
static int64_t extra_number(const struct tokenizer *tokenizer, int64_t position)
{
    return tokenizer->kind == TOKENIZER_BYTES ? position : tokenizer->extra_ids - 1 - position;
}

const char *special_text(const struct tokenizer *tokenizer, int32_t id, char scratch[32])
{
    if (tokenizer->kind == TOKENIZER_SPM) return NULL;
    const bool named = tokenizer->kind != TOKENIZER_LLAMA; /* there they are added tokens */
    if (named && id == tokenizer->pad) return "<pad>";
    if (named && id == tokenizer->end) return "</s>";
    if (named && id == tokenizer->unknown) return "<unk>";
    if (is_extra(tokenizer, id)) {
        snprintf(scratch, 32, "<extra_id_%" PRId64 ">",
                 extra_number(tokenizer, id - tokenizer->pieces));
        return scratch;
    }
    const struct added_token *added = added_of(tokenizer, id);
    return added ? added->text : NULL;
}

bool special_stands_apart(const struct tokenizer *tokenizer, int32_t id)
{
    const struct added_token *added = added_of(tokenizer, id);
    if (tokenizer->kind != TOKENIZER_LLAMA) return is_extra(tokenizer, id) || added;
    const bool role = id == tokenizer->pad || id == tokenizer->end || id == tokenizer->begin ||
                      id == tokenizer->unknown;
    return added && !role && (!added->special || id >= tokenizer->pieces);
}

bool added_is_special(const struct tokenizer *tokenizer, int32_t id)
{
    const struct added_token *added = added_of(tokenizer, id);
    return added && added->special;
}

bool special_is_skipped(const struct tokenizer *tokenizer, int32_t id)
{
    const struct added_token *added = added_of(tokenizer, id);
    return !added || added->special;
}

/* With pieces white space vanishes round extra ids, with bytes round pad, end and unknown. */
static bool strips_both(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && is_extra(tokenizer, id) == (tokenizer->kind == TOKENIZER_EXTRA);
}

bool special_strips_before(const struct tokenizer *tokenizer, int32_t id)
{
    const struct added_token *added = added_of(tokenizer, id);
    return added ? added->lstrip : strips_both(tokenizer, id);
}

bool special_strips_behind(const struct tokenizer *tokenizer, int32_t id)
{
    const struct added_token *added = added_of(tokenizer, id);
    return added ? added->rstrip : strips_both(tokenizer, id);
}

static bool starts_with(const char *text, size_t size, const char *name, size_t *length)
{
    *length = strlen(name);
    return size >= *length && memcmp(text, name, *length) == 0;
}

static int32_t own_special_at(const struct tokenizer *tokenizer, const char *text, size_t size,
                              size_t *length)
{
    if (size == 0 || *text != '<') return -1;
    if (starts_with(text, size, "<pad>", length)) return tokenizer->pad;
    if (starts_with(text, size, "</s>", length)) return tokenizer->end;
    if (starts_with(text, size, "<unk>", length)) return tokenizer->unknown;
    if (!starts_with(text, size, "<extra_id_", length)) return -1;
    size_t at = *length;
    int64_t number = 0;
    while (at < size && at < *length + 9 && text[at] >= '0' && text[at] <= '9')
        number = number * 10 + (text[at++] - '0');
    const size_t digits = at - *length;
    if (digits == 0 || at >= size || text[at] != '>') return -1;
    if (digits > 1 && text[*length] == '0') return -1; /* "<extra_id_01>" is text */
    if (number >= tokenizer->extra_ids) return -1;
    *length = at + 1;
    return (int32_t)(tokenizer->pieces + extra_number(tokenizer, number));
}

int32_t special_at(const struct tokenizer *tokenizer, const char *text, size_t size, size_t *length)
{
    if (tokenizer->kind == TOKENIZER_SPM) return -1;
    int32_t found = -1;
    if (tokenizer->kind != TOKENIZER_LLAMA) found = own_special_at(tokenizer, text, size, length);
    if (found < 0) *length = 0;
    for (int64_t i = 0; i < tokenizer->added_count; i++) {
        size_t added_length;
        if (!starts_with(text, size, tokenizer->added[i].text, &added_length) ||
            added_length <= *length)
            continue;
        *length = added_length;
        found = tokenizer->added[i].id;
    }
    return found;
}

static bool is_space(utf8proc_int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

size_t space_at_start(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                       (utf8proc_ssize_t)(size - at), &c);
        if (step <= 0 || !is_space(c)) break;
        at += (size_t)step;
    }
    return at;
}

size_t space_at_end(const char *text, size_t size)
{
    size_t end = size;
    while (end > 0) {
        size_t start = end - 1;
        while (start > 0 && end - start < 4 && ((unsigned char)text[start] & 0xC0) == 0x80) start--;
        if (space_at_start(text + start, end - start) != end - start) break;
        end = start;
    }
    return size - end;
}
