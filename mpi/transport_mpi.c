/* The world of transport.h over MPI: set-up, waiting, what all ranks do together.  Owns the
 * communicators.  Only nonblocking calls are used between start and end; every wait tests, at
 * first without sleep and then less and less often; the watchdog ends one that is in vain.  Sums of
 * learners are in learners_mpi.c, messages in messages_mpi.c. */
#include "mpi/transport_mpi.h"

#include "mpi/host_messages.h"
#include "src/base/clock.h"
#include "src/base/heartbeat.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/base/timeline.h"

#ifdef OPEN_MPI
#include <mpi-ext.h>
#endif
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

static const double start_patience = 600; /* until the settings are known to be everyone's */

status transport_check(int code, const char *what)
{
    if (code == MPI_SUCCESS) return NULL;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    FAIL(STATUS_INTERNAL, "%s: MPI says %s", what, text);
}

void transport_wait_begin(struct transport_wait *wait)
{
    *wait = (struct transport_wait){.begun = seconds_now()};
    heartbeat_note();
}

/* Without sleep for as long as a sleep costs, which is what most answers of a rank that is there
 * take.  Then by a sixteenth of the time waited so far: a wait ends late by no more than that, and
 * a long one takes next to nothing of a core. */
void transport_wait_more(const struct world *world, struct transport_wait *wait, const char *what)
{
    static const double spin = 50e-6, shortest = 10e-6, longest = 1e-3; /* seconds */
    progress_poll();
    const double waited = seconds_now() - wait->begun;
    if (waited < spin) return;
    watchdog_wait(world->groups->watchdog, what);
    const double seconds = fmin(fmax(waited / 16, shortest), longest);
    const struct timespec pause = {0, (long)(1e9 * seconds)};
    nanosleep(&pause, NULL);
}

status transport_wait_all(const struct world *world, MPI_Request *requests, int count,
                          const char *what)
{
    struct transport_wait wait;
    transport_wait_begin(&wait);
    for (;;) {
        int done = 0;
        TRY(transport_check(MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE), what));
        if (done) return NULL;
        transport_wait_more(world, &wait, what);
    }
}

status transport_wait_slowest(const struct world *world, MPI_Request *request, const char *what)
{
    timeline_begin(TIME_WAIT_SLOWEST);
    status s = transport_wait_all(world, request, 1, what);
    timeline_end();
    return s;
}

/* ---- set-up ---- */

/* Around calls in which MPI waits by itself: SIGALRM comes when they take too long (signals.h). */
static void blocking_begin(double seconds)
{
    alarm(seconds < 1e6 ? (unsigned)seconds + 1 : 1000000);
}

static void blocking_end(void)
{
    alarm(0);
}

static status rank_in(MPI_Comm comm, int *rank, int *size)
{
    TRY(transport_check(MPI_Comm_rank(comm, rank), "rank"));
    return transport_check(MPI_Comm_size(comm, size), "size");
}

static status split(struct world *world, bool member, MPI_Comm *out)
{
    TRY(transport_check(
        MPI_Comm_split(world->groups->world, member ? 0 : MPI_UNDEFINED, world->rank, out),
        "communicator"));
    if (*out != MPI_COMM_NULL) MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN);
    return NULL;
}

status transport_hosts(struct world *world, int host, struct transport_hosts *out)
{
    static const char what[] = "communicators of the hosts";
    const MPI_Comm all = world->groups->weights;
    MPI_Request request;
    *out = (struct transport_hosts){.host = MPI_COMM_NULL, .heads = MPI_COMM_NULL};
    /* Splitting blocks, so it begins when all are known to be there. */
    TRY(transport_check(MPI_Ibarrier(all, &request), what));
    TRY(transport_wait_all(world, &request, 1, what));
    blocking_begin(world->patience);
    status s =
        transport_check(host < 0 ? MPI_Comm_split_type(all, MPI_COMM_TYPE_SHARED, world->rank,
                                                       MPI_INFO_NULL, &out->host)
                                 : MPI_Comm_split(all, host, world->rank, &out->host),
                        what);
    if (!s) s = rank_in(out->host, &out->rank, &out->size);
    if (!s)
        s = transport_check(
            MPI_Comm_split(all, out->rank ? MPI_UNDEFINED : 0, world->rank, &out->heads), what);
    if (!s && !out->rank) s = transport_check(MPI_Comm_size(out->heads, &out->hosts), what);
    blocking_end();
    if (s) return s;
    MPI_Comm_set_errhandler(out->host, MPI_ERRORS_RETURN);
    if (!out->rank) MPI_Comm_set_errhandler(out->heads, MPI_ERRORS_RETURN);
    return NULL;
}

