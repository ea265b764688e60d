/* What the file system of a run's folder can do. */
#ifndef REGARD_MPI_DOCTOR_FILES_H
#define REGARD_MPI_DOCTOR_FILES_H

#include "mpi/doctor_report.h"
#include "mpi/transport.h"
#include "src/base/config.h"

/* Whether the folder (or the nearest above it) can be written, is seen by all hosts, what fsync,
 * rename, exclusive creation, locks and writing do there.  *rate: bytes a
 * second, fsync included, where it was measured.  Collective; findings are rank 0's. */
status doctor_files(struct world *world, const struct config *config, const char *folder,
                    double *rate, struct doctor_report *report);
/* About what is trained of model.path takes in fp32; 0: not known. */
int64_t doctor_weights_bytes(const struct config *config);
/* Free space against what checkpoints will take, as far as that is known. */
void doctor_judge_space(const struct config *config, const char *folder,
                        struct doctor_report *report);

#endif
