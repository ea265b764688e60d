/* What a run remembers in a checkpoint besides its large arrays.  The rows stand in one table, in
 * run_state.c: to remember one thing more, add a row there. */
#ifndef REGARD_MPI_RUN_STATE_H
#define REGARD_MPI_RUN_STATE_H

#include "mpi/folder.h"
#include "mpi/past_weights.h"
#include "src/checkpoint/state.h"
#include "src/learn/learner.h"

/* reward and statistics are filled in by the functions below. */
struct run_state {
    struct run_folder *folder;
    struct learner *learner;
    /* Of pipeline.lag: the versions before `step`'s, to be saved or loaded; NULL: none. */
    struct past_weights *past;
    int64_t step; /* updates done */
    /* The learner's, for the rows of the running statistics. */
    const struct reward_settings *reward;
    struct running_statistics *statistics;
};

/* The row that holds the reference's hash. */
#define RUN_STATE_REFERENCE "reference"

/* Of rows as they are now, the reference's hash as it was last taken: state_kept_write puts them
 * into a folder. */
status run_state_keep(struct run_state *state, struct state_kept **out);
status run_state_load(struct run_state *state, const char *folder);

/* The running statistics alone, of any checkpoint: for tools that scale rewards. */
status run_state_statistics(const char *folder, const struct reward_settings *reward,
                            struct running_statistics *out);

#endif
