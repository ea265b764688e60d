/* What is wrong with ranks as they were launched: pure functions of what they say of themselves. */
#ifndef REGARD_MPI_DOCTOR_JUDGE_H
#define REGARD_MPI_DOCTOR_JUDGE_H

#include "mpi/doctor_facts.h"
#include "mpi/doctor_report.h"

/* Ranks and hosts, programs, cores, threads and binding. */
void doctor_judge_launch(const struct doctor_facts *ranks, int count, struct doctor_report *report);
/* Memory, limits, GPUs, what MPI can do. */
void doctor_judge_hosts(const struct doctor_facts *ranks, int count, struct doctor_report *report);
/* Of the launch, what a run says at its start: threads that share cores. */
void doctor_judge_binding(const struct doctor_facts *ranks, int count,
                          struct doctor_report *report);

#endif
