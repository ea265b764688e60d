/* Learners hold the same weights, and can tell (guard.replica_check). */
#ifndef REGARD_MPI_REPLICAS_H
#define REGARD_MPI_REPLICAS_H

#include "mpi/transport.h"

enum { RANK_NAME_MAX = 128 };

/* "rank 1 (hosta), update 12": this rank, for errors of its own weights. */
void rank_name(const struct world *world, int64_t update, char out[RANK_NAME_MAX]);
/* By all learners: they hold the same hash of their weights of `what`, or learner 0 gets an error
 * that names those that do not hold what more than half do; where there is no such half, as between
 * two, all with their hashes.  The others go on to their next wait, in which
 * that error ends them: one line tells of it. */
status replicas_compare(struct world *world, const char *what, uint64_t hash);

#endif
