/* Who is missing, and who is hung.  A thread of every rank tells three ranks, the watchers, several
 * times within `patience` what its rank is at and for how long it has made no progress
 * (src/base/heartbeat.h); the watchers tell everyone.  A watcher ends all ranks, with status 70 and
 * one line on stderr with rank, host, operation and step, when
 *   - nothing was heard of a rank for `patience`: it is stopped, dead or cut off;
 *   - a rank is alive and at work, and made no progress for so long: hung;
 *   - so are all, each waiting for another.
 * A rank that is slow but gets on is waited for.  The other ranks watch the watchers, for the case
 * that all are lost at once.
 *
 * MPI must allow calls from several threads (MPI_THREAD_MULTIPLE).  Where it does not, there is no
 * thread: a rank tells and watches while it waits and whenever it notes progress. */
#ifndef REGARD_MPI_WATCHDOG_H
#define REGARD_MPI_WATCHDOG_H

#include "src/base/status.h"

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

struct watchdog;

/* Collective over comm, which it duplicates: learns the hosts' names.  *step is read from then on.
 * A single rank is not watched.  patience in seconds. */
status watchdog_open(MPI_Comm comm, const _Atomic int64_t *step, double patience,
                     struct watchdog **out);
void watchdog_patience(struct watchdog *dog, double patience);
/* Before the ranks leave MPI, when all are known to be there.  NULL is allowed. */
void watchdog_close(struct watchdog *dog);
const char *watchdog_host(const struct watchdog *dog, int rank);
bool watchdog_has_thread(const struct watchdog *dog);

/* To be called often while this rank waits for something; what reads well after "waiting for". */
void watchdog_wait(struct watchdog *dog, const char *what);

#endif
