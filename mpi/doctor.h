/* regard doctor: what this machine and this launch offer, and what is wrong with them. */
#ifndef REGARD_MPI_DOCTOR_H
#define REGARD_MPI_DOCTOR_H

#include "mpi/doctor_report.h"
#include "mpi/transport.h"
#include "src/base/config.h"

/* All of it; folder: a run's, "": none.  Collective, after signals_install; the report is whole on
 * rank 0. */
status doctor_examine(struct world *world, const struct config *config, const char *folder,
                      struct doctor_report *report);
/* What takes no time, at a run's start: rank 0 logs what is wrong.  Collective. */
status doctor_warn(struct world *world, const struct config *config, const char *folder);

#endif
