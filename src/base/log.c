/* One line a message on stderr, written by one call so that ranks do not mix.  The level and
 * the rank are the program's only global state; main sets them once. */
#include "src/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum log_level log_least = LOG_INFO;
static int log_rank = 0;

void log_setup(enum log_level least, int rank)
{
    log_least = least;
    log_rank = rank;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    if (level < log_least) return;
    char line[2048];
    int used = snprintf(line, sizeof line, "regard[%d] %s: ", log_rank, names[level]);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++)
        if (*c == '\n' || *c == '\r') *c = ' ';
    strcat(line, "\n"); /* a byte was left for it */
    fputs(line, stderr);
}
