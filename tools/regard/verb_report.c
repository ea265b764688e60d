/* report: what runs wrote, as one page; --watch writes it again while they go on. */
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/page/page.h"
#include "src/page/run_read.h"
#include "tools/regard/command.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const char report_formats[] =
    "RUN: the folder that was --run of train, sft or reward; up to 64 of them stand side by side "
    "in\n"
    "one page, which needs no other file and no network. --out FILE (default: report.html in the\n"
    "first run's folder) is written as a whole or not at all. A run may be going on:\n"
    "  regard report RUN --watch        writes the page anew when something was written, looking "
    "every\n"
    "                                   5 seconds (--watch=SECONDS); an open page loads itself "
    "again.\n"
    "                                   ^C or SIGTERM ends it, after a last page.\n"
    "The page has the settings and where runs differ, curves of every metric with controls "
    "beside,\n"
    "held-out metrics and the step where reward and quality part, where time went, and samples "
    "down to\n"
    "the attention of each token.\n";

enum { ROWS_MAX = 1000, ROWS_TOGETHER = 16000, ROWS_LEAST = 100, SECONDS_DEFAULT = 5 };

/* Of each run, so that many runs' curves fit the page. */
static int64_t rows_kept(int64_t runs)
{
    const int64_t rows = ROWS_TOGETHER / runs;
    return rows > ROWS_MAX ? ROWS_MAX : rows < ROWS_LEAST ? ROWS_LEAST : rows;
}

static status runs_read(const struct command *c, struct run_record **runs)
{
    status s = NULL;
    for (int64_t i = 0; !s && i < c->run_count; i++)
        s = run_record_read(c->runs[i], rows_kept(c->run_count), &runs[i]);
    if (!s) run_records_name(runs, c->run_count);
    return s;
}

static void page_say(const struct command *c, const char *path, long size)
{
    const char *several = c->run_count == 1 ? "" : "s";
    if (size < 0) /* into a pipe */
        log_line(LOG_INFO, "report of %lld run%s: %s", (long long)c->run_count, several, path);
    else
        log_line(LOG_INFO, "report of %lld run%s, %.1f MB: %s", (long long)c->run_count, several,
                 (double)size / 1e6, path);
}

/* read: NULL, or gets what could not be read of the runs, and nothing is written then. */
static status page_make(const struct command *c, const char *path, double watch, bool says,
                        status *read)
{
    struct run_record **runs = memory_allocate((size_t)c->run_count * sizeof *runs);
    struct file_writer out = {NULL};
    status s = runs_read(c, runs), unread = NULL;
    if (s && read) {
        unread = s;
        s = NULL;
    }
    if (read) *read = unread;
    if (!s && !unread) {
        s = file_begin(&out, path);
        if (!s) s = page_write(out.stream, runs, c->run_count, watch);
        const long size = s ? 0 : ftell(out.stream);
        if (!s) s = file_commit(&out);
        file_abandon(&out);
        if (!s && says) page_say(c, path, size);
    }
    for (int64_t i = 0; i < c->run_count; i++) run_record_free(runs[i]);
    free(runs);
    return s;
}

/* When the newest of a run's files was written, in seconds; and their sizes, since two writes may
 * fall into one tick of the file system's clock. */
static double written_last(const struct command *c)
{
    static const char *const files[] = {"config.yaml", "about.txt", "metrics.jsonl", "samples"};
    double sum = 0;
    for (int64_t i = 0; i < c->run_count; i++)
        for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
            char path[1200];
            struct stat at;
            snprintf(path, sizeof path, "%s/%s", c->runs[i], files[f]);
            if (stat(path, &at) != 0) continue;
            sum +=
                (double)at.st_mtim.tv_sec + 1e-9 * (double)at.st_mtim.tv_nsec + (double)at.st_size;
        }
    return sum;
}

/* Sleeps; true: a signal asked for the end. */
static bool wait_stop(const sigset_t *signals, double seconds)
{
    const struct timespec wait = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)(1e9 * (seconds - floor(seconds)))};
    return sigtimedwait(signals, NULL, &wait) > 0;
}

/* A page while runs go on; the first one is told.  A run that is not there, yet or for a moment, is
 * told once and looked for again. */
static status page_follow(const struct command *c, const char *path, double seconds, bool *told,
                          bool *away)
{
    status read;
    TRY(page_make(c, path, seconds, !*told, &read));
    if (read && !*away)
        log_line(LOG_WARNING, "%s; waiting for it, ^C ends that", status_message(read));
    *away = read != NULL;
    *told = *told || !read;
    status_free(read);
    return NULL;
}

static status page_watch(const struct command *c, const char *path, double seconds)
{
    bool told = false, away = false;
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, &before);
    double shown = written_last(c);
    status s = page_follow(c, path, seconds, &told, &away);
    while (!s && !wait_stop(&signals, seconds)) {
        const double now = written_last(c);
        if (now == shown && !away) continue;
        shown = now;
        s = page_follow(c, path, seconds, &told, &away);
    }
    if (!s) s = page_make(c, path, 0, true, NULL); /* it need not load itself again */
    sigprocmask(SIG_SETMASK, &before, NULL);
    return s;
}

/* "", or the text behind --watch=. */
static status seconds_read(const char *text, double *seconds)
{
    char *end;
    *seconds = SECONDS_DEFAULT;
    if (!*text) return NULL;
    *seconds = strtod(text, &end);
    if (*end || !(*seconds >= 0.1 && *seconds <= 3600))
        FAIL(STATUS_USAGE,
             "--watch=%s: it is --watch or --watch=SECONDS, from 0.1 to 3600; see regard report "
             "--help",
             text);
    return NULL;
}

status verb_report(struct command *command)
{
    char path[1024];
    double seconds = 0;
    if (command->watch) TRY(seconds_read(command->watch, &seconds));
    if (command->out)
        snprintf(path, sizeof path, "%s", command->out);
    else
        snprintf(path, sizeof path, "%s/report.html", command->runs[0]);
    if (command->watch && !strcmp(path, "-"))
        FAIL(STATUS_USAGE, "--watch writes a page again and again; --out must be a file");
    if (!page_has_charts())
        log_line(LOG_WARNING, "this program was built without Chart.js: the page has no curves. "
                              "Install libjs-chart.js, or set REGARD_CHART_JS, and build again");
    return command->watch ? page_watch(command, path, seconds)
                          : page_make(command, path, 0, true, NULL);
}
