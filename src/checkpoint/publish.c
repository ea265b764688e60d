/* See publish.h. */
#include "src/checkpoint/publish.h"

#include "src/base/file.h"
#include "src/checkpoint/find.h"
#include "src/checkpoint/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONG_PATH = CHECKPOINT_PATH_MAX + 128 };

/* The greatest N of the files attempt-N in a run's checkpoints. */
static int64_t newest_attempt(const char *parent)
{
    int64_t newest = 0;
    DIR *directory = opendir(parent);
    if (!directory) return 0;
    for (struct dirent *e; (e = readdir(directory));) {
        long long number;
        if (sscanf(e->d_name, "attempt-%lld", &number) == 1 && number > newest) newest = number;
    }
    closedir(directory);
    return newest;
}

static status take_attempt(const char *parent, int64_t *attempt)
{
    for (int64_t number = newest_attempt(parent) + 1;; number++) {
        char path[LONG_PATH];
        snprintf(path, sizeof path, "%s/attempt-%06lld", parent, (long long)number);
        int descriptor = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        if (descriptor < 0 && errno == EEXIST) continue;
        if (descriptor < 0) FAIL(STATUS_INPUT, "cannot create %s: %s", path, strerror(errno));
        close(descriptor);
        *attempt = number;
        for (int64_t old = number - 1; old > 0; old--) {
            snprintf(path, sizeof path, "%s/attempt-%06lld", parent, (long long)old);
            if (unlink(path) != 0) break;
        }
        return directory_sync(parent);
    }
}

