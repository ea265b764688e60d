/* transport.h over MPI.  Owns the communicators.  Only nonblocking calls are used after
 * set-up; every wait tests, sleeps 50 to 1000 us and gives up at the watchdog's deadline.
 * What a rank sends to itself never touches MPI: it waits in a list of its own. */
#include "mpi/transport_mpi.h"

#include "src/base/arena.h"
#include "src/base/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK_BYTES = 1 << 30, SUM_CHUNK = 1 << 22, CONTROL_TAG = 2000 };

struct self_message {
    struct self_message *next;
    void *data;
    size_t size;
    int tag;
};

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
    clock_gettime(CLOCK_MONOTONIC, &wait->since);
    wait->tests = 0;
    wait->sleep_us = 50;
}

/* A few tests without sleep, since most answers are there already; then longer and longer. */
status transport_wait_more(const struct world *world, struct transport_wait *wait, const char *what)
{
    if (++wait->tests < 50) return NULL;
    struct timespec now, pause = {0, wait->sleep_us * 1000};
    clock_gettime(CLOCK_MONOTONIC, &now);
    double waited = (double)(now.tv_sec - wait->since.tv_sec) +
                    (double)(now.tv_nsec - wait->since.tv_nsec) * 1e-9;
    if (waited > world->patience)
        FAIL(STATUS_INTERNAL,
             "rank %d waited %.0f s for %s at step %lld (watchdog.seconds): another rank is dead, "
             "stopped or cut off",
             world->rank, waited, what, (long long)world->step);
    nanosleep(&pause, NULL);
    wait->sleep_us += wait->sleep_us / 8;
    if (wait->sleep_us > 1000) wait->sleep_us = 1000;
    return NULL;
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
        TRY(transport_wait_more(world, &wait, what));
    }
}

/* ---- set-up ---- */

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

status world_create(int *argc, char ***argv, struct world **out)
{
    *out = NULL;
    int provided = 0, started = 0;
    MPI_Initialized(&started);
    if (!started)
        TRY(transport_check(MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided),
                            "MPI_Init_thread"));
    MPI_Query_thread(&provided);
    if (provided < MPI_THREAD_SERIALIZED)
        FAIL(STATUS_INTERNAL, "this MPI gives thread level %d, MPI_THREAD_SERIALIZED is needed",
             provided);
    struct world *world = memory_allocate(sizeof *world);
    world->groups = memory_allocate(sizeof *world->groups);
    world->groups->learners = world->groups->weights = MPI_COMM_NULL;
    world->patience = 600;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    TRY(transport_check(MPI_Comm_dup(MPI_COMM_WORLD, &world->groups->world), "communicator"));
    TRY(transport_check(MPI_Comm_dup(MPI_COMM_WORLD, &world->groups->messages), "communicator"));
    TRY(rank_in(world->groups->world, &world->rank, &world->size));
    MPI_Comm host;
    int host_size;
    TRY(transport_check(MPI_Comm_split_type(world->groups->world, MPI_COMM_TYPE_SHARED, world->rank,
                                            MPI_INFO_NULL, &host),
                        "communicator of the host"));
    TRY(rank_in(host, &world->local_rank, &host_size));
    MPI_Comm_free(&host);
    world->learners = 1;
    world->actors = world->size;
    world->is_learner = world->rank == 0;
    world->is_actor = true;
    world->learner = world->is_learner ? 0 : -1;
    world->actor = world->rank;
    *out = world;
    return NULL;
}

status world_roles(struct world *world, int64_t learners, double patience)
{
    if (learners < 1 || (learners & (learners - 1)) || learners > world->size)
        FAIL(STATUS_INPUT, "roles.learners: %lld must be a power of two and at most the %d ranks",
             (long long)learners, world->size);
    world->patience = patience;
    world->learners = (int)learners;
    bool all_learn = world->learners == world->size;
    world->is_learner = world->rank < world->learners;
    world->is_actor = all_learn || !world->is_learner;
    world->actors = all_learn ? world->size : world->size - world->learners;
    world->learner = world->is_learner ? world->rank : -1;
    world->actor = all_learn ? world->rank : world->is_actor ? world->rank - world->learners : -1;
    /* Splitting blocks without a deadline, so it begins when all are known to be there. */
    TRY(world_barrier(world, "roles"));
    if (world->groups->learners != MPI_COMM_NULL) MPI_Comm_free(&world->groups->learners);
    if (world->groups->weights != MPI_COMM_NULL) MPI_Comm_free(&world->groups->weights);
    TRY(split(world, world->is_learner, &world->groups->learners));
    return split(world, world->is_actor || world->rank == 0, &world->groups->weights);
}

