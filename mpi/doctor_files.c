/* See doctor_files.h. */
#include "mpi/doctor_files.h"

#include "mpi/folder_trial.h"
#include "src/base/clock.h"
#include "src/base/file.h"
#include "src/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PATH_BYTES = 1280, SYNCS = 20, WRITTEN = 64 << 20, BLOCK = 1 << 20 };

/* ---- space ---- */

/* Bytes of the files in a folder, 0: there is none. */
static int64_t folder_bytes(const char *folder)
{
    int64_t bytes = 0;
    char path[PATH_BYTES + 260];
    struct stat about;
    DIR *directory = opendir(folder);
    if (!directory) return 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (stat(path, &about) == 0 && S_ISREG(about.st_mode)) bytes += about.st_size;
    }
    closedir(directory);
    return bytes;
}

/* Two bytes a parameter are what most folders have. */
int64_t doctor_weights_bytes(const struct config *config)
{
    if (!config->model.path[0] || config->adapter.rank > 0) return 0;
    return 2 * folder_bytes(config->model.path);
}

/* A checkpoint's bytes: as the newest one has, else about three values of fp32 for each parameter
 * of model.path (weights and two moments; a critic as many again); 0: not known. */
static int64_t checkpoint_bytes(const struct config *config, const char *folder)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/checkpoints/newest", folder);
    const int64_t newest = folder_bytes(path);
    if (newest) return newest;
    return 3 * doctor_weights_bytes(config) * (config->advantage == ADVANTAGE_GROUP ? 1 : 2);
}

/* Whether a file can be made there; a full disk is a matter of space. */
static bool takes_files(const char *folder)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/.regard-space-%ld", folder, (long)getpid());
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0) return errno == ENOSPC || errno == EDQUOT || errno == EEXIST;
    close(file);
    unlink(path);
    return true;
}

void doctor_judge_space(const struct config *config, const char *folder,
                        struct doctor_report *report)
{
    char nearest[PATH_BYTES - 64], wanted[96] = "";
    struct statvfs about;
    folder_nearest(folder, nearest, sizeof nearest);
    if (!takes_files(nearest)) return; /* whoever writes says why not */
    if (statvfs(nearest, &about) != 0) {
        doctor_add(report, DOCTOR_WARNING, "space", "look whether the path is right", "%s: %s",
                   nearest, strerror(errno));
        return;
    }
    const int64_t free_bytes = (int64_t)about.f_bavail * (int64_t)about.f_frsize;
    const int64_t one = checkpoint_bytes(config, folder);
    const int64_t keep = config->checkpoint.keep;
    /* One is written before the oldest goes. */
    const int64_t need = one ? one * (keep + 1) : 64 << 20;
    if (one)
        snprintf(wanted, sizeof wanted, "; %lld checkpoints of %.2f GB and one being written",
                 (long long)keep, (double)one * 1e-9);
    const bool few = free_bytes < need, none = one ? free_bytes < one : few;
    doctor_add(report,
               none  ? DOCTOR_PROBLEM
               : few ? DOCTOR_WARNING
                     : DOCTOR_OK,
               "space", few ? "free some, lower checkpoint.keep, or take another folder" : NULL,
               "%.2f GB free at %s%s", (double)free_bytes * 1e-9, nearest, wanted);
    if (about.f_files && about.f_favail < 1000)
        doctor_add(report, DOCTOR_PROBLEM, "inodes", "remove files, or take another folder",
                   "%lld free at %s", (long long)about.f_favail, nearest);
}

/* ---- what works ---- */

static int doubles_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of small writes, each with its fsync. */
static status syncs_measure(const char *path, struct doctor_report *report)
{
    double seconds[SYNCS];
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0) FAIL(STATUS_INPUT, "cannot create %s: %s", path, strerror(errno));
    status s = NULL;
    for (int i = 0; i < SYNCS && !s; i++) {
        const double begun = seconds_now();
        if (write(file, "regard", 6) != 6 || fsync(file) != 0)
            s = ERROR(STATUS_INPUT, "cannot write %s and fsync it: %s", path, strerror(errno));
        seconds[i] = seconds_now() - begun;
    }
    close(file);
    if (s) return s;
    qsort(seconds, SYNCS, sizeof *seconds, doubles_compare);
    const bool slow = seconds[SYNCS / 2] > 0.5;
    doctor_add(report, slow ? DOCTOR_WARNING : DOCTOR_OK, "fsync",
               slow ? "checkpoints will be slow here; see checkpoint.every" : NULL,
               "%.2f/%.2f/%.2f ms (least, median, most of %d)", 1e3 * seconds[0],
               1e3 * seconds[SYNCS / 2], 1e3 * seconds[SYNCS - 1], SYNCS);
    return NULL;
}

