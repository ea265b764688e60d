/* How ranks reach each other: latency, bandwidth, clocks, sums of learners, signals. */
#ifndef REGARD_MPI_DOCTOR_NETWORK_H
#define REGARD_MPI_DOCTOR_NETWORK_H

#include "mpi/doctor_facts.h"
#include "mpi/doctor_report.h"

/* Pairs of ranks one after the other, 48 at most.  Collective; findings are rank 0's. */
status doctor_network(struct world *world, const struct doctor_facts *ranks,
                      struct doctor_report *report);
/* A sum over the learners, as an update makes it. */
status doctor_reduce(struct world *world, struct doctor_report *report);
/* Whether SIGUSR1 to the launcher comes to every rank; signals_install before. */
status doctor_signals(struct world *world, struct doctor_report *report);

#endif
