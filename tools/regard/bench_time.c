/* Timing and random inputs of bench; see bench.h. */
#include "src/base/clock.h"
#include "src/base/memory.h"
#include "src/base/philox.h"
#include "tools/regard/bench.h"

#include <math.h>
#include <stdlib.h>

static int double_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, double_compare);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void bench_median_interval(const double *values, int count, double bounds[2])
{
    /* The number of values below the median is binomial(count, 1/2): as many are left out on each
     * side as leave at most 2.5% there. */
    double chance = pow(0.5, count), below = chance;
    int out = 0;
    while (below <= 0.025 && out < count / 2) {
        chance *= (double)(count - out) / (out + 1);
        below += chance;
        out++;
    }
    const int first = out > 0 ? out - 1 : 0;
    bounds[0] = values[first];
    bounds[1] = values[count - 1 - first];
}

static status round_time(struct queue *queue, void (*call)(struct queue *, void *), void *context,
                         int64_t calls, double *seconds)
{
    const double start = seconds_now();
    for (int64_t i = 0; i < calls; i++) call(queue, context);
    TRY(queue->op->synchronize(queue));
    *seconds = (seconds_now() - start) / (double)calls;
    return NULL;
}

status bench_time(struct queue *queue, void (*call)(struct queue *queue, void *context),
                  void *context, double *seconds)
{
    const double round_seconds = 0.02;
    double once, rounds[BENCH_ROUNDS];
    TRY(round_time(queue, call, context, 1, &once));
    TRY(round_time(queue, call, context, 1, &once));
    int64_t calls = once > 0 ? (int64_t)(round_seconds / once) + 1 : 1000;
    if (calls > 100000) calls = 100000;
    for (int i = 0; i < BENCH_ROUNDS; i++) TRY(round_time(queue, call, context, calls, &rounds[i]));
    *seconds = bench_median(rounds, BENCH_ROUNDS);
    return NULL;
}

enum { BENCH_KEY = 0x62656e63 }; /* "benc": apart from every purpose of philox.h */

static uint32_t bench_word(int64_t index, uint32_t stream)
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), stream, 0};
    const uint32_t key[2] = {BENCH_KEY, 0};
    uint32_t words[4];
    philox4x32(counter, key, words);
    return words[0];
}

/* A block of random numbers over and over: making billions on the host would take minutes. */
status bench_floats(struct queue *queue, struct buffer *buffer, int64_t count, uint32_t stream)
{
    enum { BLOCK = 1 << 20 };
    const size_t bytes = (size_t)count * sizeof(float);
    float *host = memory_allocate(bytes);
    for (int64_t i = 0; i < count; i++)
        host[i] = i < BLOCK ? 2 * philox_uniform(bench_word(i, stream)) - 1 : host[i - BLOCK];
    status s = buffer_upload(queue, buffer, host, bytes);
    if (!s) s = queue->op->synchronize(queue);
    free(host);
    return s;
}

status bench_reals(struct queue *queue, struct buffer *buffer, int64_t count, uint32_t stream)
{
    if (queue->real_bytes == sizeof(float)) return bench_floats(queue, buffer, count, stream);
    struct buffer floats = {0};
    status s = bench_floats(queue, &floats, count, stream);
    if (!s) s = buffer_reserve(queue, buffer, (size_t)count * queue->real_bytes);
    if (!s) queue->op->narrow(queue, buffer->data, floats.data, count);
    if (!s) s = queue->op->synchronize(queue);
    buffer_release(queue, &floats);
    return s;
}

void bench_ids(int32_t *ids, int64_t count, int32_t low, int32_t high, uint32_t stream)
{
    for (int64_t i = 0; i < count; i++)
        ids[i] = low + (int32_t)(bench_word(i, stream) % (uint32_t)(high - low));
}