void world_destroy(struct world *world)
{
    if (!world) return;
    while (world->groups->self) {
        struct self_message *m = world->groups->self;
        world->groups->self = m->next;
        free(m->data);
        free(m);
    }
    if (world->groups->learners != MPI_COMM_NULL) MPI_Comm_free(&world->groups->learners);
    if (world->groups->weights != MPI_COMM_NULL) MPI_Comm_free(&world->groups->weights);
    MPI_Comm_free(&world->groups->messages);
    MPI_Comm_free(&world->groups->world);
    free(world->groups);
    free(world);
    MPI_Finalize();
}

_Noreturn void world_abort(struct world *world, status s)
{
    int code = s ? status_code(s) : STATUS_INTERNAL;
    fprintf(stderr, "regard: %s\n", s ? status_message(s) : "aborted");
    fflush(stderr);
    if (world && world->size > 1) MPI_Abort(MPI_COMM_WORLD, code);
    _Exit(code);
}

int world_actor_rank(const struct world *world, int actor)
{
    return world->learners == world->size ? actor : world->learners + actor;
}

/* ---- collectives ---- */

status world_barrier(struct world *world, const char *what)
{
    MPI_Request request;
    TRY(transport_check(MPI_Ibarrier(world->groups->world, &request), what));
    return transport_wait_all(world, &request, 1, what);
}

status world_maximum(struct world *world, int64_t value, int64_t *out)
{
    MPI_Request request;
    *out = value;
    if (world->size == 1) return NULL;
    TRY(transport_check(
        MPI_Iallreduce(MPI_IN_PLACE, out, 1, MPI_INT64_T, MPI_MAX, world->groups->world, &request),
        "agreement"));
    return transport_wait_all(world, &request, 1, "agreement");
}

