/* Experience on the wire: src/rollout/experience.h's message from an actor to a learner. */
#ifndef REGARD_MPI_EXPERIENCE_H
#define REGARD_MPI_EXPERIENCE_H

#include "mpi/transport.h"
#include "src/rollout/experience.h"

enum { EXPERIENCE_TAG = 1000 }; /* of its messages */

/* The next one from any rank; a damaged one, or one of another format, is refused with its sender
 * named. */
status experience_receive(struct world *world, const struct experience_format *format,
                          struct experience **out, int *sender);

/* Sends that go on while the caller generates: begun by add, waited for by finish. */
struct experience_outbox;
struct experience_outbox *experience_outbox_create(struct world *world);
status experience_outbox_add(struct experience_outbox *outbox, const struct experience *experience,
                             int to);
status experience_outbox_finish(struct experience_outbox *outbox);
void experience_outbox_destroy(struct experience_outbox *outbox);

#endif
