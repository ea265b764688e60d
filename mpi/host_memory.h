/* Memory that the ranks of one host share. */
#ifndef REGARD_MPI_HOST_MEMORY_H
#define REGARD_MPI_HOST_MEMORY_H

#include "mpi/transport_mpi.h"

/* bytes of zeros at *out, the same pages in all ranks of `host`, whose lowest makes them.  *out
 * NULL: this host gives none (its /dev/shm is full or missing), and all its ranks have the errno.
 * The memory has no name any more when this returns: a rank that is killed leaves nothing behind.
 */
status host_memory_open(struct world *world, MPI_Comm host, size_t bytes, void **out, int *error);
/* Bytes that are free in /dev/shm here. */
int64_t host_memory_free(void);
void host_memory_close(void *memory, size_t bytes);

#endif
