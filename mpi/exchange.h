/* How a rank's models meet those of other ranks: gradients and parameters between learners. */
#ifndef REGARD_MPI_EXCHANGE_H
#define REGARD_MPI_EXCHANGE_H

#include "mpi/values.h"
#include "src/learn/exchange.h"

struct exchange {
    struct world *world;
    struct staging staging;
    /* The reduction under way. */
    float *gradient;
    int64_t size;
};

/* A learner's; opened before learner_create and closed after learner_free. */
status exchange_open(struct exchange *exchange, struct world *world, struct queue *queue);
void exchange_close(struct exchange *exchange);
/* What src/learn calls; `exchange` stays the caller's and must not move. */
struct learner_exchange exchange_of_learner(struct exchange *exchange);

#endif
