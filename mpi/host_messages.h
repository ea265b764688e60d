/* How Open MPI moves large messages between ranks of one host.  With a single copy (Linux's
 * process_vm_readv) the receiver takes a message in one call, whatever its size; where the system
 * forbids that, messages go through shared memory in fragments, a few of them between two looks of
 * both ranks (docs/pitfalls.md). */
#ifndef REGARD_MPI_HOST_MESSAGES_H
#define REGARD_MPI_HOST_MESSAGES_H

#include <stdbool.h>

/* Before MPI_Init: sets what the environment has not set already. */
void host_messages_prepare(void);
/* Whether a process may read another one's memory here, as host_messages_prepare found. */
bool host_messages_single_copy(void);

#endif