void transport_hosts_free(struct transport_hosts *hosts)
{
    if (hosts->heads != MPI_COMM_NULL) MPI_Comm_free(&hosts->heads);
    if (hosts->host != MPI_COMM_NULL) MPI_Comm_free(&hosts->host);
}

static status start(int *argc, char ***argv)
{
    int provided = 0;
    host_messages_prepare();
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); /* ns; with the usual 50 us a sleep is late */
#ifdef __SANITIZE_ADDRESS__
    __lsan_disable(); /* what Open MPI's set-up loses is not ours */
#endif
    const int code = MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided);
#ifdef __SANITIZE_ADDRESS__
    __lsan_enable();
#endif
    return transport_check(code, "MPI_Init_thread");
}

status world_create(int *argc, char ***argv, struct world **out)
{
    *out = NULL;
    int provided = 0, started = 0;
    blocking_begin(start_patience);
    MPI_Initialized(&started);
    if (!started) TRY(start(argc, argv));
    MPI_Query_thread(&provided);
    if (provided < MPI_THREAD_SERIALIZED)
        FAIL(STATUS_INTERNAL, "this MPI gives thread level %d, MPI_THREAD_SERIALIZED is needed",
             provided);
    struct world *world = memory_allocate(sizeof *world);
    world->groups = memory_allocate(sizeof *world->groups);
    world->groups->learners = world->groups->weights = MPI_COMM_NULL;
    world->patience = start_patience;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    TRY(transport_check(MPI_Comm_dup(MPI_COMM_WORLD, &world->groups->world), "communicator"));
    TRY(transport_check(MPI_Comm_dup(MPI_COMM_WORLD, &world->groups->messages), "communicator"));
    TRY(rank_in(world->groups->world, &world->rank, &world->size));
    TRY(watchdog_open(world->groups->world, &world->step, world->patience,
                      &world->groups->watchdog));
    MPI_Comm host;
    int host_size;
    TRY(transport_check(MPI_Comm_split_type(world->groups->world, MPI_COMM_TYPE_SHARED, world->rank,
                                            MPI_INFO_NULL, &host),
                        "communicator of the host"));
    TRY(rank_in(host, &world->local_rank, &host_size));
    MPI_Comm_free(&host);
    blocking_end();
    world->roles = roles_of(world->rank, world->size, 1);
    *out = world;
    return NULL;
}

/* "1, 2 or 4" */
static const char *learners_allowed(int ranks, char out[256])
{
    size_t used = 0;
    for (int64_t n = 1; n <= ranks; n *= 2)
        used += (size_t)snprintf(out + used, 256 - used, "%s%lld",
                                 n == 1          ? ""
                                 : 2 * n > ranks ? " or "
                                                 : ", ",
                                 (long long)n);
    return out;
}

status world_roles(struct world *world, int64_t learners, double patience)
{
    char allowed[256];
    if (learners < 1 || (learners & (learners - 1)) || learners > world->size)
        FAIL(STATUS_INPUT,
             "roles.learners: %lld must be a power of two and at most the %d ranks: %s",
             (long long)learners, world->size, learners_allowed(world->size, allowed));
    world->patience = patience;
    watchdog_patience(world->groups->watchdog, patience);
    world->roles = roles_of(world->rank, world->size, (int)learners);
    /* Splitting blocks, so it begins when all are known to be there. */
    TRY(world_barrier(world, "the giving out of roles"));
    blocking_begin(patience);
    if (world->groups->learners != MPI_COMM_NULL) MPI_Comm_free(&world->groups->learners);
    if (world->groups->weights != MPI_COMM_NULL) MPI_Comm_free(&world->groups->weights);
    status s = split(world, world->roles.is_learner, &world->groups->learners);
    if (!s) s = split(world, world->roles.is_actor || world->rank == 0, &world->groups->weights);
    blocking_end();
    return s;
}

void world_destroy(struct world *world)
{
    if (!world) return;
    if (world->groups->broken) return;
    /* What follows blocks, so it begins when all are known to be there. */
    status s = world_barrier(world, "the end of all ranks");
    status_free(s);
    if (s) return;
    transport_self_free(world);
    if (world->groups->learners != MPI_COMM_NULL) MPI_Comm_free(&world->groups->learners);
    if (world->groups->weights != MPI_COMM_NULL) MPI_Comm_free(&world->groups->weights);
    watchdog_close(world->groups->watchdog);
    MPI_Comm_free(&world->groups->messages);
    MPI_Comm_free(&world->groups->world);
    blocking_begin(world->patience);
    free(world->groups);
    free(world);
#ifdef __SANITIZE_ADDRESS__
    /* Now rather than at exit: MPI's threads end in MPI_Finalize without being waited for, and
     * LeakSanitizer crashes over a thread that is on its way out. */
    __lsan_do_leak_check();
#endif
    MPI_Finalize();
    blocking_end();
}

