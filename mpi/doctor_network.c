/* See doctor_network.h.  Waits are the transport's, so that what is measured is what a run gets. */
#include "mpi/doctor_network.h"

#include "kernels/load.h"
#include "mpi/host_messages.h"
#include "mpi/signals.h"
#include "mpi/transport_mpi.h"
#include "mpi/values.h"
#include "src/base/clock.h"
#include "src/base/heartbeat.h"
#include "src/base/memory.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 48, PINGS = 100, LARGE = 4 << 20, LARGE_ROUNDS = 4, TAG = 7, REDUCED = 1 << 22 };

struct pair {
    int a, b;
    bool far;                          /* on two hosts */
    double latency, bandwidth, offset; /* seconds one way, bytes a second, clock of b less a's */
};

/* One of the two sends first; both hold `size` bytes in `out` and `in`. */
static status ping(const struct world *world, int other, bool first, const char *out, char *in,
                   int size)
{
    MPI_Comm comm = world->groups->messages;
    MPI_Request request;
    for (int turn = 0; turn < 2; turn++) {
        if ((turn == 0) == first)
            TRY(transport_check(MPI_Isend(out, size, MPI_BYTE, other, TAG, comm, &request),
                                "ping"));
        else
            TRY(transport_check(MPI_Irecv(in, size, MPI_BYTE, other, TAG, comm, &request), "ping"));
        TRY(transport_wait_all(world, &request, 1, "ping"));
    }
    return NULL;
}

static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int doubles_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* By both ranks of the pair; what a measures counts.  The clock of the quickest of PINGS answers is
 * the least uncertain. */
static status pair_measure(const struct world *world, struct pair *pair, char *out, char *in)
{
    const bool first = world->rank == pair->a;
    const int other = first ? pair->b : pair->a;
    double trips[PINGS], best = INFINITY;
    for (int i = 0; i < PINGS; i++) {
        const double begun = seconds_now(), mine = wall_clock();
        memcpy(out, &mine, sizeof mine);
        TRY(ping(world, other, first, out, in, sizeof mine));
        trips[i] = seconds_now() - begun;
        if (first && trips[i] < best) {
            double theirs;
            memcpy(&theirs, in, sizeof theirs);
            best = trips[i];
            pair->offset = theirs - mine;
        }
    }
    qsort(trips, PINGS, sizeof *trips, doubles_compare);
    pair->latency = trips[PINGS / 2] / 2;
    for (int i = 0; i <= LARGE_ROUNDS; i++) { /* the first makes connections */
        const double begun = seconds_now();
        TRY(ping(world, other, first, out, in, LARGE));
        const double rate = 2.0 * LARGE / (seconds_now() - begun);
        if (i && rate > pair->bandwidth) pair->bandwidth = rate;
    }
    return NULL;
}

/* All pairs of few ranks; of many each with the next, with rank 0 and with one half the world away.
 */
static int pairs_choose(const struct doctor_facts *ranks, int size, struct pair pairs[PAIRS])
{
    int count = 0;
    const int most = size * (size - 1) / 2;
    for (int step = 0; step < (most <= PAIRS ? size * size : 3 * PAIRS) && count < PAIRS; step++) {
        int a = step / size, b = step % size;
        if (most > PAIRS) {
            const int at = (int)((int64_t)(step / 3) * size / PAIRS);
            const int with[] = {at + 1, 0, at + size / 2};
            a = at;
            b = with[step % 3] % size;
        }
        if (a == b || (most <= PAIRS && a > b)) continue;
        pairs[count++] =
            (struct pair){.a = a, .b = b, .far = strcmp(ranks[a].host, ranks[b].host) != 0};
    }
    return count;
}

static void kind_report(const struct doctor_facts *ranks, const struct pair *pairs, int count,
                        bool far, struct doctor_report *report)
{
    double latency[PAIRS], bandwidth[PAIRS];
    const struct pair *slowest = NULL;
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (pairs[i].far != far) continue;
        latency[n] = pairs[i].latency;
        bandwidth[n++] = pairs[i].bandwidth;
        if (!slowest || pairs[i].bandwidth < slowest->bandwidth) slowest = &pairs[i];
    }
    if (!n) return;
    qsort(latency, (size_t)n, sizeof *latency, doubles_compare);
    qsort(bandwidth, (size_t)n, sizeof *bandwidth, doubles_compare);
    const bool slow = far ? bandwidth[0] < 0.2e9 : bandwidth[0] < 0.3e9;
    const bool uneven = n > 2 && bandwidth[0] < bandwidth[n / 2] / 4;
    const bool late = latency[n / 2] > (far ? 5e-3 : 1e-3);
    doctor_add(
        report, slow || uneven || late ? DOCTOR_WARNING : DOCTOR_OK,
        far ? "network" : "within a host",
        uneven          ? "look at these two ranks' hosts and cables"
        : late && !slow ? "ranks wait for a core before they answer: start fewer a host, and "
                          "nothing beside them"
        : slow ? (far ? "choose the fast network: --mca btl_tcp_if_include, or an MPI with "
                        "InfiniBand; weights and gradients cross it in every update"
                  : host_messages_single_copy()
                      ? "are the cores oversubscribed?"
                      : "allow process_vm_readv (a container's seccomp profile, "
                        "kernel.yama.ptrace_scope): messages go by fragments without it")
               : NULL,
        "latency %.1f/%.1f/%.1f us, bandwidth %.2f/%.2f/%.2f GB/s (least, median, most of %d "
        "pairs); slowest: ranks %d (%s) and %d (%s)",
        1e6 * latency[0], 1e6 * latency[n / 2], 1e6 * latency[n - 1], 1e-9 * bandwidth[0],
        1e-9 * bandwidth[n / 2], 1e-9 * bandwidth[n - 1], n, slowest->a, ranks[slowest->a].host,
        slowest->b, ranks[slowest->b].host);
}

