/* UTF-8, and the classes of characters that patterns of tokenizers tell apart: \p{L} and \p{N} of
 * Unicode 16 and \s, as the tokenizers library has them, whatever utf8proc's version. */
#ifndef REGARD_TEXT_UNICODE_H
#define REGARD_TEXT_UNICODE_H

#include "src/text/token_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum character_class {
    CLASS_OTHER,
    CLASS_LETTER,
    CLASS_NUMBER,
    CLASS_SPACE /* U+0085, U+00A0, U+2028, U+3000, ...; not U+001C to U+001F, U+180E, U+200B */
};

enum character_class character_class(int32_t character);
/* Rust's char::is_numeric, of Unicode 17: \p{N} and 13 more. */
bool character_is_numeric(int32_t character);

/* Ranges [first, last] of the letters or numbers that Unicode 15 and 16 brought. */
struct character_range {
    int32_t first, last;
};
extern const struct character_range unicode_new_letters[], unicode_new_numbers[];
extern const size_t unicode_new_letter_count, unicode_new_number_count;

/* The character at the start of valid UTF-8, its bytes in *length; size > 0. */
static inline int32_t character_at(const char *text, size_t size, size_t *length)
{
    const unsigned char *t = (const unsigned char *)text;
    if (t[0] < 0x80 || size < 2) return *length = 1, t[0];
    if (t[0] < 0xE0 || size < 3) return *length = 2, (t[0] & 0x1F) << 6 | (t[1] & 0x3F);
    if (t[0] < 0xF0 || size < 4)
        return *length = 3, (t[0] & 0x0F) << 12 | (t[1] & 0x3F) << 6 | (t[2] & 0x3F);
    *length = 4;
    return (t[0] & 0x07) << 18 | (t[1] & 0x3F) << 12 | (t[2] & 0x3F) << 6 | (t[3] & 0x3F);
}

/* Bytes of the character at the start, or with *valid false of the longest broken part of one;
 * size > 0. */
size_t utf8_step(const char *text, size_t size, bool *valid);
bool utf8_valid(const char *text, size_t size);
/* Appends text with each broken part as one U+FFFD. */
void utf8_append_repaired(struct text_buffer *out, const char *text, size_t size);

#endif
