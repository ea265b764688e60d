/* Work that moves between actors inside a batch (rollout.steal).  An actor generates its slice of a
 * batch in parts of so many dialogues, from the first on; one that has nothing left asks others,
 * from the next actor on, and takes the last part that one of them has not begun.  A dialogue is
 * the same on any rank, so this changes no bit.  A thread of each actor answers, whatever its rank
 * is at. */
#ifndef REGARD_MPI_STEALING_H
#define REGARD_MPI_STEALING_H

#include "mpi/transport.h"

struct stealing;

/* Collective over all ranks.  dialogues: of a batch; part: generated together.  *out is NULL, and
 * actors keep their slices, where no slice is of several parts, or MPI allows calls by one thread
 * alone. */
status stealing_open(struct world *world, int64_t dialogues, int64_t part, struct stealing **out);
/* When no actor generates any more. */
void stealing_close(struct stealing *stealing);
/* What this actor generates next of a batch, as places in it; count 0: nothing is left for it. */
status stealing_next(struct stealing *stealing, int64_t batch, struct slice *part);

#endif
