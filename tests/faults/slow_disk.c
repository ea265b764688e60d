/* Preloaded into a run (tests/program/test_background.sh): a slow or broken disk under the
 * checkpoints that are being written.  fsync of a file in RUN/checkpoints/step-N.tmp/ takes
 * FAULT_SLOW milliseconds more, and fails with EIO where the file's name ends in FAULT_BROKEN.
 * Threads begin FAULT_LATE milliseconds late, so that training's next step comes before a
 * checkpoint's thread has copied anything. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void wait_for(const char *milliseconds)
{
    const long wait = milliseconds ? atol(milliseconds) : 0;
    const struct timespec time = {.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000};
    nanosleep(&time, NULL);
}

struct start {
    void *(*run)(void *data);
    void *data;
};

static void *run_late(void *data)
{
    struct start start = *(struct start *)data;
    free(data);
    wait_for(getenv("FAULT_LATE"));
    return start.run(start.data);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *data)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    struct start *start = malloc(sizeof *start);
    if (!start) return EAGAIN;
    *start = (struct start){run, data};
    const int refused = real(thread, attributes, run_late, start);
    if (refused) free(start);
    return refused;
}

int fsync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    const char *slow = getenv("FAULT_SLOW"), *broken = getenv("FAULT_BROKEN");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    if (!strstr(path, "/checkpoints/step-") || !strstr(path, ".tmp/")) return real(file);
    wait_for(slow);
    const size_t ending = broken ? strlen(broken) : 0;
    if (ending && strlen(path) >= ending && !strcmp(path + strlen(path) - ending, broken)) {
        errno = EIO;
        return -1;
    }
    return real(file);
}
