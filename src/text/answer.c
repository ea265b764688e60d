/* See answer.h. */
#include "src/text/answer.h"

#include "src/base/memory.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const char marker[] = "#### ";
static const char number_letters[] = "0123456789.,";

static char *copy_of(const char *text, size_t size)
{
    char *copy = memory_allocate(size + 1);
    memcpy(copy, text, size);
    return copy;
}

static char *number_strict(const char *text)
{
    for (const char *at = text; (at = strstr(at, marker)); at++) {
        const char *number = at + sizeof marker - 1;
        const size_t sign = *number == '-', digits = strspn(number + sign, number_letters);
        if (digits) return copy_of(number, sign + digits);
    }
    return NULL;
}

/* The length of the match that begins here; 0: none does. */
static size_t flexible_match(const char *at)
{
    const size_t sign = *at == '-', run = strspn(at + sign, "$0123456789.,");
    if (run >= 2 || (run == 1 && isdigit((unsigned char)at[sign]))) return sign + run;
    return 0;
}

static char *number_flexible(const char *text)
{
    const char *last = NULL;
    size_t size = 0;
    for (const char *at = text; *at;) {
        const size_t found = flexible_match(at);
        if (found) {
            last = at;
            size = found;
        }
        at += found ? found : 1;
    }
    return last ? copy_of(last, size) : NULL;
}

char *answer_number(const char *text, enum answer_extract form)
{
    return form == ANSWER_STRICT ? number_strict(text) : number_flexible(text);
}

/* What the braces of the last \boxed{} hold, which may hold braces; NULL: there is none. */
static char *answer_boxed(const char *text)
{
    static const char boxed[] = "\\boxed{";
    char *found = NULL;
    for (const char *at = text; (at = strstr(at, boxed));) {
        const char *begin = at + sizeof boxed - 1, *end = begin;
        int depth = 1;
        for (; *end; end++) {
            depth += (*end == '{') - (*end == '}');
            if (depth == 0) break;
        }
        if (*end) {
            free(found);
            found = copy_of(begin, (size_t)(end - begin));
        }
        at = begin;
    }
    return found;
}

char *answer_extract(const char *text, enum answer_extract form)
{
    char *boxed = answer_boxed(text);
    char *number = form == ANSWER_FLEXIBLE && boxed ? NULL : answer_number(text, form);
    if (!number) return boxed;
    free(boxed);
    return number;
}

/* Without what the harness leaves out, in its order; lower case in ASCII. */
static char *bare(const char *text)
{
    char *out = memory_allocate(strlen(text) + 1);
    size_t size = 0;
    for (; *text; text++)
        if (*text != ',' && *text != '$') out[size++] = (char)tolower((unsigned char)*text);
    const char *behind = out;
    for (const char *at; (at = strstr(behind, marker));) behind = at + sizeof marker - 1;
    size -= (size_t)(behind - out);
    memmove(out, behind, size);
    if (size && out[size - 1] == '.') size--;
    out[size] = 0;
    return out;
}

/* A decimal number by its parts. */
struct decimal {
    bool negative;
    const char *whole, *fraction; /* without zeros before and behind */
    size_t whole_size, fraction_size;
};

static bool decimal_read(const char *text, struct decimal *out)
{
    static const char digits[] = "0123456789";
    out->negative = *text == '-';
    text += out->negative;
    out->whole_size = strspn(text, digits);
    out->whole = text;
    text += out->whole_size;
    out->fraction = text + (*text == '.');
    out->fraction_size = strspn(out->fraction, digits);
    if (out->fraction[out->fraction_size] || out->whole_size + out->fraction_size == 0)
        return false;
    while (out->whole_size && *out->whole == '0') out->whole++, out->whole_size--;
    while (out->fraction_size && out->fraction[out->fraction_size - 1] == '0') out->fraction_size--;
    out->negative = out->negative && out->whole_size + out->fraction_size;
    return true;
}

static bool decimal_equal(const struct decimal *a, const struct decimal *b)
{
    return a->negative == b->negative && a->whole_size == b->whole_size &&
           a->fraction_size == b->fraction_size && !memcmp(a->whole, b->whole, a->whole_size) &&
           !memcmp(a->fraction, b->fraction, a->fraction_size);
}

bool answer_equal(const char *a, const char *b)
{
    char *x = bare(a), *y = bare(b);
    struct decimal p, q;
    const bool equal =
        !strcmp(x, y) || (decimal_read(x, &p) && decimal_read(y, &q) && decimal_equal(&p, &q));
    free(x);
    free(y);
    return equal;
}

bool answer_is_number(const char *text)
{
    char *x = bare(text);
    struct decimal ignored;
    const bool number = decimal_read(x, &ignored);
    free(x);
    return number;
}

/* The character at `at`, lower-cased; a byte that is no UTF-8 is -1, one byte long. */
static utf8proc_int32_t character(const char *at, size_t size, size_t *length)
{
    utf8proc_int32_t c;
    const utf8proc_ssize_t step =
        utf8proc_iterate((const utf8proc_uint8_t *)at, (utf8proc_ssize_t)size, &c);
    *length = step > 0 ? (size_t)step : 1;
    return step > 0 ? c : -1;
}

static bool is_space(utf8proc_int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0 && utf8proc_category(c) == UTF8PROC_CATEGORY_ZS);
}

/* Lower case, runs of spaces as one, none at the ends. */
static char *folded(const char *text)
{
    const size_t all = strlen(text);
    char *out = memory_allocate(4 * all + 1);
    size_t size = 0, length;
    bool space = false;
    for (size_t at = 0; at < all; at += length) {
        const utf8proc_int32_t c = character(text + at, all - at, &length);
        if (is_space(c)) {
            space = size > 0;
            continue;
        }
        if (space) out[size++] = ' ';
        space = false;
        if (c < 0)
            out[size++] = text[at];
        else
            size +=
                (size_t)utf8proc_encode_char(utf8proc_tolower(c), (utf8proc_uint8_t *)out + size);
    }
    out[size] = 0;
    return out;
}

char *answer_normal(const char *text)
{
    char *out = folded(text);
    size_t size = 0;
    for (const char *at = out; *at; at++) {
        const bool at_comma = *at == ' ' && (at[1] == ',' || (size && out[size - 1] == ','));
        if (!at_comma) out[size++] = *at;
    }
    while (size && strchr(" .!?", out[size - 1])) size--;
    out[size] = 0;
    return out;
}

bool answer_match(const char *a, const char *b)
{
    char *x = answer_normal(a), *y = answer_normal(b);
    const bool equal = !strcmp(x, y);
    free(x);
    free(y);
    return equal;
}

static bool is_word(utf8proc_int32_t c)
{
    if (c < 0) return false;
    const utf8proc_category_t category = utf8proc_category(c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           category == UTF8PROC_CATEGORY_ND;
}

bool answer_contains(const char *text, const char *value)
{
    char *x = folded(text), *y = folded(value);
    const size_t all = strlen(x), size = strlen(y);
    bool found = false, word = false; /* whether a letter or digit stands before */
    for (size_t at = 0, length; size && !found && at + size <= all; at += length) {
        size_t next;
        if (!word && !memcmp(x + at, y, size))
            found = at + size == all || !is_word(character(x + at + size, all - at - size, &next));
        word = is_word(character(x + at, all - at, &length));
    }
    free(x);
    free(y);
    return found;
}
