/* What learners do together, over MPI: barrier and gather.  Large vectors are values_mpi.c's. */
#include "mpi/transport_mpi.h"
#include "src/base/memory.h"
#include "src/base/timeline.h"

#include <stdlib.h>
#include <string.h>

static const char gather_name[] = "learners' gather";

status learners_barrier(struct world *world)
{
    MPI_Request request;
    if (world->roles.learners == 1) return NULL;
    TRY(transport_check(MPI_Ibarrier(world->groups->learners, &request), "learners' barrier"));
    return transport_wait_slowest(world, &request, "learners' barrier");
}

/* What one round of a gather takes of each learner, in bytes: nearly always all of it. */
static size_t round_bytes(const struct world *world)
{
    return (size_t)TRANSPORT_CHUNK / (size_t)world->roles.learners;
}

/* What every learner has from byte `begin` on, at most round_bytes, into its place of `all`. */
static status gather_round(struct world *world, const char *data, const size_t *sizes, size_t begin,
                           char *all)
{
    const int learners = world->roles.learners;
    const size_t most = round_bytes(world);
    int *counts = memory_allocate((size_t)learners * sizeof *counts);
    int *places = memory_allocate((size_t)learners * sizeof *places);
    int total = 0;
    for (int l = 0; l < learners; l++) {
        const size_t left = sizes[l] > begin ? sizes[l] - begin : 0;
        counts[l] = (int)(left < most ? left : most);
        places[l] = total;
        total += counts[l];
    }
    char *round = memory_allocate((size_t)total + 1);
    const int mine = counts[world->roles.learner];
    MPI_Request request;
    status s =
        transport_check(MPI_Iallgatherv(mine ? data + begin : NULL, mine, MPI_BYTE, round, counts,
                                        places, MPI_BYTE, world->groups->learners, &request),
                        gather_name);
    if (!s) s = transport_wait_all(world, &request, 1, gather_name);
    for (int l = 0; !s && l < learners; all += sizes[l++])
        memcpy(all + begin, round + places[l], (size_t)counts[l]);
    free(round);
    free(places);
    free(counts);
    return s;
}

static status gather(struct world *world, const char *data, size_t *sizes, char **all)
{
    const int learners = world->roles.learners;
    size_t total = 0, longest = 0;
    MPI_Request request;
    const uint64_t wide = sizes[world->roles.learner];
    uint64_t *all_wide = memory_allocate((size_t)learners * sizeof *all_wide);
    status s = transport_check(MPI_Iallgather(&wide, 1, MPI_UINT64_T, all_wide, 1, MPI_UINT64_T,
                                              world->groups->learners, &request),
                               gather_name);
    if (!s) s = transport_wait_all(world, &request, 1, gather_name);
    for (int l = 0; !s && l < learners; l++) {
        sizes[l] = all_wide[l];
        total += sizes[l];
        if (sizes[l] > longest) longest = sizes[l];
    }
    free(all_wide);
    TRY(s);
    *all = memory_allocate(total + 1);
    for (size_t begin = 0; !s && begin < longest; begin += round_bytes(world))
        s = gather_round(world, data, sizes, begin, *all);
    return s;
}

status learners_allgather_bytes(struct world *world, const void *data, size_t size, char **all,
                                size_t **sizes)
{
    *sizes = memory_allocate((size_t)world->roles.learners * sizeof **sizes);
    *all = NULL;
    (*sizes)[world->roles.learner] = size;
    if (world->roles.learners == 1) {
        *all = memory_allocate(size + 1);
        if (size) memcpy(*all, data, size);
        return NULL;
    }
    timeline_begin(TIME_WAIT_SLOWEST);
    status s = gather(world, data, *sizes, all);
    timeline_end();
    if (s) {
        free(*all);
        free(*sizes);
        *all = NULL;
        *sizes = NULL;
    }
    return s;
}
