/* See exchange.h. */
#include "mpi/exchange.h"

#include <stdlib.h>

status exchange_open(struct exchange *exchange, struct world *world, struct queue *queue)
{
    *exchange = (struct exchange){.world = world};
    return staging_open(&exchange->staging, world, queue);
}

void exchange_close(struct exchange *exchange)
{
    staging_close(&exchange->staging);
}

static status reduce_begin(void *context, float *gradient, int64_t size)
{
    struct exchange *exchange = context;
    exchange->gradient = gradient;
    exchange->size = size;
    return NULL;
}

/* MPI adds whole gradients. */
static void reduce_ready(void *context, int64_t offset)
{
    (void)context, (void)offset;
}

static status reduce_finish(void *context)
{
    struct exchange *exchange = context;
    return learners_reduce(exchange->world, &exchange->staging, exchange->gradient, exchange->size);
}

static status gather_values(void *context, float *values, int64_t size)
{
    struct exchange *exchange = context;
    return learners_gather_values(exchange->world, &exchange->staging, values, size);
}

static status gather_bytes(void *context, const void *mine, size_t bytes, void **all, size_t *total)
{
    struct exchange *exchange = context;
    struct world *world = exchange->world;
    char *data;
    size_t *sizes;
    TRY(learners_allgather_bytes(world, mine, bytes, &data, &sizes));
    *total = 0;
    for (int i = 0; i < world->learners; i++) *total += sizes[i];
    free(sizes);
    *all = data;
    return NULL;
}

struct learner_exchange exchange_of_learner(struct exchange *exchange)
{
    struct world *world = exchange->world;
    struct learner_exchange out;
    learner_exchange_alone(&out);
    if (world->learners > 1)
        out = (struct learner_exchange){.context = exchange,
                                        .rank = world->learner,
                                        .count = world->learners,
                                        .reduce_begin = reduce_begin,
                                        .reduce_ready = reduce_ready,
                                        .reduce_finish = reduce_finish,
                                        .gather_values = gather_values,
                                        .gather = gather_bytes};
    return out;
}
