/* Preloaded into the ranks of a run (tests/program/test_trace.sh): rank 1's monotonic clock is 1000
 * seconds ahead and gains one in a thousand, as another host's is another. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    static double first;
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const int code = real(clock, now);
    if (clock != CLOCK_MONOTONIC || !rank || strcmp(rank, "1") != 0) return code;
    const double is = (double)now->tv_sec + 1e-9 * (double)now->tv_nsec;
    if (first == 0) first = is;
    const double says = is + 1000 + 1e-3 * (is - first);
    now->tv_sec = (time_t)says;
    now->tv_nsec = (long)((says - (double)now->tv_sec) * 1e9);
    return code;
}
