/* See bpe_normal.h. */
#include "src/text/bpe_normal.h"

#include "src/base/memory.h"
#include "src/text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void changed_text_free(struct changed_text *changed)
{
    free(changed->text.data);
    free(changed->begin);
    free(changed->end);
}

/* Appends what bytes [begin, end) became. */
static void add(struct changed_text *out, const char *text, size_t size, size_t begin, size_t end)
{
    const size_t first = out->text.size;
    text_append(&out->text, text, size);
    if (out->text.size > out->capacity) {
        out->capacity = 2 * out->text.size + 64;
        out->begin = memory_resize(out->begin, out->capacity * sizeof *out->begin);
        out->end = memory_resize(out->end, out->capacity * sizeof *out->end);
    }
    for (size_t i = first; i < out->text.size; i++) {
        out->begin[i] = (int32_t)begin;
        out->end[i] = (int32_t)end;
    }
}

/* Byte for byte. */
static void add_same(struct changed_text *out, const char *text, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) add(out, text + i, 1, i, i + 1);
}

void changed_text_map(const struct changed_text *changed, struct token_list *tokens, int64_t first)
{
    for (int64_t i = first; i < tokens->count; i++) {
        const int32_t begin = tokens->begin[i], end = tokens->end[i];
        if (begin >= end) { /* only a space before the text stands for nothing */
            tokens->begin[i] = tokens->end[i] =
                begin < (int32_t)changed->text.size ? changed->begin[begin] : 0;
            continue;
        }
        tokens->begin[i] = changed->begin[begin];
        tokens->end[i] = changed->end[end - 1];
    }
}

bool text_to_utf8(const char *text, size_t size, struct changed_text *out)
{
    if (utf8_valid(text, size)) return false;
    for (size_t at = 0, step; at < size; at += step) {
        bool valid;
        step = utf8_step(text + at, size - at, &valid);
        if (valid)
            add_same(out, text, at, at + step);
        else
            add(out, "\xEF\xBF\xBD", 3, at, at + step);
    }
    return true;
}

/* The normalised text, malloc'ed, its bytes in *length. */
static char *normalize(const char *text, size_t size, size_t *length)
{
    utf8proc_uint8_t *made = NULL;
    const utf8proc_ssize_t result =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &made,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (result < 0) memory_exhausted(4 * size); /* valid text is refused for nothing else */
    *length = (size_t)result;
    return (char *)made;
}

/* The tokenizers library normalises by Unicode 9: marks that came later (up to Unicode 15) stay
 * where they are, and no other mark passes them. */
static const struct character_range late_marks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

static bool is_late_mark(int32_t c)
{
    for (size_t i = 0; i < sizeof late_marks / sizeof *late_marks; i++)
        if (c >= late_marks[i].first && c <= late_marks[i].last) return true;
    return false;
}

/* Whether a character never joins one that stands before it: no mark, no vowel or final of Hangul.
 */
static bool stands_alone(int32_t c)
{
    if (c < 0x300 || is_late_mark(c)) return true;
    if (c >= 0x1160 && c <= 0x11FF) return false;
    const utf8proc_category_t category = utf8proc_category(c);
    return category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
           category != UTF8PROC_CATEGORY_ME;
}

/* Below U+0300 all characters have the form by themselves and beside each other. */
static bool surely_nfc(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0xCC) return false;
    return true;
}

bool text_to_nfc(const char *text, size_t size, struct changed_text *out)
{
    size_t length;
    if (surely_nfc(text, size)) return false;
    char *whole = normalize(text, size, &length);
    const bool same = length == size && !memcmp(whole, text, size);
    free(whole);
    if (same) return false;
    for (size_t begin = 0, end; begin < size; begin = end) {
        size_t step;
        bool alone = is_late_mark(character_at(text + begin, size - begin, &step));
        for (end = begin + step; end < size && !alone; end += alone ? 0 : step)
            alone = stands_alone(character_at(text + end, size - end, &step));
        char *part = normalize(text + begin, end - begin, &length);
        if (length == end - begin && !memcmp(part, text + begin, length))
            add_same(out, text, begin, end);
        else
            add(out, part, length, begin, end);
        free(part);
    }
    return true;
}
