/* See rank_times.h.  Reports are small enough to leave at once; up to SENDS of a rank may be on
 * their way, since an actor can be some batches ahead of rank 0. */
#include "mpi/rank_times.h"

#include "mpi/transport_mpi.h"
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { SENDS = 8, TIMES_TAG = 2 };
static const int64_t last_step = INT64_MAX;
static const char name[] = "the exchange of times";

struct report {
    int64_t step;
    double seconds[TIME_KINDS];
    int64_t bytes[TRAFFIC_KINDS];
};

struct rank_times {
    struct world *world;
    struct report sent[SENDS];
    MPI_Request leaving[SENDS];
    int next;
    double *seconds;                    /* rank 0: [ranks, TIME_KINDS] of the last update */
    int64_t bytes[TRAFFIC_KINDS];       /* rank 0: of the last update, over the ranks */
    double *since;                      /* rank 0: as seconds, since rank_times_since */
    int64_t since_bytes[TRAFFIC_KINDS]; /* rank 0: likewise */
    bool taken;                         /* these were asked for: the next update begins anew */
    double *totals;                     /* [TIME_KINDS] of this rank; rank 0: [ranks, TIME_KINDS] */
};

struct rank_times *rank_times_open(struct world *world)
{
    struct rank_times *times = memory_allocate(sizeof *times);
    const size_t ranks = world->rank == 0 ? (size_t)world->size : 1;
    times->world = world;
    for (int i = 0; i < SENDS; i++) times->leaving[i] = MPI_REQUEST_NULL;
    times->seconds = memory_allocate(ranks * TIME_KINDS * sizeof *times->seconds);
    times->since = memory_allocate(ranks * TIME_KINDS * sizeof *times->since);
    times->totals = memory_allocate(ranks * TIME_KINDS * sizeof *times->totals);
    return times;
}

void rank_times_close(struct rank_times *times)
{
    if (!times) return;
    free(times->seconds);
    free(times->since);
    free(times->totals);
    free(times);
}

static status report_send(struct rank_times *times, const struct report *report)
{
    struct world *world = times->world;
    const int i = times->next++ % SENDS;
    TRY(transport_wait_all(world, &times->leaving[i], 1, name));
    times->sent[i] = *report;
    return transport_check(MPI_Isend(&times->sent[i], sizeof times->sent[i], MPI_BYTE, 0, TIMES_TAG,
                                     world->groups->messages, &times->leaving[i]),
                           name);
}

static status report_receive(struct rank_times *times, int from, struct report *report)
{
    struct world *world = times->world;
    MPI_Request request;
    TRY(transport_check(MPI_Irecv(report, sizeof *report, MPI_BYTE, from, TIMES_TAG,
                                  world->groups->messages, &request),
                        name));
    return transport_wait_all(world, &request, 1, name);
}

status rank_times_report(struct rank_times *times, int64_t step)
{
    struct report report = {.step = step};
    timeline_take(report.seconds);
    traffic_take(report.bytes);
    for (int k = 0; k < TIME_KINDS; k++) times->totals[k] += report.seconds[k];
    if (times->world->rank != 0) return report_send(times, &report);
    memcpy(times->seconds, report.seconds, sizeof report.seconds);
    memcpy(times->bytes, report.bytes, sizeof report.bytes);
    return NULL;
}

static status reports_receive(struct rank_times *times, int64_t step)
{
    for (int r = 1; r < times->world->size; r++) {
        struct report report;
        TRY(report_receive(times, r, &report));
        if (report.step != step)
            FAIL(STATUS_INTERNAL, "rank %d: its times are of update %lld, not %lld", r,
                 (long long)report.step, (long long)step);
        memcpy(times->seconds + (size_t)r * TIME_KINDS, report.seconds, sizeof report.seconds);
        for (int k = 0; k < TRAFFIC_KINDS; k++) times->bytes[k] += report.bytes[k];
    }
    return NULL;
}

static void since_add(struct rank_times *times)
{
    const size_t count = (size_t)times->world->size * TIME_KINDS;
    if (times->taken) {
        memset(times->since, 0, count * sizeof *times->since);
        memset(times->since_bytes, 0, sizeof times->since_bytes);
        times->taken = false;
    }
    for (size_t i = 0; i < count; i++) times->since[i] += times->seconds[i];
    for (int k = 0; k < TRAFFIC_KINDS; k++) times->since_bytes[k] += times->bytes[k];
}

status rank_times_gather(struct rank_times *times, int64_t step, const double **seconds)
{
    timeline_begin(TIME_WAIT_SLOWEST);
    status s = reports_receive(times, step);
    timeline_end();
    *seconds = times->seconds;
    if (!s) since_add(times);
    return s;
}

void rank_times_since(struct rank_times *times, const double **seconds, const int64_t **bytes)
{
    *seconds = times->since;
    *bytes = times->since_bytes;
    times->taken = true;
}

status rank_times_finish(struct rank_times *times, const double **seconds)
{
    struct report report = {.step = last_step};
    *seconds = NULL;
    timeline_take(report.seconds);
    for (int k = 0; k < TIME_KINDS; k++) times->totals[k] += report.seconds[k];
    memcpy(report.seconds, times->totals, sizeof report.seconds);
    if (times->world->rank != 0) {
        TRY(report_send(times, &report));
        return transport_wait_all(times->world, times->leaving, SENDS, name);
    }
    for (int r = 1; r < times->world->size; r++) do {
            TRY(report_receive(times, r, &report));
            memcpy(times->totals + (size_t)r * TIME_KINDS, report.seconds, sizeof report.seconds);
        } while (report.step != last_step);
    *seconds = times->totals;
    return NULL;
}
