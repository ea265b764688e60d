/* The policy's weights from learner 0 to the actors: the parameters' buffer as it is, behind
 * a header with version, count and CRC32C.  Both sides have one layout: no names travel. */
#ifndef REGARD_MPI_WEIGHTS_H
#define REGARD_MPI_WEIGHTS_H

#include "mpi/transport.h"

/* Learner 0 and all actors call it together: values [count] are learner 0's afterwards.  version
 * is what the caller expects; a header with another one, another count or a wrong checksum is
 * refused, and values hold nothing to be used then.  Other ranks return at once. */
status weights_exchange(struct world *world, float *values, int64_t count, int64_t version);

#endif
