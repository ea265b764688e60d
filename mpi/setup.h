/* What both kinds of runs build before they begin: a queue, models, the learners' exchange. */
#ifndef REGARD_MPI_SETUP_H
#define REGARD_MPI_SETUP_H

#include "kernels/load.h"
#include "mpi/transport.h"
#include "src/checkpoint/model_folder.h"
#include "src/learn/learner.h"
#include "src/rollout/language.h"

/* A model for a run: model.path's, or a new one from the shape keys. */
status run_model_open(const struct config *config, struct queue *queue, bool with_gradients,
                      const struct language *language, struct t5 **out);
/* The exchange of a learner over the learners' communicator. */
void run_exchange(struct world *world, struct learner_exchange *exchange);

#endif
