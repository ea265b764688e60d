/* Memory planned before the first step: what each rank's models, optimizer, passes and caches come
 * to, told as a table, taken from the device at once. */
#ifndef REGARD_MPI_PLAN_H
#define REGARD_MPI_PLAN_H

#include "kernels/ops.h"
#include "mpi/transport.h"

#include <stdio.h>

/* Creates and reserves on a counting queue what rank `rank` of `world` will hold. */
typedef status plan_function(void *context, const struct world *world, struct queue *plan);

/* How much of each kind. */
status plan_count(struct queue *like, const struct world *world, int rank, plan_function *create,
                  void *context, size_t bytes[MEMORY_KINDS]);
/* Whether memory is to be planned there: not on the CPU, which takes it as it goes. */
bool plan_wanted(const struct queue *queue);
/* This rank's memory, from its GPU at once; rank 0 logs the table.  On the CPU nothing is taken,
 * and the first rank of a host holds the plan of its ranks against the host's memory: an error
 * where their weights and moments are more than there is, a warning where all may be more than is
 * free.
 */
status plan_reserve(struct queue *queue, const struct world *world, plan_function *create,
                    void *context);
/* Goes through this rank's plan, for what it finds wrong; of a host's memory it only warns, since a
 * dry run's host need not be the run's. */
status plan_check(struct queue *queue, const struct world *world, plan_function *create,
                  void *context);
/* "# at most, MB": a line for each rank or ranks that are alike. */
status plan_print(struct queue *queue, const struct world *world, plan_function *create,
                  void *context, FILE *out);
/* At level debug: what was allocated beyond the plan so far. */
void plan_log_use(struct queue *queue, const char *when, int64_t step);

#endif
