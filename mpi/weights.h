/* The policy's weights from learner 0 to the actors: the parameters' buffer as it is, behind
 * a header with version, count and CRC32C.  Both sides have one layout: no names travel. */
#ifndef REGARD_MPI_WEIGHTS_H
#define REGARD_MPI_WEIGHTS_H

#include "mpi/transport.h"

/* Ranks on the weights communicator (learner 0 and all actors) call it together: values
 * [count] are learner 0's afterwards.  version is what the caller expects; a header with
 * another one, another count or a wrong checksum is refused.  Other ranks return at once. */
status weights_exchange(struct world *world, float *values, int64_t count, int64_t version);

/* The same in the background, for pipeline.lag 1: begin starts it, finish waits and checks.
 * values must stay untouched in between. */
struct weights_transfer;
status weights_begin(struct world *world, float *values, int64_t count, int64_t version,
                     struct weights_transfer **out);
status weights_finish(struct world *world, struct weights_transfer *transfer);

#endif
