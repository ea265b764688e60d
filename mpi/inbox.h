/* A learner's inbox: the dialogues of its slice, batch by batch, in whatever order they come.
 * What is not due is refused when it arrives, with sender, dialogue and versions in the error:
 * a dialogue that is there already, of a batch that is learned or cannot have begun, of another
 * learner's slice, of other weights than the batch's, with turns that no rollout makes, or with
 * terms that its tokens and statistics do not give. */
#ifndef REGARD_MPI_INBOX_H
#define REGARD_MPI_INBOX_H

#include "mpi/transport.h"
#include "src/rollout/experience.h"

struct inbox_rules {
    int64_t dialogues;         /* of a batch, over all learners */
    int64_t lag;               /* pipeline.lag: batch b comes from the weights of update b - lag */
    int64_t turns, candidates; /* bounds of a dialogue */
    int64_t vocabulary;        /* bound of its tokens */
    struct experience_format format;
};

struct inbox;

/* batch: the first that is due. */
struct inbox *inbox_create(struct world *world, const struct inbox_rules *rules, int64_t batch);
void inbox_destroy(struct inbox *inbox);
/* Takes what did not come by a message: a rank's own, where it is alone. */
status inbox_put(struct inbox *inbox, struct experience *experience, int sender);
/* Waits for the batch that is due: slots[inbox_count] in order, the caller's to destroy, NULL
 * after an error.  Then the next batch is due. */
status inbox_receive(struct inbox *inbox, struct experience **slots);
/* At a run's end: takes and drops what is on its way still; sent: the dialogues that actors have
 * sent to this learner in all. */
status inbox_drain(struct inbox *inbox, int64_t sent);
int64_t inbox_count(const struct inbox *inbox); /* dialogues of this learner's slice */

#endif