void world_break(struct world *world)
{
    if (world->size == 1) return;
    world->groups->broken = true;
    /* Giving up NCCL could itself hang, and so could MPI_Abort after it. */
    blocking_begin(30);
    for (int i = 0; i < 2; i++) {
        const struct gpu_link *link = &world->groups->gpus[i];
        if (link->give_up) link->give_up(link->group);
    }
}

bool world_is_broken(const struct world *world)
{
    return world->groups->broken;
}

void transport_end(int code)
{
    int started = 0, ended = 0, size = 1;
    MPI_Initialized(&started);
    MPI_Finalized(&ended);
    if (!started || ended) return;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (size > 1) MPI_Abort(MPI_COMM_WORLD, code);
}

const char *world_host(const struct world *world, int rank)
{
    return watchdog_host(world->groups->watchdog, rank);
}

/* ---- collectives ---- */

status world_barrier(struct world *world, const char *what)
{
    MPI_Request request;
    TRY(transport_check(MPI_Ibarrier(world->groups->world, &request), what));
    return transport_wait_slowest(world, &request, what);
}

status world_maximum(struct world *world, int64_t value, int64_t *out)
{
    MPI_Request request;
    *out = value;
    if (world->size == 1) return NULL;
    TRY(transport_check(
        MPI_Iallreduce(MPI_IN_PLACE, out, 1, MPI_INT64_T, MPI_MAX, world->groups->world, &request),
        "agreement"));
    return transport_wait_slowest(world, &request, "agreement");
}

status world_sum(struct world *world, int64_t *values, int64_t count)
{
    MPI_Request request;
    TRY(transport_check(MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_INT64_T, MPI_SUM,
                                       world->groups->world, &request),
                        "sum"));
    return transport_wait_slowest(world, &request, "a sum over all ranks");
}

status transport_broadcast(struct world *world, MPI_Comm comm, void *data, size_t size, int root,
                           const char *what)
{
    for (size_t begin = 0; begin < size; begin += TRANSPORT_CHUNK) {
        size_t part = size - begin < TRANSPORT_CHUNK ? size - begin : TRANSPORT_CHUNK;
        MPI_Request request;
        TRY(transport_check(
            MPI_Ibcast((char *)data + begin, (int)part, MPI_BYTE, root, comm, &request), what));
        TRY(transport_wait_all(world, &request, 1, what));
    }
    return NULL;
}

status world_broadcast(struct world *world, void *data, size_t size, int root)
{
    if (world->size == 1) return NULL;
    timeline_begin(TIME_WAIT_SLOWEST);
    status s = transport_broadcast(world, world->groups->world, data, size, root, "broadcast");
    timeline_end();
    return s;
}

status world_agree(struct world *world, status local)
{
    if (world->size == 1 || (local && world->groups->broken)) return local;
    /* The greatest code wins; among its ranks, the lowest. */
    int64_t mine = (int64_t)status_code(local) * INT_MAX + (local ? world->size - world->rank : 0);
    int64_t greatest = 0;
    status s = world_maximum(world, mine, &greatest);
    if (s || greatest == 0) {
        if (s && local) s = status_context(s, "after \"%s\"", status_message(local));
        status_free(local);
        return s;
    }
    int teller = world->size - (int)(greatest % INT_MAX);
    char text[1600] = "";
    if (teller == world->rank) snprintf(text, sizeof text, "%s", status_message(local));
    if (teller != world->rank && local)
        log_line(LOG_DEBUG, "also failed here: %s", status_message(local));
    status_free(local);
    TRY(world_broadcast(world, text, sizeof text, teller));
    text[sizeof text - 1] = 0;
    char name[32];
    snprintf(name, sizeof name, "rank %d: ", teller);
    const bool named = !strncmp(text, name, strlen(name));
    return ERROR((int)(greatest / INT_MAX), "%s%s", named ? "" : name, text);
}

status actors_broadcast(struct world *world, void *data, size_t size, const char *what)
{
    return transport_broadcast(world, world->groups->weights, data, size, 0, what);
}

bool transport_reads_devices(void)
{
#ifdef MPIX_CUDA_AWARE_SUPPORT
    return MPIX_Query_cuda_support() == 1;
#else
    return false;
#endif
}

void transport_library_version(char out[LIBRARY_VERSION_TEXT])
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Get_library_version(text, &length);
    snprintf(out, LIBRARY_VERSION_TEXT, "%.*s", (int)strcspn(text, ",\n"), text);
}
