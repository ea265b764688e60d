/* The progress line; see progress.h. */
#include "src/report/progress.h"

#include "src/base/clock.h"
#include "src/base/log.h"

#include <stdio.h>

void progress_duration(char out[32], double seconds)
{
    if (!(seconds > 0)) seconds = 0;
    if (seconds > 1e9) seconds = 1e9;
    long long whole = (long long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(out, 32, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        snprintf(out, 32, "%lldm%02llds", whole / 60, whole % 60);
    else
        snprintf(out, 32, "%llds", whole);
}

void progress_begin(struct progress *progress, const char *what, int64_t first, int64_t total,
                    int64_t every)
{
    *progress = (struct progress){
        .what = what, .first = first, .total = total, .every = every, .begun = seconds_now()};
}

static bool progress_due(const struct progress *progress, int64_t step)
{
    return step % progress->every == 0 || step == progress->total;
}

void progress_step(struct progress *progress, int64_t step, double seconds, double tokens,
                   const char *times, const struct metric *list, int64_t count)
{
    char line[1024], left[32];
    int64_t done = step - progress->first;
    double elapsed = seconds_now() - progress->begun;
    progress_duration(left,
                      done > 0 ? elapsed / (double)done * (double)(progress->total - step) : 0);
    size_t used = (size_t)snprintf(line, sizeof line, "%s %lld/%lld", progress->what,
                                   (long long)step, (long long)progress->total);
    for (int64_t i = 0; i < count && used < sizeof line; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, " %s %.4g", list[i].name,
                                 list[i].value);
    if (used < sizeof line)
        used += (size_t)snprintf(line + used, sizeof line - used, ", %.2f s", seconds);
    if (tokens > 0 && seconds > 0 && used < sizeof line)
        used +=
            (size_t)snprintf(line + used, sizeof line - used, ", %.0f tokens/s", tokens / seconds);
    if (used < sizeof line)
        used += (size_t)snprintf(line + used, sizeof line - used, ", %s left", left);
    if (times && used < sizeof line) snprintf(line + used, sizeof line - used, "; %s", times);
    if (log_terminal())
        log_foot(line);
    else if (progress_due(progress, step))
        log_line(LOG_INFO, "%s", line);
}

void progress_end(void)
{
    log_foot("");
}
