/* See replicas.h. */
#include "mpi/replicas.h"

#include "src/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rank_name(const struct world *world, int64_t update, char out[RANK_NAME_MAX])
{
    snprintf(out, RANK_NAME_MAX, "rank %d (%s), update %lld", world->rank,
             world_host(world, world->rank), (long long)update);
}

/* The hash that most have, of several the first. */
static uint64_t most_common(const uint64_t *hashes, int count)
{
    int most = 0, common = 0;
    for (int i = 0; i < count; i++) {
        int same = 0;
        for (int k = 0; k < count; k++) same += hashes[k] == hashes[i];
        if (same > most) {
            most = same;
            common = i;
        }
    }
    return hashes[common];
}

/* "rank 1 (hosta), 3 (hostb)": whose hash is another; false: nobody's is. */
static bool others_name(const struct world *world, const uint64_t *hashes, int count, char *names,
                        size_t size)
{
    const uint64_t common = most_common(hashes, count);
    size_t used = 0;
    for (int r = 0; r < count; r++)
        if (hashes[r] != common && used < size)
            used += (size_t)snprintf(names + used, size - used, "%s%d (%s)", used ? ", " : "rank ",
                                     r, world_host(world, r));
    return used > 0;
}

status replicas_compare(struct world *world, const char *what, uint64_t hash)
{
    char names[400], *all;
    size_t *sizes;
    const int learners = world->roles.learners;
    TRY(learners_allgather_bytes(world, &hash, sizeof hash, &all, &sizes));
    uint64_t *hashes = memory_allocate((size_t)learners * sizeof *hashes);
    memcpy(hashes, all, (size_t)learners * sizeof *hashes);
    const bool differ = others_name(world, hashes, learners, names, sizeof names);
    free(hashes);
    free(sizes);
    free(all);
    if (!differ || world->rank != 0) return NULL;
    FAIL(STATUS_INTERNAL,
         "update %lld: other weights of the %s than the other learners hold: %s "
         "(guard.replica_check): broken memory, or an exchange that lost something; --resume goes "
         "on from the newest checkpoint, which does not have them",
         (long long)world->step + 1, what, names);
}
