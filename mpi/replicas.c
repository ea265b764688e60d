/* See replicas.h. */
#include "mpi/replicas.h"

#include "src/base/memory.h"
#include "src/model/fingerprint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rank_name(const struct world *world, int64_t update, char out[RANK_NAME_MAX])
{
    snprintf(out, RANK_NAME_MAX, "rank %d (%s), update %lld", world->rank,
             world_host(world, world->rank), (long long)update);
}

/* Which learner has the hash that more than half of them have; -1: no hash is so common.  Boyer and
 * Moore's vote: unequal pairs struck out, such a hash alone can be left. */
static int majority(const uint64_t *hashes, int count)
{
    int left = 0, leader = 0, same = 0;
    for (int i = 0; i < count; i++) {
        if (left == 0) leader = i;
        left += hashes[i] == hashes[leader] ? 1 : -1;
    }
    for (int i = 0; i < count; i++) same += hashes[i] == hashes[leader];
    return 2 * same > count ? leader : -1;
}

static bool all_same(const uint64_t *hashes, int count)
{
    for (int i = 1; i < count; i++)
        if (hashes[i] != hashes[0]) return false;
    return true;
}

/* "rank 1 (hosta), 3 (hostb)": whose hash is not most learners'; where there is no such hash, all,
 * with theirs: "rank 0 (hosta) 0123456789abcdef, 1 ...". */
static void others_name(const struct world *world, const uint64_t *hashes, int count, int most,
                        char *names, size_t size)
{
    size_t used = 0;
    for (int r = 0; r < count && used < size; r++) {
        char hash[18] = "";
        if (most >= 0 && hashes[r] == hashes[most]) continue;
        if (most < 0) {
            hash[0] = ' ';
            fingerprint_text(hashes[r], hash + 1);
        }
        used += (size_t)snprintf(names + used, size - used, "%s%d (%s)%s", used ? ", " : "rank ", r,
                                 world_host(world, r), hash);
    }
    if (used >= size) strcpy(names + size - 4, "..."); /* more than one line holds */
}

status replicas_compare(struct world *world, const char *what, uint64_t hash)
{
    char names[800], *all;
    size_t *sizes;
    const int learners = world->roles.learners;
    TRY(learners_allgather_bytes(world, &hash, sizeof hash, &all, &sizes));
    uint64_t *hashes = memory_allocate((size_t)learners * sizeof *hashes);
    memcpy(hashes, all, (size_t)learners * sizeof *hashes);
    const bool same = all_same(hashes, learners);
    const int most = majority(hashes, learners);
    others_name(world, hashes, same ? 0 : learners, most, names, sizeof names);
    free(hashes);
    free(sizes);
    free(all);
    if (same || world->rank != 0) return NULL;
    FAIL(STATUS_INTERNAL,
         "update %lld: %s of the %s%s: %s (guard.replica_check): broken memory, or an exchange "
         "that lost something; --resume goes on from the newest checkpoint, which does not have "
         "them",
         (long long)world->step + 1, most < 0 ? "learners hold different weights" : "other weights",
         what, most < 0 ? ", and no hash is that of most" : " than the other learners hold", names);
}
