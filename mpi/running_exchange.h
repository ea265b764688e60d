/* The running statistics from learner 0 to the actors, where weights go from device to device
 * (exchange_weights): float64 numbers behind a header with version, count and CRC32C.  The weights
 * themselves have no checksum on that way; that they are due is known by this header. */
#ifndef REGARD_MPI_RUNNING_EXCHANGE_H
#define REGARD_MPI_RUNNING_EXCHANGE_H

#include "mpi/transport.h"

/* Learner 0 and all actors call it together: values [count] are learner 0's afterwards.  version,
 * of the weights, is what the caller expects; a header with another one, another count or a wrong
 * checksum is refused, and values hold nothing to be used then.  Other ranks return at once. */
status running_exchange(struct world *world, double *values, int64_t count, int64_t version);

#endif
