/* Experience on the wire: src/rollout/experience.h's message from an actor to a learner. */
#ifndef REGARD_MPI_EXPERIENCE_H
#define REGARD_MPI_EXPERIENCE_H

#include "mpi/transport.h"
#include "src/rollout/experience.h"

/* Which learner owns dialogue `index` of a batch of `dialogues`: contiguous slices. */
int experience_owner(const struct world *world, int64_t index, int64_t dialogues);
/* Returns once the message has left or is buffered by MPI; to itself works too. */
status experience_send(struct world *world, const struct experience *experience, int to);
/* The next one from any rank; a bad one is refused with its sender named. */
status experience_receive(struct world *world, struct experience **out);

/* Sends that go on while the caller generates: begun here, finished by the queue's end. */
struct experience_outbox;
struct experience_outbox *experience_outbox_create(struct world *world);
status experience_outbox_add(struct experience_outbox *outbox, const struct experience *experience,
                             int to);
status experience_outbox_finish(struct experience_outbox *outbox); /* waits for all */
void experience_outbox_destroy(struct experience_outbox *outbox);

#endif
