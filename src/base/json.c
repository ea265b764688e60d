/* Jansson behind our errors, and the decimal text of floats. */
#include "src/base/json.h"

#include "src/base/file.h"
#include "src/base/memory.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A copy of the text where integers beyond 64 bits, which jansson refuses, are reals ("...0.0");
 * NULL where there are none.  Integers that fit stay integers. */
static char *with_big_integers_as_reals(const char *text, size_t size, size_t *out_size)
{
    char *out = memory_allocate(2 * size + 1);
    bool inside = false, changed = false; /* inside: a string */
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        const bool number = !inside && (text[i] == '-' || (text[i] >= '0' && text[i] <= '9'));
        if (!number) {
            if (inside && text[i] == '\\' && i + 1 < size)
                out[used++] = text[i++];
            else if (text[i] == '"')
                inside = !inside;
            out[used++] = text[i++];
            continue;
        }
        const size_t begin = i;
        bool whole = true;
        for (; i < size && text[i] && strchr("+-.eE0123456789", text[i]); i++) {
            whole = whole && !strchr(".eE", text[i]);
            out[used++] = text[i];
        }
        char digits[64];
        snprintf(digits, sizeof digits, "%.*s", (int)(i - begin < 63 ? i - begin : 63),
                 text + begin);
        errno = 0;
        strtoll(digits, NULL, 10);
        if (whole && errno == ERANGE) {
            memcpy(out + used, ".0", 2);
            used += 2;
            changed = true;
        }
    }
    *out_size = used;
    if (changed) return out;
    free(out);
    return NULL;
}

static json_t *load(const char *text, size_t size, size_t flags, json_error_t *error)
{
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | flags, error);
    if (value || json_error_code(error) != json_error_numeric_overflow) return value;
    size_t new_size;
    char *reals = with_big_integers_as_reals(text, size, &new_size);
    if (!reals) return NULL;
    value = json_loadb(reals, new_size, JSON_REJECT_DUPLICATES | flags, error);
    free(reals);
    return value;
}

status json_parse_with(const char *text, size_t size, const char *where, size_t flags, json_t **out)
{
    json_error_t error;
    *out = load(text, size, flags, &error);
    if (!*out && text_bom(text, size))
        FAIL(STATUS_INPUT,
             "%s: bad JSON: a byte order mark (bytes 0 to 2), which only a file's start "
             "may have; remove it",
             where);
    if (!*out) FAIL(STATUS_INPUT, "%s: bad JSON: %s (byte %d)", where, error.text, error.position);
    return NULL;
}

status json_parse(const char *text, size_t size, const char *where, json_t **out)
{
    return json_parse_with(text, size, where, 0, out);
}

status json_parse_file(const char *text, size_t size, const char *path, size_t flags, json_t **out)
{
    json_error_t error;
    const size_t mark = text_bom(text, size);
    *out = load(text + mark, size - mark, flags, &error);
    if (!*out)
        FAIL(STATUS_INPUT, "%s:%d: bad JSON: %s (column %d)", path, error.line, error.text,
             error.column);
    return NULL;
}

status json_read(const char *path, json_t **out)
{
    char *text;
    size_t size;
    *out = NULL;
    TRY(file_read(path, &text, &size));
    status s = json_parse_file(text, size, path, 0, out);
    free(text);
    return s;
}

static status json_member(const json_t *object, const char *where, const char *key,
                          const json_t **member)
{
    if (!json_is_object(object)) FAIL(STATUS_INPUT, "%s: expected a JSON object", where);
    *member = json_object_get(object, key);
    if (!*member) FAIL(STATUS_INPUT, "%s: \"%s\" is missing", where, key);
    return NULL;
}

status json_get_integer(const json_t *object, const char *where, const char *key, int64_t *out)
{
    const json_t *member;
    TRY(json_member(object, where, key, &member));
    if (!json_is_integer(member)) FAIL(STATUS_INPUT, "%s: \"%s\" must be an integer", where, key);
    *out = json_integer_value(member);
    return NULL;
}

status json_get_number(const json_t *object, const char *where, const char *key, double *out)
{
    const json_t *member;
    TRY(json_member(object, where, key, &member));
    if (!json_is_number(member)) FAIL(STATUS_INPUT, "%s: \"%s\" must be a number", where, key);
    *out = json_number_value(member);
    return NULL;
}

status json_get_text(const json_t *object, const char *where, const char *key, const char **out)
{
    const json_t *member;
    TRY(json_member(object, where, key, &member));
    if (!json_is_string(member)) FAIL(STATUS_INPUT, "%s: \"%s\" must be a string", where, key);
    *out = json_string_value(member);
    return NULL;
}

double json_number_or_nan(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

void json_float_text(char out[32], float value)
{
    if (!isfinite(value)) {
        strcpy(out, "null");
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)value);
        if (strtof(out, NULL) == value) break;
    }
    if (!strpbrk(out, ".e")) strcat(out, ".0");
}

void json_double_text(char out[40], double value)
{
    if (!isfinite(value)) {
        strcpy(out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 40, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    if (!strpbrk(out, ".e")) strcat(out, ".0");
}

void json_write_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c == '\n')
            fputs("\\n", out);
        else if (*c == '\t')
            fputs("\\t", out);
        else if (*c == '\r')
            fputs("\\r", out);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

void json_write_floats(FILE *out, const float *values, int64_t count)
{
    char text[32];
    fputc('[', out);
    for (int64_t i = 0; i < count; i++) {
        json_float_text(text, values[i]);
        fprintf(out, "%s%s", i ? "," : "", text);
    }
    fputc(']', out);
}

void json_write_integers(FILE *out, const int32_t *values, int64_t count)
{
    fputc('[', out);
    for (int64_t i = 0; i < count; i++) fprintf(out, "%s%d", i ? "," : "", values[i]);
    fputc(']', out);
}
