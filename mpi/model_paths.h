/* Keys whose folder may be a run's (model.path, adapter.path, reward.model, eval.encoder, ...; the
 * list is model_paths_resolve's): then its best checkpoint is meant, else its newest. */
#ifndef REGARD_MPI_MODEL_PATHS_H
#define REGARD_MPI_MODEL_PATHS_H

#include "mpi/run.h"

/* Puts a checkpoint's folder in place of a run's.  Rank 0 chooses for all that named the same one,
 * and says so; a run that is resumed stays with the one it began with.  Collective. */
status model_paths_resolve(struct world *world, struct run_options *options);

#endif
