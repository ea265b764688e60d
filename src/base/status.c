/* Errors as values: a heap string with a code; see status.h. */
#include "src/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_MESSAGE_MAX = 1600 };

struct status_error {
    int code;
    char origin[96];
    char message[STATUS_MESSAGE_MAX];
};

/* What is returned when even the error cannot be allocated. */
static struct status_error status_no_memory = {STATUS_INTERNAL, "status.c",
                                               "out of memory while reporting an error"};

/* Messages quote what they are about: no line break and nothing that a terminal obeys stays. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f) *text = ' ';
}

status status_new(int code, const char *file, int line, const char *format, ...)
{
    status s = malloc(sizeof *s);
    if (!s) return &status_no_memory;
    const char *slash = strrchr(file, '/');
    s->code = code;
    snprintf(s->origin, sizeof s->origin, "%s:%d", slash ? slash + 1 : file, line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->message, sizeof s->message, format, arguments);
    va_end(arguments);
    one_line(s->message);
    return s;
}

status status_context(status s, const char *format, ...)
{
    if (!s || s == &status_no_memory) return s;
    char text[STATUS_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (used < 0 || used >= (int)sizeof text) used = (int)strlen(text);
    const size_t left = sizeof text - (size_t)used;
    if (left > 3) {
        memcpy(text + used, ": ", 2);
        const size_t length = strnlen(s->message, left - 3);
        memcpy(text + used + 2, s->message, length);
        text[(size_t)used + 2 + length] = 0;
    }
    memcpy(s->message, text, sizeof text);
    one_line(s->message);
    return s;
}

const char *status_message(status s)
{
    return s ? s->message : "";
}

const char *status_origin(status s)
{
    return s ? s->origin : "";
}

int status_code(status s)
{
    return s ? s->code : 0;
}

void status_free(status s)
{
    if (s != &status_no_memory) free(s);
}

status status_first(status first, status second)
{
    if (!first) return second;
    status_free(second);
    return first;
}
