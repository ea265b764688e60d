/* Jansson with our errors: strict UTF-8, duplicate names refused, floats that come back.  Integers
 * beyond 64 bits are read as reals. */
#ifndef REGARD_BASE_JSON_H
#define REGARD_BASE_JSON_H

#include "src/base/status.h"

#include <jansson.h>
#include <stdio.h>

/* A part of a file: where ("file:line", "file: header") is put before the message, which tells
 * the byte of the part. */
status json_parse(const char *text, size_t size, const char *where, json_t **out);
/* The same with flags of jansson's beside ours (JSON_ALLOW_NUL: texts may hold U+0000). */
status json_parse_with(const char *text, size_t size, const char *where, size_t flags,
                       json_t **out);
/* A whole file's text: the message tells line and column; flags are jansson's, beside ours. */
status json_parse_file(const char *text, size_t size, const char *path, size_t flags, json_t **out);
status json_read(const char *path, json_t **out);
/* Members with a type check; the error names where and the key. */
status json_get_integer(const json_t *object, const char *where, const char *key, int64_t *out);
status json_get_number(const json_t *object, const char *where, const char *key, double *out);
status json_get_text(const json_t *object, const char *where, const char *key, const char **out);
/* NAN where there is no number of that name. */
double json_number_or_nan(const json_t *object, const char *name);
/* The shortest decimal that reads back as the same float (at most 9 digits), always with a
 * point or exponent; "null" for a non-finite one. */
void json_float_text(char out[32], float value);
void json_double_text(char out[40], double value);
/* Writers that keep floats exact: jansson prints reals with 17 digits, so lines with many
 * floats are written by hand through these. */
void json_write_text(FILE *out, const char *text); /* quoted, escaped */
void json_write_floats(FILE *out, const float *values, int64_t count);
void json_write_integers(FILE *out, const int32_t *values, int64_t count);

#endif
