/* regard doctor: what this machine and this launch offer, and what is wrong with them. */
#ifndef REGARD_MPI_DOCTOR_H
#define REGARD_MPI_DOCTOR_H

#include "mpi/doctor_cluster.h"

/* All of it; folder: a run's, "": none.  cluster, NULL: not wanted: what `regard plan` wants to
 * know is measured too, which takes seconds.  Collective, after signals_install; report and cluster
 * are whole on rank 0. */
status doctor_examine(struct world *world, const struct config *config, const char *folder,
                      struct doctor_cluster *cluster, struct doctor_report *report);
/* What takes no time, at a run's start: rank 0 logs what is wrong.  Collective. */
status doctor_warn(struct world *world, const struct config *config, const char *folder);

#endif
