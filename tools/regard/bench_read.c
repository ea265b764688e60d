/* The rate at which memory is read; see bench.h. */
#include "src/base/clock.h"
#include "src/base/memory.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

/* Reads every word; the loop is bound by memory, not by what it does with them. */
static uint64_t words_read(const uint64_t *words, int64_t count, int threads)
{
    uint64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
    for (int64_t i = 0; i < count; i++) sum += words[i];
    return sum;
}

status bench_read_rate(int threads, int64_t bytes, double *rate)
{
    const int64_t count = bytes / (int64_t)sizeof(uint64_t);
    uint64_t *words = memory_allocate((size_t)count * sizeof *words);
    double rounds[BENCH_ROUNDS];
    for (int64_t i = 0; i < count; i++) words[i] = 1;
    status s = NULL;
    for (int i = -1; !s && i < BENCH_ROUNDS; i++) {
        const double start = seconds_now();
        const uint64_t sum = words_read(words, count, threads);
        if (i >= 0) rounds[i] = seconds_now() - start;
        if (sum != (uint64_t)count)
            s = ERROR(STATUS_INTERNAL, "the sum of ones is not their number");
    }
    free(words);
    if (s) return s;
    *rate = (double)count * sizeof *words / bench_median(rounds, BENCH_ROUNDS);
    return NULL;
}
