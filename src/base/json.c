/* Jansson behind our errors, and the decimal text of floats. */
#include "src/base/json.h"

#include "src/base/file.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

status json_parse(const char *text, size_t size, const char *where, json_t **out)
{
    json_error_t error;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!*out) FAIL(STATUS_INPUT, "%s: bad JSON: %s (byte %d)", where, error.text, error.position);
    return NULL;
}

status json_parse_file(const char *text, size_t size, const char *path, size_t flags, json_t **out)
{
    json_error_t error;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES | flags, &error);
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
