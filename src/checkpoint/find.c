/* See find.h. */
#include "src/checkpoint/find.h"

#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/checkpoint/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG_PATH = CHECKPOINT_PATH_MAX + 384 };

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Steps of the folders step-N followed by the ending, ascending. */
static status list_steps(const char *run, const char *ending, int64_t **steps, int64_t *count)
{
    char parent[LONG_PATH];
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    *count = 0;
    *steps = memory_allocate(sizeof **steps);
    DIR *directory = opendir(parent);
    if (!directory && (errno == ENOENT || errno == ENOTDIR)) return NULL;
    if (!directory) {
        free(*steps);
        FAIL(STATUS_INPUT, "cannot list %s: %s", parent, strerror(errno));
    }
    for (struct dirent *e; (e = readdir(directory));) {
        if (strncmp(e->d_name, "step-", 5) != 0) continue;
        char *end;
        long long step = strtoll(e->d_name + 5, &end, 10);
        if (end == e->d_name + 5 || step < 0 || strcmp(end, ending) != 0) continue;
        *steps = memory_resize(*steps, (size_t)(*count + 1) * sizeof **steps);
        (*steps)[(*count)++] = step;
    }
    closedir(directory);
    qsort(*steps, (size_t)*count, sizeof **steps, by_value);
    return NULL;
}

status checkpoint_steps(const char *run, int64_t **steps, int64_t *count)
{
    return list_steps(run, "", steps, count);
}

/* An error where a checkpoint's files cannot be opened: permissions or a file system that fails say
 * nothing of their contents. */
static status check_readable(const char *folder)
{
    DIR *directory = opendir(folder);
    if (!directory) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    for (struct dirent *e; !s && (e = readdir(directory));) {
        const int descriptor = openat(dirfd(directory), e->d_name, O_RDONLY | O_CLOEXEC);
        if (descriptor >= 0)
            close(descriptor);
        else if (errno != ENOENT)
            s = ERROR(
                STATUS_INPUT,
                "cannot open %s/%s: %s; nothing is known of this checkpoint, so it is not set "
                "aside: make it readable, or move its folder away",
                folder, e->d_name, strerror(errno));
    }
    closedir(directory);
    return s;
}

static status set_aside(const char *folder, bool look_only, status why)
{
    status unreadable = check_readable(folder);
    if (unreadable) {
        status_free(why);
        return unreadable;
    }
    char bad[LONG_PATH];
    snprintf(bad, sizeof bad, "%s.bad", folder);
    log_line(LOG_WARNING, "%s; %s as %s", status_message(why),
             look_only ? "a run would set it aside" : "set aside", bad);
    status_free(why);
    if (look_only) return NULL;
    if (directory_exists(bad)) TRY(directory_remove(bad));
    if (rename(folder, bad) != 0)
        FAIL(STATUS_INPUT, "cannot set aside %s: %s", folder, strerror(errno));
    return NULL;
}

status checkpoint_newest(const char *run, bool look_only, char folder[CHECKPOINT_PATH_MAX],
                         int64_t *step)
{
    int64_t *steps, *set, count, set_count, failed = 0;
    *step = -1;
    folder[0] = 0;
    TRY(checkpoint_steps(run, &steps, &count));
    status s = NULL;
    for (int64_t i = count - 1; i >= 0 && !s && *step < 0; i--) {
        int64_t found = -1;
        checkpoint_folder(run, steps[i], folder);
        status bad = checkpoint_verify(folder, &found);
        if (!bad && found != steps[i])
            bad = ERROR(STATUS_INPUT, "%s: its manifest is of step %lld", folder, (long long)found);
        if (bad) {
            failed += look_only;
            s = set_aside(folder, look_only, bad);
        } else
            *step = steps[i];
    }
    free(steps);
    if (s || *step >= 0) return s;
    folder[0] = 0;
    TRY(list_steps(run, ".bad", &set, &set_count));
    free(set);
    set_count += failed; /* not renamed */
    if (set_count > 0)
        FAIL(STATUS_INPUT,
             "%s/checkpoints: %lld checkpoints, none of which verifies (step-*.bad); not starting "
             "over: mend one or take another --run folder",
             run, (long long)set_count);
    return NULL;
}

/* ---- links ---- */

status checkpoint_link(const char *run, const char *name, int64_t step)
{
    char link[LONG_PATH], temporary[LONG_PATH + 4], folder[CHECKPOINT_PATH_MAX];
    snprintf(link, sizeof link, "%s/checkpoints/%s", run, name);
    snprintf(temporary, sizeof temporary, "%s.tmp", link);
    if (unlink(temporary) != 0 && errno != ENOENT)
        FAIL(STATUS_INPUT, "cannot remove %s: %s", temporary, strerror(errno));
    checkpoint_folder(run, step, folder);
    if (step < 0 || !directory_exists(folder)) {
        if (unlink(link) != 0 && errno != ENOENT)
            FAIL(STATUS_INPUT, "cannot remove %s: %s", link, strerror(errno));
        return NULL;
    }
    if (symlink(strrchr(folder, '/') + 1, temporary) != 0 || rename(temporary, link) != 0)
        FAIL(STATUS_INPUT, "cannot make %s a symbolic link to %s: %s", link,
             strrchr(folder, '/') + 1, strerror(errno));
    return NULL;
}

static bool holds(const char *folder, const char *name)
{
    char path[LONG_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_exists(path) || directory_exists(path);
}

bool checkpoint_is_run(const char *folder)
{
    return holds(folder, "checkpoints") && !holds(folder, "manifest.json") &&
           !holds(folder, "config.json");
}

/* The step that a link names; -1: it is not there or leads nowhere. */
static int64_t linked_step(const char *run, const char *name)
{
    char link[LONG_PATH], target[64];
    long long step;
    snprintf(link, sizeof link, "%s/checkpoints/%s", run, name);
    const ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0 || !directory_exists(link)) return -1;
    target[length] = 0;
    return sscanf(target, "step-%lld", &step) == 1 ? step : -1;
}

status checkpoint_of_run(const char *run, char folder[CHECKPOINT_PATH_MAX])
{
    int64_t *steps, count, step = linked_step(run, CHECKPOINT_BEST);
    const bool best = step >= 0;
    TRY(checkpoint_steps(run, &steps, &count));
    if (!best && count) step = steps[count - 1];
    free(steps);
    if (step < 0) FAIL(STATUS_INPUT, "%s is a run without a checkpoint", run);
    checkpoint_folder(run, step, folder);
    log_line(LOG_INFO, "%s is a run: its %s checkpoint is taken, %s", run, best ? "best" : "newest",
             folder);
    return NULL;
}

status checkpoint_named(const char *named, char folder[CHECKPOINT_PATH_MAX])
{
    if (checkpoint_is_run(named)) return checkpoint_of_run(named, folder);
    snprintf(folder, CHECKPOINT_PATH_MAX, "%s", named);
    return NULL;
}