static status rate_measure(const char *path, double *out, struct doctor_report *report)
{
    const int file = open(path, O_WRONLY | O_TRUNC);
    char *block = memory_allocate(BLOCK);
    int64_t written = 0;
    const double begun = seconds_now();
    status s = NULL;
    memset(block, 7, BLOCK);
    while (file >= 0 && !s && written < WRITTEN && seconds_now() < begun + 10) {
        const ssize_t done = write(file, block, BLOCK);
        if (done <= 0)
            s = ERROR(STATUS_INPUT, "cannot write %d MiB to %s: %s", WRITTEN >> 20, path,
                      strerror(errno));
        else
            written += done;
    }
    if (!s && (file < 0 || fsync(file) != 0))
        s = ERROR(STATUS_INPUT, "cannot write %s: %s", path, strerror(errno));
    const double rate = (double)written / (seconds_now() - begun);
    if (file >= 0) close(file);
    free(block);
    if (s) return s;
    *out = rate;
    const bool slow = rate < 50e6;
    doctor_add(report, slow ? DOCTOR_WARNING : DOCTOR_OK, "write",
               slow ? "checkpoints will be slow here" : NULL, "%.0f MB/s, fsync included, %lld MiB",
               rate * 1e-6, (long long)(written >> 20));
    return NULL;
}

/* Renaming over a file, exclusive creation, locks; path is there. */
static status rules_try(const char *path, struct doctor_report *report)
{
    char other[PATH_BYTES + 8];
    snprintf(other, sizeof other, "%s.new", path);
    TRY(file_write(other, "new", 3));
    struct stat about;
    if (rename(other, path) != 0 || stat(path, &about) != 0 || about.st_size != 3) {
        unlink(other);
        FAIL(STATUS_INPUT, "a file cannot be renamed over another at %s: %s", path,
             strerror(errno));
    }
    const int twice = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (twice >= 0) {
        close(twice);
        FAIL(STATUS_INPUT, "%s was created exclusively (O_EXCL) though it is there", path);
    }
    const int file = open(path, O_RDWR);
    const bool locks = file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0;
    if (file >= 0) close(file);
    doctor_add(report, DOCTOR_OK, "files", NULL,
               "rename replaces, O_EXCL refuses what is there, locks %s",
               locks ? "work" : "do not work (none is needed)");
    return NULL;
}

/* A file stands where a folder would be made. */
static status way_check(const char *folder)
{
    char path[PATH_BYTES];
    struct stat about;
    snprintf(path, sizeof path, "%s", folder);
    for (char *end; (end = strrchr(path, '/')) != NULL && end != path; *end = 0)
        if (stat(path, &about) == 0 && !S_ISDIR(about.st_mode))
            FAIL(STATUS_INPUT, "%s: %s is no folder", folder, path);
    return NULL;
}

static status files_try(const char *folder, double *rate, struct doctor_report *report)
{
    char nearest[PATH_BYTES - 64], path[PATH_BYTES];
    TRY(way_check(folder));
    folder_nearest(folder, nearest, sizeof nearest);
    snprintf(path, sizeof path, "%s/.regard-doctor-%ld", nearest, (long)getpid());
    status s = syncs_measure(path, report);
    if (!s) s = rules_try(path, report);
    if (!s) s = rate_measure(path, rate, report);
    unlink(path);
    return s;
}

status doctor_files(struct world *world, const struct config *config, const char *folder,
                    double *rate, struct doctor_report *report)
{
    status s = folder_trial(world, folder);
    if (world->rank != 0) {
        status_free(s);
        return NULL;
    }
    if (!s) {
        doctor_add(report, DOCTOR_OK, "folder", NULL, "%s: every rank sees what rank 0 writes",
                   folder);
        s = files_try(folder, rate, report);
    }
    if (s)
        doctor_add(report, DOCTOR_PROBLEM, "folder", "give --run a folder that can be written",
                   "%s", status_message(s));
    status_free(s);
    doctor_judge_space(config, folder, report);
    return NULL;
}
