/* A run's checkpoints, written by all its learners together, and their way back. */
#ifndef REGARD_MPI_RUN_CHECKPOINT_H
#define REGARD_MPI_RUN_CHECKPOINT_H

#include "mpi/folder.h"
#include "mpi/past_weights.h"
#include "src/learn/learner.h"
#include "src/rollout/language.h"

/* Whether one is written after so many updates: at every checkpoint.every and at the last. */
bool run_checkpoint_due(const struct config *config, int64_t step, bool last);
/* Collective over learners: writes and publishes step-N with policy, optimizer, critic, running
 * statistics, config and tokenizer.  past: NULL, or the versions before this one, which go with
 * it. */
status run_checkpoint_save(struct run_folder *folder, struct learner *learner,
                           const struct language *language, int64_t step,
                           struct past_weights *past);
/* Policy values, optimizer, critic and statistics from folder->checkpoint, and of `past`, where it
 * is not NULL, the versions that were saved. */
status run_checkpoint_load(struct run_folder *folder, struct learner *learner,
                           struct past_weights *past);

#endif
