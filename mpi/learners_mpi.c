/* What learners do together, over MPI: barrier and gather.  Large vectors are values_mpi.c's. */
#include "mpi/transport_mpi.h"
#include "src/base/memory.h"
#include "src/base/timeline.h"

#include <stdlib.h>
#include <string.h>

status learners_barrier(struct world *world)
{
    MPI_Request request;
    if (world->roles.learners == 1) return NULL;
    TRY(transport_check(MPI_Ibarrier(world->groups->learners, &request), "learners' barrier"));
    return transport_wait_slowest(world, &request, "learners' barrier");
}

status learners_allgather_bytes(struct world *world, const void *data, size_t size, char **all,
                                size_t **sizes)
{
    MPI_Comm comm = world->groups->learners;
    const char *what = "learners' gather";
    size_t total = 0;
    *sizes = memory_allocate((size_t)world->roles.learners * sizeof **sizes);
    *all = NULL;
    status s = NULL;
    timeline_begin(TIME_WAIT_SLOWEST);
    for (int l = 0; l < world->roles.learners && !s; l++) {
        uint64_t wide = size;
        if (world->roles.learners > 1)
            s = transport_broadcast(world, comm, &wide, sizeof wide, l, what);
        if (s) break;
        (*sizes)[l] = wide;
        *all = memory_resize(*all, total + wide + 1);
        if (l == world->roles.learner && size) memcpy(*all + total, data, size);
        if (world->roles.learners > 1)
            s = transport_broadcast(world, comm, *all + total, wide, l, what);
        total += wide;
    }
    timeline_end();
    if (s) {
        free(*all);
        free(*sizes);
        *all = NULL;
        *sizes = NULL;
    }
    return s;
}
