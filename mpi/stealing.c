/* See stealing.h. */
#include "mpi/stealing.h"

#include "mpi/transport_mpi.h"
#include "src/base/config.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/timeline.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Batches of which a rank may be asked at one time: of those that actors are ahead of it. */
enum { ROWS = PIPELINE_LAG_MAX + 2, TAG_ASK = 1, TAG_ANSWER = 2, ASKED_MOST = 8 };
static const long pause_ns = 1000000; /* of the answering thread */

/* What this actor has not begun of a batch. */
struct row {
    int64_t batch; /* -1: none yet */
    int64_t first, end;
};

struct stealing {
    struct world *world;
    MPI_Comm comm;
    int64_t part;
    struct slice slice;   /* this actor's of a batch */
    pthread_mutex_t lock; /* rows */
    struct row rows[ROWS];
    int64_t taken, given; /* dialogues, of other actors' slices and of this one's */
    int64_t asked;        /* actors that had nothing left of the batch `asked_batch` */
    int64_t asked_batch;  /* asked about last */
    pthread_t thread;
    bool running;
    atomic_bool stopping;
};

/* ---- what there is ---- */

/* NULL: the batch is over. */
static struct row *row_of(struct stealing *s, int64_t batch)
{
    struct row *row = &s->rows[batch % ROWS];
    if (row->batch > batch) return NULL;
    if (row->batch < batch)
        *row = (struct row){batch, s->slice.first, s->slice.first + s->slice.count};
    return row;
}

/* The first part, or the last. */
static struct slice part_take(struct stealing *s, int64_t batch, bool last)
{
    struct slice part = {0, 0};
    pthread_mutex_lock(&s->lock);
    struct row *row = row_of(s, batch);
    if (row && row->first < row->end) {
        const int64_t left = row->end - row->first;
        part.count = left < s->part ? left : s->part;
        part.first = last ? row->end - part.count : row->first;
        if (last)
            row->end -= part.count;
        else
            row->first += part.count;
    }
    pthread_mutex_unlock(&s->lock);
    return part;
}

/* ---- the thread that answers ---- */

static void *answer(void *context)
{
    struct stealing *s = context;
    const struct timespec pause = {0, pause_ns};
    MPI_Request request;
    int64_t batch;
    bool active = true;
    MPI_Recv_init(&batch, 1, MPI_INT64_T, MPI_ANY_SOURCE, TAG_ASK, s->comm, &request);
    MPI_Start(&request);
    while (!atomic_load(&s->stopping)) {
        MPI_Status about;
        int there = 0;
        active = MPI_Test(&request, &there, &about) == MPI_SUCCESS;
        if (!active) break;
        if (!there) {
            nanosleep(&pause, NULL);
            continue;
        }
        const struct slice part = part_take(s, batch, true);
        const int64_t text[2] = {part.first, part.count};
        s->given += part.count;
        MPI_Send(text, 2, MPI_INT64_T, about.MPI_SOURCE, TAG_ANSWER, s->comm);
        MPI_Start(&request);
    }
    if (active) { /* only such a one may be cancelled */
        MPI_Cancel(&request);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    MPI_Request_free(&request);
    return NULL;
}

static status thread_begin(struct stealing *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int refused = pthread_create(&s->thread, NULL, answer, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (refused)
        FAIL(STATUS_INTERNAL, "rollout.steal: no thread to answer with: %s", strerror(refused));
    s->running = true;
    return NULL;
}

status stealing_open(struct world *world, int64_t dialogues, int64_t part, struct stealing **out)
{
    const int actors = world->roles.actors;
    int level = 0;
    MPI_Request request;
    *out = NULL;
    if (actors < 2 || part * actors >= dialogues) return NULL; /* nothing is left once all began */
    MPI_Query_thread(&level);
    if (level < MPI_THREAD_MULTIPLE) {
        if (world->rank == 0)
            log_line(LOG_WARNING, "rollout.steal does nothing here: this MPI allows calls by one "
                                  "thread alone");
        return NULL;
    }
    struct stealing *s = memory_allocate(sizeof *s);
    *s = (struct stealing){.world = world,
                           .comm = MPI_COMM_NULL,
                           .part = part,
                           .slice = roles_generated(&world->roles, dialogues),
                           .asked_batch = -1};
    for (int i = 0; i < ROWS; i++) s->rows[i].batch = -1;
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    TRY(transport_check(MPI_Comm_idup(world->groups->world, &s->comm, &request), "communicator"));
    TRY(transport_wait_slowest(world, &request, "the communicator of rollout.steal"));
    MPI_Comm_set_errhandler(s->comm, MPI_ERRORS_RETURN);
    return world->roles.is_actor ? thread_begin(s) : NULL;
}

void stealing_close(struct stealing *s)
{
    if (!s) return;
    atomic_store(&s->stopping, true);
    if (s->running) {
        pthread_join(s->thread, NULL);
        log_line(LOG_DEBUG, "rollout.steal: took %lld dialogues of other actors' slices, gave %lld",
                 (long long)s->taken, (long long)s->given);
    }
    if (s->comm != MPI_COMM_NULL) MPI_Comm_free(&s->comm);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- asking ---- */

static status ask(struct stealing *s, int actor, int64_t batch, struct slice *part)
{
    static const char what[] = "another actor's answer, what is left of its slice";
    const struct world *world = s->world;
    const int rank = roles_both(&world->roles) ? actor : actor + world->roles.learners;
    int64_t text[2] = {0, 0};
    MPI_Request requests[2];
    TRY(transport_check(MPI_Irecv(text, 2, MPI_INT64_T, rank, TAG_ANSWER, s->comm, &requests[0]),
                        what));
    TRY(transport_check(MPI_Isend(&batch, 1, MPI_INT64_T, rank, TAG_ASK, s->comm, &requests[1]),
                        what));
    TRY(transport_wait_all(world, requests, 2, what));
    *part = (struct slice){text[0], text[1]};
    s->taken += part->count;
    return NULL;
}

/* From the next actor on; one that has nothing is not asked about the batch again. */
static status others_ask(struct stealing *s, int64_t batch, struct slice *part)
{
    const struct roles *roles = &s->world->roles;
    const int64_t others = roles->actors - 1, most = others < ASKED_MOST ? others : ASKED_MOST;
    if (s->asked_batch != batch) {
        s->asked_batch = batch;
        s->asked = 0;
    }
    for (; s->asked < most; s->asked++) {
        TRY(ask(s, (int)((roles->actor + 1 + s->asked) % roles->actors), batch, part));
        if (part->count) return NULL;
    }
    return NULL;
}

status stealing_next(struct stealing *s, int64_t batch, struct slice *part)
{
    *part = part_take(s, batch, false);
    if (part->count) return NULL;
    timeline_begin(TIME_WAIT_SLOWEST);
    status error = others_ask(s, batch, part);
    timeline_end();
    return error;
}
