/* Preloaded into a run (tests/program/test_background.sh): a slow or broken disk under the
 * checkpoints that are being written.  fsync of a file in RUN/checkpoints/step-N.tmp/ takes
 * FAULT_SLOW milliseconds more, and fails with EIO where the file's name ends in FAULT_BROKEN. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int fsync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    const char *slow = getenv("FAULT_SLOW"), *broken = getenv("FAULT_BROKEN");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (!strstr(path, "/checkpoints/step-") || !strstr(path, ".tmp/")) return real(file);
    const long wait = slow ? atol(slow) : 0;
    const struct timespec time = {.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000};
    nanosleep(&time, NULL);
    const size_t ending = broken ? strlen(broken) : 0;
    if (ending && strlen(path) >= ending && !strcmp(path + strlen(path) - ending, broken)) {
        errno = EIO;
        return -1;
    }
    return real(file);
}
