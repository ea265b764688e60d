/* Whether all hosts see the run folder, found out before anything is computed. */
#ifndef REGARD_MPI_FOLDER_TRIAL_H
#define REGARD_MPI_FOLDER_TRIAL_H

#include "mpi/transport.h"

/* Rank 0 writes a small file into the folder, or where there is none yet into the nearest one above
 * it; every rank reads it; then it is removed.  Collective, with one outcome for all ranks: an
 * error names the host that does not see it. */
status folder_trial(struct world *world, const char *folder);

/* The folder, or the nearest above it that is there. */
void folder_nearest(const char *folder, char *out, size_t size);

#endif
