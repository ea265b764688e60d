/* What sums of learners take between ranks, as links of a cluster. */
#ifndef REGARD_MPI_DOCTOR_SUMS_H
#define REGARD_MPI_DOCTOR_SUMS_H

#include "kernels/ops.h"
#include "mpi/doctor_facts.h"
#include "src/plan/cluster.h"

/* The middle one of them, which are sorted. */
double doctor_median(double *values, int64_t count);
/* By values_mpi.h's sums and gathers on the queue that a training has, of two, four and more
 * learners; what is waiting alone in them by collectives of a few bytes.  inside, between: what was
 * measured of the cluster's links.  Changes the roles.  Collective. */
status doctor_sums(struct world *world, struct queue *queue, const struct doctor_facts *ranks,
                   struct cluster *cluster, bool *inside, bool *between);

#endif
