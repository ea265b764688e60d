/* A run's checkpoints, written by all its learners together, and their way back.
 *
 * With checkpoint.background a save takes a snapshot and returns; a thread of each learner copies
 * into memory what the next optimizer's step will change, then writes and hashes its files while
 * training goes on.  A step that comes before all is copied copies the rest with it.  A learner
 * that is alone publishes there too; of several, once all have written (learners say so to each
 * other at the end of every update) a thread of rank 0 publishes. The next save, and the run's end,
 * wait for what is not there yet.  Without it a save returns when its checkpoint is published. */
#ifndef REGARD_MPI_RUN_CHECKPOINT_H
#define REGARD_MPI_RUN_CHECKPOINT_H

#include "mpi/folder.h"
#include "mpi/past_weights.h"
#include "src/learn/learner.h"
#include "src/rollout/language.h"

/* Whether one is written after so many updates: at every checkpoint.every and at the last. */
bool run_checkpoint_due(const struct config *config, int64_t step, bool last);
/* Collective over learners: writes and publishes step-N with policy, optimizer, critic, running
 * statistics, config and tokenizer, or begins to.  past: NULL, or the versions before this one,
 * which go with it. */
status run_checkpoint_save(struct run_folder *folder, struct learner *learner,
                           const struct language *language, int64_t step,
                           struct past_weights *past);
/* Collective over learners, where a save may be under way: takes it as far as it goes without
 * waiting. An error of its writing is this function's. */
status run_checkpoint_poll(struct run_folder *folder);
/* Likewise: waits until it is published. */
status run_checkpoint_finish(struct run_folder *folder);
/* By any rank, before it ends for an error, why, and not collective.  The save of a learner that is
 * alone is published all the same, and so is one that all have written: the error is logged, and
 * waited for that.  Another one is left as it is, its thread with it, for the process to end. */
void run_checkpoint_break(struct run_folder *folder, const char *why);
/* Policy values, optimizer, critic and statistics from folder->checkpoint, and of `past`, where it
 * is not NULL, the versions that were saved. */
status run_checkpoint_load(struct run_folder *folder, struct learner *learner,
                           struct past_weights *past);

#endif