status transport_broadcast(struct world *world, MPI_Comm comm, void *data, size_t size, int root,
                           const char *what)
{
    for (size_t begin = 0; begin < size; begin += CHUNK_BYTES) {
        size_t part = size - begin < CHUNK_BYTES ? size - begin : CHUNK_BYTES;
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
    return transport_broadcast(world, world->groups->world, data, size, root, "broadcast");
}

status world_broadcast_bytes(struct world *world, void **data, size_t *size, int root)
{
    uint64_t wide = *size;
    TRY(world_broadcast(world, &wide, sizeof wide, root));
    if (world->rank != root) {
        *size = wide;
        *data = memory_allocate(*size + 1);
    }
    return world_broadcast(world, *data, *size, root);
}

status world_agree(struct world *world, status local)
{
    if (world->size == 1) return local;
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
    return ERROR((int)(greatest / INT_MAX), "rank %d: %s", teller, text);
}

status world_gather(struct world *world, const void *data, size_t size, char **all, size_t **sizes)
{
    *all = NULL;
    *sizes = NULL;
    if (world->rank != 0) return world_send(world, data, size, 0, CONTROL_TAG, "gather");
    size_t total = size;
    *sizes = memory_allocate((size_t)world->size * sizeof **sizes);
    *all = memory_allocate(size + 1);
    if (size) memcpy(*all, data, size);
    (*sizes)[0] = size;
    for (int rank = 1; rank < world->size; rank++) {
        void *part;
        status s = world_receive(world, rank, CONTROL_TAG, "gather", &part, &(*sizes)[rank], NULL);
        if (s) {
            free(*all);
            free(*sizes);
            *all = NULL;
            *sizes = NULL;
            return s;
        }
        *all = memory_resize(*all, total + (*sizes)[rank] + 1);
        if ((*sizes)[rank]) memcpy(*all + total, part, (*sizes)[rank]);
        total += (*sizes)[rank];
        free(part);
    }
    return NULL;
}

/* ---- learners ---- */

status learners_barrier(struct world *world)
{
    MPI_Request request;
    if (world->learners == 1) return NULL;
    TRY(transport_check(MPI_Ibarrier(world->groups->learners, &request), "learners' barrier"));
    return transport_wait_all(world, &request, 1, "learners' barrier");
}

/* Sends and receives count elements of a chunk with a partner. */
static status exchange(struct world *world, const void *mine, void *theirs, int count,
                       MPI_Datatype type, int partner)
{
    MPI_Request requests[2];
    const char *what = "gradient exchange between learners";
    TRY(transport_check(
        MPI_Irecv(theirs, count, type, partner, CONTROL_TAG, world->groups->learners, &requests[0]),
        what));
    TRY(transport_check(
        MPI_Isend(mine, count, type, partner, CONTROL_TAG, world->groups->learners, &requests[1]),
        what));
    return transport_wait_all(world, requests, 2, what);
}

/* Level by level with the partner whose index differs in that bit.  Addition commutes, so
 * lower + higher and higher + lower have the same bits on both sides. */
status learners_tree_sum(struct world *world, float *gradient, int64_t count)
{
    if (world->learners == 1) return NULL;
    float *theirs = memory_allocate(SUM_CHUNK * sizeof *theirs);
    status s = NULL;
    for (int bit = 1; bit < world->learners && !s; bit <<= 1)
        for (int64_t begin = 0; begin < count && !s; begin += SUM_CHUNK) {
            int part = count - begin < SUM_CHUNK ? (int)(count - begin) : SUM_CHUNK;
            float *mine = gradient + begin;
            s = exchange(world, mine, theirs, part, MPI_FLOAT, world->learner ^ bit);
            if (!s)
                for (int i = 0; i < part; i++) mine[i] += theirs[i];
        }
    free(theirs);
    return s;
}

status learners_tree_sum_doubles(struct world *world, double *values, int64_t count)
{
    if (world->learners == 1) return NULL;
    if (count > SUM_CHUNK) FAIL(STATUS_INTERNAL, "too many doubles in one learners' sum");
    double *theirs = memory_allocate((size_t)count * sizeof *theirs + 1);
    status s = NULL;
    for (int bit = 1; bit < world->learners && !s; bit <<= 1) {
        s = exchange(world, values, theirs, (int)count, MPI_DOUBLE, world->learner ^ bit);
        if (!s)
            for (int64_t i = 0; i < count; i++) values[i] += theirs[i];
    }
    free(theirs);
    return s;
}

status learners_allgather(struct world *world, float *values, const int64_t *offset,
                          const int64_t *count)
{
    if (world->learners == 1) return NULL;
    for (int l = 0; l < world->learners; l++)
        TRY(transport_broadcast(world, world->groups->learners, values + offset[l],
                                (size_t)count[l] * sizeof *values, l, "learners' slices"));
    return NULL;
}

status learners_allgather_bytes(struct world *world, const void *data, size_t size, char **all,
                                size_t **sizes)
{
    MPI_Comm comm = world->groups->learners;
    const char *what = "learners' gather";
    size_t total = 0;
    *sizes = memory_allocate((size_t)world->learners * sizeof **sizes);
    *all = NULL;
    status s = NULL;
    for (int l = 0; l < world->learners && !s; l++) {
        uint64_t wide = size;
        if (world->learners > 1) s = transport_broadcast(world, comm, &wide, sizeof wide, l, what);
        if (s) break;
        (*sizes)[l] = wide;
        *all = memory_resize(*all, total + wide + 1);
        if (l == world->learner && size) memcpy(*all + total, data, size);
        if (world->learners > 1) s = transport_broadcast(world, comm, *all + total, wide, l, what);
        total += wide;
    }
    if (s) {
        free(*all);
        free(*sizes);
        *all = NULL;
        *sizes = NULL;
    }
    return s;
}

/* ---- messages: eight bytes of size, then the bytes in chunks ---- */

static void self_add(struct world *world, const void *data, size_t size, int tag)
{
    struct self_message *m = memory_allocate(sizeof *m), **last = &world->groups->self;
    m->data = memory_allocate(size + 1);
    if (size) memcpy(m->data, data, size);
    m->size = size;
    m->tag = tag;
    while (*last) last = &(*last)->next;
    *last = m;
}

static bool self_take(struct world *world, int tag, void **data, size_t *size)
{
    for (struct self_message **at = &world->groups->self; *at; at = &(*at)->next)
        if ((*at)->tag == tag) {
            struct self_message *m = *at;
            *data = m->data;
            *size = m->size;
            *at = m->next;
            free(m);
            return true;
        }
    return false;
}

void transport_send_release(struct transport_send *send)
{
    free(send->requests);
    free(send->size);
    *send = (struct transport_send){0};
}

status transport_send_begin(struct world *world, struct transport_send *send, const void *data,
                            size_t size, int to, int tag)
{
    *send = (struct transport_send){0};
    if (to < 0 || to >= world->size)
        FAIL(STATUS_INTERNAL, "message to rank %d of %d", to, world->size);
    if (to == world->rank) {
        self_add(world, data, size, tag);
        return NULL;
    }
    size_t chunks = (size + CHUNK_BYTES - 1) / CHUNK_BYTES;
    send->size = memory_allocate(sizeof *send->size);
    *send->size = size;
    send->requests = memory_allocate((chunks + 1) * sizeof *send->requests);
    MPI_Comm comm = world->groups->messages;
    TRY(transport_check(MPI_Isend(send->size, sizeof *send->size, MPI_BYTE, to, tag, comm,
                                  &send->requests[send->count++]),
                        "send"));
    for (size_t begin = 0; begin < size; begin += CHUNK_BYTES) {
        size_t part = size - begin < CHUNK_BYTES ? size - begin : CHUNK_BYTES;
        TRY(transport_check(MPI_Isend((const char *)data + begin, (int)part, MPI_BYTE, to, tag,
                                      comm, &send->requests[send->count++]),
                            "send"));
    }
    return NULL;
}

status world_send(struct world *world, const void *data, size_t size, int to, int tag,
                  const char *what)
{
    struct transport_send send;
    TRY(transport_send_begin(world, &send, data, size, to, tag));
    status s = NULL;
    if (send.count) s = transport_wait_all(world, send.requests, send.count, what);
    transport_send_release(&send);
    return s;
}

/* Waits for a message with the tag to be there and tells its sender. */
static status probe(struct world *world, int from, int tag, const char *what, int *sender)
{
    struct transport_wait wait;
    transport_wait_begin(&wait);
    for (;;) {
        int there = 0;
        MPI_Status about;
        TRY(transport_check(MPI_Iprobe(from < 0 ? MPI_ANY_SOURCE : from, tag,
                                       world->groups->messages, &there, &about),
                            what));
        if (there) {
            *sender = about.MPI_SOURCE;
            return NULL;
        }
        TRY(transport_wait_more(world, &wait, what));
    }
}

status world_receive(struct world *world, int from, int tag, const char *what, void **data,
                     size_t *size, int *sender)
{
    *data = NULL;
    *size = 0;
    if ((from < 0 || from == world->rank) && self_take(world, tag, data, size)) {
        if (sender) *sender = world->rank;
        return NULL;
    }
    if (from == world->rank || world->size == 1)
        FAIL(STATUS_INTERNAL, "rank %d waits for %s from itself and has sent none", world->rank,
             what);
    MPI_Comm comm = world->groups->messages;
    MPI_Request request;
    int source = 0;
    uint64_t wide = 0;
    TRY(probe(world, from, tag, what, &source));
    TRY(transport_check(MPI_Irecv(&wide, sizeof wide, MPI_BYTE, source, tag, comm, &request),
                        what));
    TRY(transport_wait_all(world, &request, 1, what));
    if (wide > (uint64_t)1 << 40)
        FAIL(STATUS_INTERNAL, "rank %d announced a message of %llu bytes (%s)", source,
             (unsigned long long)wide, what);
    char *bytes = memory_allocate(wide + 1);
    for (size_t begin = 0; begin < wide; begin += CHUNK_BYTES) {
        size_t part = wide - begin < CHUNK_BYTES ? wide - begin : CHUNK_BYTES;
        TRY(transport_check(
            MPI_Irecv(bytes + begin, (int)part, MPI_BYTE, source, tag, comm, &request), what));
        TRY(transport_wait_all(world, &request, 1, what));
    }
    *data = bytes;
    *size = wide;
    if (sender) *sender = source;
    return NULL;
}

void transport_library_version(char out[LIBRARY_VERSION_TEXT])
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Get_library_version(text, &length);
    snprintf(out, LIBRARY_VERSION_TEXT, "%.*s", (int)strcspn(text, ",\n"), text);
}
