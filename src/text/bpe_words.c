/* See bpe_words.h. */
#include "src/text/bpe_words.h"

#include "src/text/unicode.h"

const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char llama3_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char qwen2_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                             " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

enum { NO_CLASS = -1 };

/* The class of the character at the start and its bytes; NO_CLASS at the end of the text. */
static int class_at(const char *text, size_t size, size_t *length)
{
    *length = 0;
    return size > 0 ? (int)character_class(character_at(text, size, length)) : NO_CLASS;
}

/* The end of the run of characters of a class that begins at `at`, at most `most` of them. */
static size_t run_end(const char *text, size_t size, size_t at, enum character_class class,
                      size_t most)
{
    size_t length;
    for (; most > 0 && class_at(text + at, size - at, &length) == (int)class; most--) at += length;
    return at;
}

/* \s+(?!\S)|\s+ at a run of white space [0, end): all of it at the end of the text, else all but
 * its last character, which belongs to what follows, where it is not alone. */
static size_t space_word(const char *text, size_t size, size_t end)
{
    if (end == size) return end;
    size_t last = end - 1;
    while (((unsigned char)text[last] & 0xC0) == 0x80) last--;
    return last > 0 ? last : end;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* 's|'t|'re|'ve|'m|'ll|'d at the start, in any case where any_case (U+017F is an s then); 0: none.
 */
static size_t contraction(const char *text, size_t size, bool any_case)
{
    if (size < 2 || text[0] != '\'') return 0;
    const char first = any_case ? lower(text[1]) : text[1];
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if (size < 3) return 0;
    const char second = any_case ? lower(text[2]) : text[2];
    if (((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l'))
        return 3;
    return any_case && text[1] == '\xC5' && text[2] == '\xBF' ? 3 : 0;
}

size_t gpt2_word(const char *text, size_t size)
{
    size_t length = contraction(text, size, false), next;
    if (length > 0) return length;
    int class = class_at(text, size, &length);
    if (text[0] == ' ') {
        const int behind = class_at(text + 1, size - 1, &next);
        if (behind != NO_CLASS && behind != CLASS_SPACE) class = behind;
    }
    const size_t end = run_end(text, size, length, (enum character_class) class, SIZE_MAX);
    return class == CLASS_SPACE ? space_word(text, size, end) : end;
}

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

/* The pattern of Llama 3 with so many digits together. */
static size_t line_word(const char *text, size_t size, size_t digits)
{
    size_t length = contraction(text, size, true), next;
    if (length > 0) return length;
    const int class = class_at(text, size, &length);
    const int behind = class_at(text + length, size - length, &next);
    if (class == CLASS_LETTER ||
        (class != CLASS_NUMBER && !ends_line(text[0]) && behind == CLASS_LETTER))
        return run_end(text, size, length, CLASS_LETTER, SIZE_MAX);
    if (class == CLASS_NUMBER) return run_end(text, size, length, CLASS_NUMBER, digits - 1);
    if (class == CLASS_OTHER || (text[0] == ' ' && behind == CLASS_OTHER)) {
        size_t end = run_end(text, size, length, CLASS_OTHER, SIZE_MAX);
        while (end < size && ends_line(text[end])) end++;
        return end;
    }
    const size_t end = run_end(text, size, length, CLASS_SPACE, SIZE_MAX);
    for (size_t line = end; line > 0; line--)
        if (ends_line(text[line - 1])) return line;
    return space_word(text, size, end);
}

size_t llama3_word(const char *text, size_t size)
{
    return line_word(text, size, 3);
}

size_t qwen2_word(const char *text, size_t size)
{
    return line_word(text, size, 1);
}
