/* What both kinds of runs build before they begin: a queue and models. */
#ifndef REGARD_MPI_SETUP_H
#define REGARD_MPI_SETUP_H

#include "kernels/load.h"
#include "mpi/transport.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/model.h"
#include "src/rollout/language.h"

/* The queue that the configuration asks for, of the local_rank-th rank of a machine; `ranks` there
 * are in all. */
status queue_open(const struct config *config, int local_rank, int ranks, struct queue **out);

/* A model for a run: model.path's, or a new one from the shape keys. */
status run_model_open(const struct config *config, struct queue *queue, bool with_gradients,
                      const struct language *language, struct model **out);

#endif