static void clocks_report(const struct doctor_facts *ranks, const struct pair *pairs, int count,
                          struct doctor_report *report)
{
    const struct pair *worst = NULL;
    for (int i = 0; i < count; i++)
        if (pairs[i].far && (!worst || fabs(pairs[i].offset) > fabs(worst->offset)))
            worst = &pairs[i];
    if (!worst) return;
    const bool bad = fabs(worst->offset) > 1;
    doctor_add(report, bad ? DOCTOR_WARNING : DOCTOR_OK, "clocks",
               bad ? "set them by NTP: logs and file times mislead" : NULL,
               "%s is at most %.3f ms from %s", ranks[worst->b].host, 1e3 * fabs(worst->offset),
               ranks[worst->a].host);
}

status doctor_network(struct world *world, const struct doctor_facts *ranks,
                      struct doctor_report *report)
{
    struct pair pairs[PAIRS];
    if (world->size == 1) return NULL;
    const int count = pairs_choose(ranks, world->size, pairs);
    char *out = memory_allocate(LARGE), *in = memory_allocate(LARGE);
    status s = NULL;
    for (int i = 0; i < count && !s; i++) {
        s = world_barrier(world, "a pair's measurement");
        if (!s && (world->rank == pairs[i].a || world->rank == pairs[i].b))
            s = pair_measure(world, &pairs[i], out, in);
        if (!s)
            s = transport_broadcast(world, world->groups->world, &pairs[i], sizeof pairs[i],
                                    pairs[i].a, "a pair's measurement");
    }
    free(out);
    free(in);
    if (s) return s;
    kind_report(ranks, pairs, count, false, report);
    kind_report(ranks, pairs, count, true, report);
    clocks_report(ranks, pairs, count, report);
    return NULL;
}

/* Seconds of the quickest sum of three. */
static status reduce_measure(struct world *world, struct staging *staging, double *seconds)
{
    float *values = memory_allocate(REDUCED * sizeof *values);
    status s = NULL;
    for (int i = 0; i < 3 && !s; i++) {
        s = learners_barrier(world);
        const double begun = seconds_now();
        if (!s) s = learners_reduce(world, staging, values, REDUCED);
        if (!s && (i == 0 || seconds_now() - begun < *seconds)) *seconds = seconds_now() - begun;
    }
    free(values);
    return s;
}

status doctor_reduce(struct world *world, struct doctor_report *report)
{
    if (world->roles.learners == 1) return NULL;
    const bool learner = world->roles.is_learner;
    const struct queue_options options = {
        .device = "cpu", .threads = 1, .instructions = "auto", .real_bytes = 4, .exact = true};
    struct queue *queue = NULL;
    struct staging staging = {0};
    double seconds = 0;
    int64_t slowest;
    status s = learner ? queue_create(&options, &queue) : NULL;
    if (!s && learner) s = staging_open(&staging, world, queue);
    s = world_agree(world, s); /* nobody waits for one that could not begin */
    if (!s && learner) s = reduce_measure(world, &staging, &seconds);
    staging_close(&staging);
    if (queue) queue->op->destroy(queue);
    TRY(world_agree(world, s));
    TRY(world_maximum(world, (int64_t)(1e9 * seconds), &slowest));
    doctor_add(report, DOCTOR_OK, "learners' sum", NULL,
               "%.1f ms for %.0f MB over %d learners by MPI (%.2f GB/s)", 1e-6 * (double)slowest,
               4e-6 * REDUCED, world->roles.learners, 4.0 * REDUCED / (double)slowest);
    return NULL;
}

/* mpirun, where rank 0 is its child. */
static bool launcher_is_parent(void)
{
    static const char *const names[] = {"mpirun", "mpiexec", "orterun", "prterun"};
    char path[64], name[64] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)getppid());
    FILE *file = fopen(path, "r");
    if (!file) return false;
    if (!fgets(name, sizeof name, file)) name[0] = 0;
    fclose(file);
    name[strcspn(name, "\n")] = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

status doctor_signals(struct world *world, struct doctor_report *report)
{
    int64_t tried = world->rank == 0 && launcher_is_parent(), missing = 0;
    TRY(world_maximum(world, tried, &tried));
    if (!tried) {
        doctor_add(report, DOCTOR_OK, "signals", NULL,
                   "not tried: rank 0 is no child of mpirun here (README, Stop and resume)");
        return NULL;
    }
    if (world->rank == 0) kill(getppid(), SIGUSR1);
    const double begun = seconds_now();
    while (!signals_stop_asked() && seconds_now() < begun + 2) {
        nanosleep(&(const struct timespec){0, 2000000}, NULL);
        heartbeat_note();
    }
    TRY(world_maximum(world, signals_stop_asked() ? 0 : world->rank + 1, &missing));
    if (missing)
        doctor_add(report, DOCTOR_PROBLEM, "signals",
                   "a stop will not save; signal the batch script and forward (run/slurm.sbatch)",
                   "SIGUSR1 to mpirun did not come to rank %lld (%s)", (long long)missing - 1,
                   world_host(world, (int)missing - 1));
    else
        doctor_add(report, DOCTOR_OK, "signals", NULL, "SIGUSR1 to mpirun comes to every rank");
    return NULL;
}
