/* See run_end.h.  Messages of their own communicator: nobody has to take part in what is not for
 * it, as in a broadcast, where one actor would wait for another. */
#include "mpi/run_end.h"

#include "mpi/signals.h"
#include "mpi/transport_mpi.h"
#include "src/base/memory.h"

#include <stdlib.h>

enum { TAG_END = 1, TAG_ASK = 2 };
static const char name[] = "the end of the run";

struct run_end {
    struct world *world;
    MPI_Comm comm;
    bool asked;   /* an actor has passed on its signal */
    int64_t asks; /* learner 0: that came */
    bool heard;   /* an actor: the end was told */
    int64_t why;  /* then */
};

status run_end_open(struct world *world, struct run_end **out)
{
    MPI_Request request;
    struct run_end *end = memory_allocate(sizeof *end);
    *out = end;
    *end = (struct run_end){.world = world, .comm = MPI_COMM_NULL};
    TRY(transport_check(MPI_Comm_idup(world->groups->world, &end->comm, &request), "communicator"));
    TRY(transport_wait_slowest(world, &request, "the communicator of the run's end"));
    MPI_Comm_set_errhandler(end->comm, MPI_ERRORS_RETURN);
    return NULL;
}

void run_end_close(struct run_end *end)
{
    if (!end) return;
    if (end->comm != MPI_COMM_NULL && !world_is_broken(end->world)) MPI_Comm_free(&end->comm);
    free(end);
}

/* A message so short that it leaves at once. */
static status send(struct run_end *end, int64_t value, int to, int tag)
{
    MPI_Request request;
    TRY(transport_check(MPI_Isend(&value, 1, MPI_INT64_T, to, tag, end->comm, &request), name));
    return transport_wait_all(end->world, &request, 1, name);
}

/* Where one is there. */
static status receive(struct run_end *end, int from, int tag, bool *there, int64_t *value)
{
    MPI_Status about;
    MPI_Request request;
    int found = 0;
    *there = false;
    TRY(transport_check(MPI_Iprobe(from, tag, end->comm, &found, &about), name));
    if (!found) return NULL;
    *there = true;
    TRY(transport_check(
        MPI_Irecv(value, 1, MPI_INT64_T, about.MPI_SOURCE, tag, end->comm, &request), name));
    return transport_wait_all(end->world, &request, 1, name);
}

/* ---- learners ---- */

status run_end_agree(struct run_end *end, int64_t value, int64_t *out)
{
    MPI_Request request;
    *out = value;
    if (end->world->roles.learners == 1) return NULL;
    TRY(transport_check(MPI_Iallreduce(MPI_IN_PLACE, out, 1, MPI_INT64_T, MPI_MAX,
                                       end->world->groups->learners, &request),
                        "agreement"));
    return transport_wait_slowest(end->world, &request, "agreement");
}

status run_end_asked(struct run_end *end, bool *asked)
{
    int64_t value;
    bool there = true;
    while (there) {
        TRY(receive(end, MPI_ANY_SOURCE, TAG_ASK, &there, &value));
        end->asks += there;
    }
    *asked = end->asks > 0;
    return NULL;
}

status run_end_tell(struct run_end *end, int64_t why)
{
    const struct world *world = end->world;
    for (int rank = world->roles.learners; rank < world->size; rank++)
        TRY(send(end, why, rank, TAG_END));
    return NULL;
}

status run_end_finish(struct run_end *end)
{
    struct transport_wait wait;
    int64_t asks = end->asked;
    bool asked;
    TRY(world_sum(end->world, &asks, 1));
    if (end->world->rank != 0) return NULL;
    transport_wait_begin(&wait);
    for (;;) {
        TRY(run_end_asked(end, &asked));
        if (end->asks == asks) return NULL;
        transport_wait_more(end->world, &wait, name);
    }
}

/* ---- actors ---- */

status run_end_heard(struct run_end *end, bool *heard, int64_t *why)
{
    if (!end->asked && signals_stop_asked()) {
        end->asked = true;
        TRY(send(end, 0, 0, TAG_ASK));
    }
    if (!end->heard) TRY(receive(end, 0, TAG_END, &end->heard, &end->why));
    *heard = end->heard;
    *why = end->why;
    return NULL;
}

status run_end_wait(struct run_end *end, bool (*there)(void *context), void *context,
                    const char *what, bool *heard, int64_t *why)
{
    struct transport_wait wait;
    transport_wait_begin(&wait);
    for (;;) {
        TRY(run_end_heard(end, heard, why));
        if (*heard || (there && there(context))) return NULL;
        transport_wait_more(end->world, &wait, what);
    }
}
