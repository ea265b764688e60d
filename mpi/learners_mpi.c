/* What learners do together, over MPI: barrier, the upper levels of the gradient tree, gather. */
#include "mpi/transport_mpi.h"
#include "src/base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { SUM_CHUNK = 1 << 22, EXCHANGE_TAG = 1 };

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
    TRY(transport_check(MPI_Irecv(theirs, count, type, partner, EXCHANGE_TAG,
                                  world->groups->learners, &requests[0]),
                        what));
    TRY(transport_check(
        MPI_Isend(mine, count, type, partner, EXCHANGE_TAG, world->groups->learners, &requests[1]),
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
