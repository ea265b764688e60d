/* What every kind of run builds before it begins: a queue and models. */
#ifndef REGARD_MPI_SETUP_H
#define REGARD_MPI_SETUP_H

#include "kernels/load.h"
#include "mpi/transport.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/adapted.h"
#include "src/model/model.h"
#include "src/model/value_model.h"
#include "src/rollout/language.h"

/* The base of a run that began with a new model, seen from the run's folder and from its
 * checkpoints'. */
#define RUN_BASE "base"
#define RUN_BASE_FROM_CHECKPOINT "../../" RUN_BASE

/* The queue that the configuration asks for, of the local_rank-th rank of a machine; `ranks` there
 * are in all. */
status queue_open(const struct config *config, int local_rank, int ranks, struct queue **out);

/* A model for a run: model.path's, whose adapters are merged, or a new one from the shape keys. */
status run_model_open(const struct config *config, struct queue *queue, bool with_gradients,
                      const struct language *language, struct model **out);
/* A warning of rank 0 where the keys name another width than the model of model.path has. */
void run_model_warn(const struct config *config, const struct world *world,
                    const struct model *model);
/* Whether a run trains adapters: adapter.rank or adapter.path say so. */
bool run_has_adapters(const struct config *config);
/* Adapters on a base: adapter.path's, or new ones.  base_folder: where it was opened; "": it is a
 * new model. */
status run_adapted_open(const struct config *config, struct model *base, const char *base_folder,
                        bool with_gradients, struct model **out);

/* A value model to be trained: model.path's, with its head where that is a reward model's folder,
 * else a zero head on its trunk or, with adapters, on *base, which the caller destroys (NULL:
 * none). */
status run_value_model_open(const struct config *config, struct queue *queue,
                            const struct language *language, struct model **base,
                            struct value_model **out);

#endif
