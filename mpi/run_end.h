/* How a run ends whose actors are ahead of its learners (pipeline.lag of 2 and more): learners
 * alone agree after every update, and actors go on until learner 0 tells them, once, that the run
 * ends.  So no rank's slow batch is waited for in an agreement: learners stop after an update that
 * settings and signals alone decide, and what actors generate beyond it is dropped (train.c). */
#ifndef REGARD_MPI_RUN_END_H
#define REGARD_MPI_RUN_END_H

#include "mpi/transport.h"

struct run_end;

/* Collective over all ranks.  No rank has both roles. */
status run_end_open(struct world *world, struct run_end **out);
/* NULL is allowed. */
void run_end_close(struct run_end *end);

/* Learners together: the greatest of their values. */
status run_end_agree(struct run_end *end, int64_t value, int64_t *out);
/* Learner 0: whether an actor was asked to stop by a signal; and, once, that the run ends, with a
 * value that says why. */
status run_end_asked(struct run_end *end, bool *asked);
status run_end_tell(struct run_end *end, int64_t why);
/* All ranks, when actors were told: takes what they have said and nobody looked at. */
status run_end_finish(struct run_end *end);

/* An actor: whether the end was told, and why.  Passes on to learner 0 that a signal asked this
 * rank to stop. */
status run_end_heard(struct run_end *end, bool *heard, int64_t *why);
/* The same, once `there` says so (NULL: never) or the end was told.  what: reads well after
 * "waiting for". */
status run_end_wait(struct run_end *end, bool (*there)(void *context), void *context,
                    const char *what, bool *heard, int64_t *why);

#endif
