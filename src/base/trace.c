/* See trace.h. */
#include "src/base/trace.h"

#include "src/base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct trace_span *ring; /* [TRACE_SPANS]; NULL: off */
static int64_t added;
static _Atomic int64_t at_step;
static atomic_bool on;
static char tracks[TRACE_TRACKS][TRACE_NAME];

void trace_open(void)
{
    trace_close();
    ring = memory_allocate(TRACE_SPANS * sizeof *ring);
    atomic_store(&on, true);
}

void trace_close(void)
{
    atomic_store(&on, false);
    pthread_mutex_lock(&lock);
    free(ring);
    ring = NULL;
    added = 0;
    memset(tracks, 0, sizeof tracks);
    pthread_mutex_unlock(&lock);
}

bool trace_is_on(void)
{
    return atomic_load_explicit(&on, memory_order_relaxed);
}

void trace_step(int64_t step)
{
    atomic_store_explicit(&at_step, step, memory_order_relaxed);
}

static int track_find(const char *name)
{
    int t = 0;
    while (t < TRACE_TRACKS - 1 && tracks[t][0] && strncmp(tracks[t], name, TRACE_NAME - 1)) t++;
    if (!tracks[t][0]) snprintf(tracks[t], TRACE_NAME, "%s", name);
    return t;
}

void trace_add(const char *track, int kind, double begin, double end, int64_t bytes)
{
    pthread_mutex_lock(&lock);
    if (ring)
        ring[added++ % TRACE_SPANS] =
            (struct trace_span){.begin = begin,
                                .end = end,
                                .step = atomic_load_explicit(&at_step, memory_order_relaxed),
                                .bytes = bytes,
                                .kind = kind,
                                .track = track_find(track)};
    pthread_mutex_unlock(&lock);
}

int64_t trace_take(struct trace_span **spans, char names[TRACE_TRACKS][TRACE_NAME], int64_t *lost)
{
    pthread_mutex_lock(&lock);
    const int64_t count = added < TRACE_SPANS ? added : TRACE_SPANS;
    *lost = added - count;
    *spans = memory_allocate((size_t)(count + 1) * sizeof **spans);
    for (int64_t i = 0; i < count; i++) (*spans)[i] = ring[(*lost + i) % TRACE_SPANS];
    memcpy(names, tracks, sizeof tracks);
    pthread_mutex_unlock(&lock);
    return count;
}
