/* SIGTERM and SIGUSR1 ask for a checkpoint and an orderly end.  (SIGALRM is main's: it comes when
 * MPI itself waits too long, in its start and end, where the watchdog cannot look.) */
#ifndef REGARD_MPI_SIGNALS_H
#define REGARD_MPI_SIGNALS_H

#include "mpi/transport.h"

status signals_install(void);
/* Whether this rank was asked; async-signal-safe flag, reset never. */
bool signals_stop_asked(void);
bool signals_terminated(void); /* by SIGTERM */
/* Whether any rank was: the same answer on all.  Collective. */
status world_stop_requested(struct world *world, bool *stop);
status run_stopped(void); /* the outcome of a run that ended so */

#endif
