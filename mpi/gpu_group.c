/* See gpu_group.h. */
#include "mpi/gpu_group.h"

#include "mpi/transport_mpi.h"
#include "src/base/log.h"
#include "src/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gpu_group {
    struct world *world;
    const struct collectives *calls;
    struct collective *link; /* NULL after an abort */
    enum gpu_members members;
};

/* What a rank says about itself. */
struct card {
    char host[96]; /* name and boot: as NCCL tells machines apart */
    char device[COLLECTIVE_DEVICE_BYTES];
    int64_t size;
    int usable; /* has a GPU and the calls */
    int gpu;    /* has a GPU */
    int off, force;
};

static const char *const member_names[] = {[GPU_LEARNERS] = "gradients", [GPU_WEIGHTS] = "weights"};

static MPI_Comm group_comm(const struct world *world, enum gpu_members members)
{
    return members == GPU_LEARNERS ? world->groups->learners : world->groups->weights;
}

/* NCCL_HOSTID is what NCCL itself takes instead. */
static void host_name(char name[96])
{
    char boot[64] = "";
    const char *given = getenv("NCCL_HOSTID");
    if (given) {
        snprintf(name, 96, "%s", given);
        return;
    }
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (file) {
        if (!fgets(boot, sizeof boot, file)) boot[0] = 0;
        fclose(file);
    }
    boot[strcspn(boot, "\n")] = 0;
    gethostname(name, 48);
    name[47] = 0;
    snprintf(name + strlen(name), 48, " %s", boot);
}

static status card_fill(const struct collectives *calls, struct queue *queue, int64_t size,
                        struct card *card)
{
    const char *wish = getenv("REGARD_NCCL");
    memset(card, 0, sizeof *card);
    host_name(card->host);
    card->size = size;
    card->gpu = !queue->on_host;
    card->off = wish && !strcmp(wish, "off");
    card->force = wish && !strcmp(wish, "force");
    if (calls) TRY(calls->device_name(queue, card->device));
    card->usable = calls != NULL;
    return NULL;
}

/* All cards in the order of the group's ranks. */
static status cards_gather(struct world *world, MPI_Comm comm, const struct card *mine,
                           struct card *cards)
{
    MPI_Request request;
    TRY(transport_check(MPI_Iallgather(mine, (int)sizeof *mine, MPI_BYTE, cards, (int)sizeof *mine,
                                       MPI_BYTE, comm, &request),
                        "the comparison of GPUs"));
    return transport_wait_all(world, &request, 1, "the comparison of GPUs");
}

/* Why not, in `why`; empty: they can.  The same on all ranks. */
static void cards_compare(const struct card *cards, int ranks, char why[256])
{
    why[0] = 0;
    for (int i = 0; i < ranks; i++) {
        if (cards[i].off) {
            snprintf(why, 256, "REGARD_NCCL is off");
            return;
        }
        if (!cards[i].usable) {
            snprintf(why, 256, cards[i].gpu ? "the CUDA module has no NCCL" : "a rank has no GPU");
            return;
        }
    }
    for (int i = 0; i < ranks && !cards[0].force; i++) {
        int sharing = 1;
        for (int k = i + 1; k < ranks; k++)
            sharing +=
                !strcmp(cards[k].host, cards[i].host) && !strcmp(cards[k].device, cards[i].device);
        if (sharing == 1) continue;
        snprintf(why, 256, "NCCL needs a GPU a rank: %d ranks share %s of %.*s", sharing,
                 cards[i].device, (int)strcspn(cards[i].host, " "), cards[i].host);
        return;
    }
}

static status group_wait(struct gpu_group *group, enum collective_progress until, const char *what)
{
    struct transport_wait wait;
    transport_wait_begin(&wait);
    for (;;) {
        enum collective_progress progress;
        status s = group->calls->poll(group->link, &progress);
        if (s) {
            gpu_group_abort(group);
            return status_context(s, "rank %d: %s, step %lld", group->world->rank, what,
                                  (long long)group->world->step);
        }
        if (progress >= until) return NULL;
        transport_wait_more(group->world, &wait, what);
    }
}

