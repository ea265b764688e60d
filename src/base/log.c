/* One line a message on stderr, written by one call so that ranks do not mix.  The level and
 * the rank, which main sets once, and the terminal's last line are the program's only global state.
 */
#include "src/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, FOOT_MAX_BYTES = 512 };
#define LINE_CLEAR "\r\033[K"

static enum log_level log_least = LOG_INFO;
static int log_rank = 0;
static char foot[FOOT_MAX_BYTES];
static pthread_mutex_t alone = PTHREAD_MUTEX_INITIALIZER; /* whoever uses foot */

void log_setup(enum log_level least, int rank)
{
    log_least = least;
    log_rank = rank;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    if (level < log_least) return;
    char line[LINE_MAX_BYTES], whole[LINE_MAX_BYTES + FOOT_MAX_BYTES + 16];
    int used = snprintf(line, sizeof line, "regard[%d] %s: ", log_rank, names[level]);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = ' '; /* as in status.c */
    pthread_mutex_lock(&alone);
    snprintf(whole, sizeof whole, "%s%s\n%s", foot[0] ? LINE_CLEAR : "", line, foot);
    fputs(whole, stderr);
    pthread_mutex_unlock(&alone);
}

int log_terminal(void)
{
    struct winsize size;
    const char *passed = getenv("REGARD_TERMINAL"), *kind = getenv("TERM");
    if (kind && !strcmp(kind, "dumb")) return 0;
    if (!isatty(STDERR_FILENO)) return passed ? atoi(passed) : 0;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void log_foot(const char *text)
{
    const int columns = log_terminal();
    char whole[FOOT_MAX_BYTES + 16];
    const int most = columns < FOOT_MAX_BYTES ? columns - 1 : FOOT_MAX_BYTES - 1;
    if (columns < 2) return;
    pthread_mutex_lock(&alone);
    const bool shown = *text || foot[0];
    if (*text) snprintf(foot, sizeof foot, "%.*s", most, text);
    snprintf(whole, sizeof whole, "%s%s", *text ? LINE_CLEAR : "\n", *text ? foot : "");
    if (!*text) foot[0] = 0;
    if (shown) fputs(whole, stderr);
    pthread_mutex_unlock(&alone);
}
