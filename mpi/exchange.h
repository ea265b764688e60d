/* How a rank's models meet those of other ranks: gradients and parameters between learners, weights
 * from learner 0 to the actors.  Between GPUs by NCCL where each rank has its own, else by MPI. */
#ifndef REGARD_MPI_EXCHANGE_H
#define REGARD_MPI_EXCHANGE_H

#include "mpi/gpu_group.h"
#include "mpi/values.h"
#include "src/learn/exchange.h"

struct exchange {
    struct world *world;
    struct queue *queue;
    struct gpu_group *learners, *weights; /* NULL: MPI */
    bool weights_direct;                  /* MPI takes the devices' memory of all ranks */
    struct staging staging;               /* of a learner without `learners` */
    struct values_watch watch;            /* of the policy's last step; set by the caller */
    bool watched;                         /* the gather that comes is of that step */
    /* The reduction under way. */
    float *gradient;
    int64_t size, left; /* everything from `left` on was handed over */
    int64_t bucket;     /* floats handed over at a time, at least, while more is to come */
    status error;       /* of reduce_ready, for reduce_finish */
};

/* What is there without the others: before learner_create. */
void exchange_open(struct exchange *exchange, struct world *world, struct queue *queue);
/* All ranks together, once their models, of `size` floats, are there; an error is the same on all.
 */
status exchange_connect(struct exchange *exchange, int64_t size);
/* After the last call, by all ranks alike. */
status exchange_close(struct exchange *exchange);
/* Whether weights go from device to device; else the caller takes them through the host. */
bool exchange_takes_weights(const struct exchange *exchange);
/* Then, by learner 0 and the actors: learner 0's values [size] into those of the actors. */
status exchange_weights(struct exchange *exchange, float *values, int64_t size);
/* What src/learn calls; `exchange` stays the caller's and must not move. */
struct learner_exchange exchange_of_learner(struct exchange *exchange);

#endif
