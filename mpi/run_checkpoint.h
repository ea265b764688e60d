/* A run's checkpoints, written by all its learners together, and their way back. */
#ifndef REGARD_MPI_RUN_CHECKPOINT_H
#define REGARD_MPI_RUN_CHECKPOINT_H

#include "mpi/folder.h"
#include "src/learn/learner.h"
#include "src/rollout/language.h"

/* Whether one is written after so many updates: at every checkpoint.every and at the last. */
bool run_checkpoint_due(const struct config *config, int64_t step, bool last);
/* Collective over learners: writes and publishes step-N with policy, optimizer, critic, running
 * statistics, config and tokenizer.  previous: NULL, or on the device the weights one
 * update older. */
status run_checkpoint_save(struct run_folder *folder, struct learner *learner,
                           const struct language *language, int64_t step, const float *previous);
/* Policy values, optimizer, critic and statistics from folder->checkpoint; *lagging is
 * allocated where it was saved, else NULL. */
status run_checkpoint_load(struct run_folder *folder, struct learner *learner, float **lagging);

#endif