/* What writers that were killed left behind: half-written and half-deleted folders. */
static status remove_leftovers(const char *parent)
{
    DIR *directory = opendir(parent);
    if (!directory) FAIL(STATUS_INPUT, "cannot list %s: %s", parent, strerror(errno));
    status s = NULL;
    for (struct dirent *e; !s && (e = readdir(directory));) {
        const size_t length = strlen(e->d_name);
        char path[LONG_PATH + 256];
        if (strncmp(e->d_name, "step-", 5) != 0) continue;
        if (length < 4 || strcmp(e->d_name + length - 4, ".tmp") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", parent, e->d_name);
        if (directory_exists(path)) s = directory_remove(path);
    }
    closedir(directory);
    return s;
}

static status check_attempt(const char *run, const char *parent, int64_t attempt)
{
    int64_t newest = newest_attempt(parent);
    if (newest == attempt) return NULL;
    if (!directory_exists(parent))
        FAIL(STATUS_INPUT,
             "%s was deleted or moved while this run wrote to it; its last updates are not saved",
             directory_exists(run) ? parent : run);
    if (newest < attempt)
        FAIL(
            STATUS_INPUT,
            "%s/attempt-%06lld was deleted while this run wrote here; without it a run cannot tell "
            "whether another one does, and stops",
            parent, (long long)attempt);
    FAIL(STATUS_INPUT,
         "%s: another job (attempt %lld) writes here now, this one is attempt %lld and stops",
         parent, (long long)newest, (long long)attempt);
}

status checkpoint_claim(const char *run, int64_t *attempt)
{
    char parent[CHECKPOINT_PATH_MAX];
    if (strlen(run) > CHECKPOINT_PATH_MAX - 200) FAIL(STATUS_INPUT, "%s: path too long", run);
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    TRY(directory_create(parent));
    TRY(take_attempt(parent, attempt));
    return remove_leftovers(parent);
}

status checkpoint_begin(const char *run, int64_t step, int64_t *attempt)
{
    char parent[CHECKPOINT_PATH_MAX], folder[CHECKPOINT_PATH_MAX];
    if (*attempt == 0) TRY(checkpoint_claim(run, attempt));
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    TRY(check_attempt(run, parent, *attempt));
    checkpoint_temporary(run, step, folder);
    if (directory_exists(folder)) TRY(directory_remove(folder));
    return directory_create(folder);
}

status checkpoint_copy_tokenizer(const char *from, const char *to)
{
    for (size_t i = 0; checkpoint_text_files[i]; i++) {
        char source[LONG_PATH], target[LONG_PATH];
        snprintf(source, sizeof source, "%s/%s", from, checkpoint_text_files[i]);
        snprintf(target, sizeof target, "%s/%s", to, checkpoint_text_files[i]);
        if (file_exists(source)) TRY(file_copy(source, target));
    }
    return NULL;
}

/* The folder holds these files at these sizes and no others. */
static status check_listed(const char *folder, const struct checkpoint_file *files, int64_t count)
{
    DIR *directory = opendir(folder);
    if (!directory) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    int64_t seen = 0;
    for (struct dirent *e; !s && (e = readdir(directory));) {
        char path[LONG_PATH + 256];
        struct stat about;
        int64_t i = 0;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        while (i < count && strcmp(files[i].name, e->d_name) != 0) i++;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (i == count)
            s = ERROR(STATUS_INTERNAL, "%s was not reported by any rank", path);
        else if (stat(path, &about) != 0 || about.st_size != files[i].size)
            s = ERROR(STATUS_INTERNAL, "%s does not have the size its rank reported", path);
        else
            seen++;
    }
    closedir(directory);
    if (!s && seen != count)
        s = ERROR(STATUS_INTERNAL, "%s: %lld files reported, %lld there", folder, (long long)count,
                  (long long)seen);
    return s;
}

status checkpoint_publish(const char *run, int64_t step, int64_t attempt,
                          const struct checkpoint_file *files, int64_t count)
{
    char parent[CHECKPOINT_PATH_MAX], from[CHECKPOINT_PATH_MAX], to[CHECKPOINT_PATH_MAX];
    char old[LONG_PATH];
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    checkpoint_temporary(run, step, from);
    checkpoint_folder(run, step, to);
    TRY(check_listed(from, files, count));
    TRY(checkpoint_write_manifest(from, step, files, count));
    TRY(directory_sync(from));
    TRY(check_attempt(run, parent, attempt));
    snprintf(old, sizeof old, "%s.old.tmp", to);
    if (directory_exists(to)) {
        if (directory_exists(old)) TRY(directory_remove(old));
        if (rename(to, old) != 0) FAIL(STATUS_INTERNAL, "%s: %s", to, strerror(errno));
    }
    if (rename(from, to) != 0) FAIL(STATUS_INTERNAL, "cannot rename %s: %s", from, strerror(errno));
    TRY(directory_sync(parent));
    return directory_exists(old) ? directory_remove(old) : NULL;
}

void checkpoint_abandon(const char *run, int64_t step, int64_t attempt)
{
    char parent[CHECKPOINT_PATH_MAX], folder[CHECKPOINT_PATH_MAX];
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    checkpoint_temporary(run, step, folder);
    status s = attempt ? check_attempt(run, parent, attempt) : NULL;
    if (!s && attempt && directory_exists(folder)) s = directory_remove(folder);
    status_free(s); /* the save's own error is told */
}

status checkpoint_prune(const char *run, int64_t keep, int64_t best)
{
    int64_t *steps, count;
    char folder[CHECKPOINT_PATH_MAX], gone[CHECKPOINT_PATH_MAX];
    TRY(checkpoint_steps(run, &steps, &count));
    status s = NULL;
    if (keep < 1) keep = 1;
    if (count > keep) {
        checkpoint_folder(run, steps[count - 1], folder);
        s = checkpoint_verify(folder, NULL);
    }
    for (int64_t i = 0; i < count - keep && !s; i++) {
        if (steps[i] == best) continue;
        /* Renamed first: half a deletion must not look like a broken checkpoint. */
        checkpoint_folder(run, steps[i], folder);
        checkpoint_temporary(run, steps[i], gone);
        if (directory_exists(gone)) s = directory_remove(gone);
        if (!s && rename(folder, gone) != 0)
            s = ERROR(STATUS_INTERNAL, "cannot rename %s: %s", folder, strerror(errno));
        if (!s) s = directory_remove(gone);
    }
    free(steps);
    return s;
}
