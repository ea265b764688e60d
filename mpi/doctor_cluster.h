/* A cluster as `regard plan` reads it, measured under the launch that a training would have. */
#ifndef REGARD_MPI_DOCTOR_CLUSTER_H
#define REGARD_MPI_DOCTOR_CLUSTER_H

#include "mpi/doctor_facts.h"
#include "mpi/doctor_report.h"
#include "src/plan/cluster.h"

/* What was measured of it; the rest holds defaults. */
struct doctor_cluster {
    struct cluster cluster;
    bool cores;           /* ranks compute on them: sharing.compute and device are known */
    bool sleeps;          /* device: sleep: device is known */
    bool inside, between; /* links */
    bool files;
    bool missing;   /* the device cannot be opened: nothing is known */
    int64_t uneven; /* hosts with fewer ranks than others */
};

/* How ranks of a host slow each other down, and what a sum of learners takes, as a training waits
 * for it; write_rate: bytes a second of the run's folder, 0: not known.  Changes the roles.
 * Collective; *out is whole on rank 0. */
status doctor_cluster_measure(struct world *world, const struct config *config,
                              const struct doctor_facts *ranks, double write_rate,
                              struct doctor_cluster *out, struct doctor_report *report);
/* As a file for `plan --cluster`. */
void doctor_cluster_print(const struct doctor_cluster *found, FILE *out);

#endif
