/* Special tokens by name, and white space as Transformers strips it round them. */
#include "src/base/memory.h"
#include "src/text/tokenizer_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

bool special_is_extra(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= tokenizer->pieces && id < tokenizer->pieces + tokenizer->extra_ids;
}

/* T5 counts its extra ids down from the highest id; Transformers' ByT5Tokenizer counts up. */
static int64_t extra_number(const struct tokenizer *tokenizer, int64_t position)
{
    return tokenizer->kind == TOKENIZER_BYTES ? position : tokenizer->extra_ids - 1 - position;
}

bool special_name(const struct tokenizer *tokenizer, int32_t id, char name[32])
{
    if (tokenizer->kind == TOKENIZER_SPM) return false;
    if (id == tokenizer->pad)
        strcpy(name, "<pad>");
    else if (id == tokenizer->end)
        strcpy(name, "</s>");
    else if (id == tokenizer->unknown)
        strcpy(name, "<unk>");
    else if (special_is_extra(tokenizer, id))
        snprintf(name, 32, "<extra_id_%" PRId64 ">",
                 extra_number(tokenizer, id - tokenizer->pieces));
    else
        return false;
    return true;
}

static bool starts_with(const char *text, size_t size, const char *name, size_t *length)
{
    *length = strlen(name);
    return size >= *length && memcmp(text, name, *length) == 0;
}

int32_t special_at(const struct tokenizer *tokenizer, const char *text, size_t size, size_t *length)
{
    if (size == 0 || *text != '<' || tokenizer->kind == TOKENIZER_SPM) return -1;
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

void text_append(struct text_buffer *buffer, const char *text, size_t size)
{
    if (buffer->size + size + 1 > buffer->capacity) {
        buffer->capacity = 2 * (buffer->size + size) + 64;
        buffer->data = memory_resize(buffer->data, buffer->capacity);
    }
    if (size > 0) memcpy(buffer->data + buffer->size, text, size);
    buffer->size += size;
    buffer->data[buffer->size] = 0;
}