static status group_connect(struct gpu_group *group, struct queue *queue, MPI_Comm comm, int rank,
                            int ranks)
{
    struct world *world = group->world;
    char id[COLLECTIVE_ID_BYTES] = "";
    status s = rank == 0 ? group->calls->identify(id) : NULL;
    /* An id that could not be made is all zeros, so that nobody waits for one. */
    TRY(transport_broadcast(world, comm, id, sizeof id, 0, "the exchange of NCCL's id"));
    if (s) return s;
    bool made = false;
    for (size_t i = 0; i < sizeof id; i++) made = made || id[i];
    if (!made) FAIL(STATUS_INTERNAL, "rank %d: no NCCL id came", world->rank);
    TRY(group->calls->begin(queue, id, rank, ranks, &group->link));
    return group_wait(group, COLLECTIVE_DONE, "first contact of NCCL");
}

static status sizes_check(const struct world *world, const struct card *cards, int ranks)
{
    for (int i = 1; i < ranks; i++)
        if (cards[i].size != cards[0].size)
            FAIL(STATUS_INTERNAL, "rank %d: models of %lld and %lld weights", world->rank,
                 (long long)cards[0].size, (long long)cards[i].size);
    return NULL;
}

status gpu_group_open(struct world *world, struct queue *queue, enum gpu_members members,
                      int64_t size, struct gpu_group **out)
{
    *out = NULL;
    const MPI_Comm comm = group_comm(world, members);
    int rank, ranks;
    if (comm == MPI_COMM_NULL) return NULL;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &ranks);
    if (ranks == 1) return NULL;
    const struct collectives *calls = collectives_of(queue);
    struct card mine, *cards = memory_allocate((size_t)ranks * sizeof *cards);
    char why[256];
    status bad =
        card_fill(calls, queue, size, &mine); /* the others wait for the card all the same */
    status s = status_first(cards_gather(world, comm, &mine, cards), bad);
    if (!s) s = sizes_check(world, cards, ranks);
    if (!s) cards_compare(cards, ranks, why);
    const bool any = !s && cards[0].gpu;
    free(cards);
    if (s) return s;
    if (why[0]) {
        if (any && rank == 0) log_line(LOG_INFO, "%s; %s go by MPI", why, member_names[members]);
        return NULL;
    }
    struct gpu_group *group = memory_allocate(sizeof *group);
    *group = (struct gpu_group){.world = world, .calls = calls, .members = members};
    s = group_connect(group, queue, comm, rank, ranks);
    if (s) {
        gpu_group_abort(group);
        free(group);
        return s;
    }
    if (rank == 0) log_line(LOG_DEBUG, "%s go by NCCL", member_names[members]);
    world->groups->gpus[members] = (struct gpu_link){gpu_group_abort, group};
    *out = group;
    return NULL;
}

void gpu_group_abort(struct gpu_group *group)
{
    if (!group || !group->link) return;
    group->calls->abort(group->link);
    group->link = NULL;
}

status gpu_group_close(struct gpu_group *group)
{
    if (!group) return NULL;
    status s = NULL;
    if (group->link) s = group->calls->finish(group->link);
    if (!s && group->link) s = group_wait(group, COLLECTIVE_DONE, "end of NCCL");
    if (group->link && !s) group->calls->destroy(group->link);
    if (s) gpu_group_abort(group);
    group->world->groups->gpus[group->members] = (struct gpu_link){0};
    free(group);
    return s;
}

static status group_call(struct gpu_group *group, float *values,
                         const struct collective_range *ranges, int count, bool reduce,
                         const char *what)
{
    if (!group->link)
        FAIL(STATUS_INTERNAL, "rank %d: %s after NCCL was given up", group->world->rank, what);
    status s = reduce ? group->calls->reduce(group->link, values, ranges, count)
                      : group->calls->broadcast(group->link, values, ranges, count);
    if (!s) return group_wait(group, COLLECTIVE_RUNNING, what);
    s = status_context(s, "rank %d: %s, step %lld", group->world->rank, what,
                       (long long)group->world->step);
    gpu_group_abort(group);
    return s;
}

status gpu_group_reduce(struct gpu_group *group, float *values,
                        const struct collective_range *ranges, int count, const char *what)
{
    return group_call(group, values, ranges, count, true, what);
}

status gpu_group_broadcast(struct gpu_group *group, float *values,
                           const struct collective_range *ranges, int count, const char *what)
{
    return group_call(group, values, ranges, count, false, what);
}

status gpu_group_finish(struct gpu_group *group, const char *what)
{
    if (!group->link)
        FAIL(STATUS_INTERNAL, "rank %d: %s after NCCL was given up", group->world->rank, what);
    return group_wait(group, COLLECTIVE_DONE, what);
}
