/* See folder_trial.h. */
#include "mpi/folder_trial.h"

#include "src/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct trial {
    char path[1200], text[64];
};

void folder_nearest(const char *folder, char *out, size_t size)
{
    snprintf(out, size, "%s", folder);
    while (!directory_exists(out)) {
        char *slash = strrchr(out, '/');
        if (!slash) {
            snprintf(out, size, ".");
            return;
        }
        slash[slash == out] = 0; /* "/" stays */
    }
}

static status trial_write(const char *folder, struct trial *trial)
{
    char parent[1024];
    if (strlen(folder) >= sizeof parent) FAIL(STATUS_INPUT, "--run %s: path too long", folder);
    folder_nearest(folder, parent, sizeof parent);
    snprintf(trial->text, sizeof trial->text, "%ld-%lld", (long)getpid(), (long long)time(NULL));
    snprintf(trial->path, sizeof trial->path, "%s/.regard-trial-%s", parent, trial->text);
    return status_context(file_write(trial->path, trial->text, strlen(trial->text)), "--run %s",
                          folder);
}

static bool trial_is_seen(const struct trial *trial)
{
    char *text;
    size_t size;
    status s = file_read(trial->path, &text, &size);
    if (s) {
        status_free(s);
        return false;
    }
    const bool same = size == strlen(trial->text) && memcmp(text, trial->text, size) == 0;
    free(text);
    return same;
}

/* A network's file system may need a moment. */
static status trial_read(const struct world *world, const char *folder, const struct trial *trial)
{
    for (int i = 0; i < 10; i++) {
        if (trial_is_seen(trial)) return NULL;
        nanosleep(&(const struct timespec){0, 200000000}, NULL);
    }
    FAIL(
        STATUS_INPUT,
        "--run %s: host %s does not see %s, which rank 0 wrote on %s; the run folder must lie on a "
        "file system that all hosts share",
        folder, world_host(world, world->rank), trial->path, world_host(world, 0));
}

status folder_trial(struct world *world, const char *folder)
{
    struct trial trial = {.path = ""};
    status s = world->rank == 0 ? trial_write(folder, &trial) : NULL;
    TRY(world_agree(world, s));
    s = world_broadcast(world, &trial, sizeof trial, 0);
    if (!s) s = world_agree(world, trial_read(world, folder, &trial));
    if (world->rank == 0) unlink(trial.path);
    return s;
}
