/* See unicode.h.  The tables are what tokenizers 0.22.2 takes for \p{L}, \p{N} and digits beyond
 * Unicode 14 (tools/reference/bpe_fixture.py checks them). */
#include "src/text/unicode.h"

#include <utf8proc.h>

const struct character_range unicode_new_letters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
    {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x1123F, 0x11240},
    {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5},
    {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
    {0x11F02, 0x11F02}, {0x11F04, 0x11F10}, {0x11F12, 0x11F33}, {0x1342F, 0x1342F},
    {0x13441, 0x13446}, {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C},
    {0x18CFF, 0x18CFF}, {0x1B132, 0x1B132}, {0x1B155, 0x1B155}, {0x1DF25, 0x1DF2A},
    {0x1E030, 0x1E06D}, {0x1E4D0, 0x1E4EB}, {0x1E5D0, 0x1E5ED}, {0x1E5F0, 0x1E5F0},
    {0x2B739, 0x2B739}, {0x2EBF0, 0x2EE5D}, {0x31350, 0x323AF}};
const struct character_range unicode_new_numbers[] = {
    {0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x11F50, 0x11F59},
    {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9}, {0x1D2C0, 0x1D2D3},
    {0x1E4F0, 0x1E4F9}, {0x1E5F1, 0x1E5FA}};

const size_t unicode_new_letter_count = sizeof unicode_new_letters / sizeof *unicode_new_letters;
const size_t unicode_new_number_count = sizeof unicode_new_numbers / sizeof *unicode_new_numbers;

/* Unicode 17's numbers. */
static const struct character_range newest_numbers[] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};

static bool within(const struct character_range *ranges, size_t count, int32_t c)
{
    for (size_t i = 0; i < count && ranges[i].first <= c; i++)
        if (c <= ranges[i].last) return true;
    return false;
}

static bool is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

enum character_class character_class(int32_t c)
{
    if (c < 0x80) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return CLASS_LETTER;
        if (c >= '0' && c <= '9') return CLASS_NUMBER;
        return is_space(c) ? CLASS_SPACE : CLASS_OTHER;
    }
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CLASS_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CLASS_NUMBER;
    case UTF8PROC_CATEGORY_CN:
        if (within(unicode_new_letters, unicode_new_letter_count, c)) return CLASS_LETTER;
        if (within(unicode_new_numbers, unicode_new_number_count, c)) return CLASS_NUMBER;
        return CLASS_OTHER;
    default:
        return is_space(c) ? CLASS_SPACE : CLASS_OTHER;
    }
}

bool character_is_numeric(int32_t c)
{
    return character_class(c) == CLASS_NUMBER ||
           within(newest_numbers, sizeof newest_numbers / sizeof *newest_numbers, c);
}

size_t utf8_step(const char *text, size_t size, bool *valid)
{
    const unsigned char *t = (const unsigned char *)text;
    const unsigned char lead = t[0];
    *valid = lead < 0x80;
    if (*valid) return 1;
    const size_t wanted = lead >= 0xC2 && lead < 0xE0   ? 2
                          : lead >= 0xE0 && lead < 0xF0 ? 3
                          : lead >= 0xF0 && lead < 0xF5 ? 4
                                                        : 1;
    /* What the second byte may be keeps out long forms, surrogates and what lies past U+10FFFF. */
    const unsigned char least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned char most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    size_t length = 1;
    while (length < wanted && length < size && t[length] >= (length == 1 ? least : 0x80) &&
           t[length] <= (length == 1 ? most : 0xBF))
        length++;
    *valid = wanted > 1 && length == wanted;
    return length;
}

bool utf8_valid(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        bool valid;
        at += utf8_step(text + at, size - at, &valid);
        if (!valid) return false;
    }
    return true;
}

void utf8_append_repaired(struct text_buffer *out, const char *text, size_t size)
{
    size_t good = 0;
    for (size_t at = 0; at < size;) {
        bool valid;
        const size_t step = utf8_step(text + at, size - at, &valid);
        if (!valid) {
            text_append(out, text + good, at - good);
            text_append(out, "\xEF\xBF\xBD", 3);
            good = at + step;
        }
        at += step;
    }
    text_append(out, text + good, size - good);
}
