/* See exchange.h. */
#include "mpi/exchange.h"

#include "mpi/replicas.h"
#include "src/base/memory.h"
#include "src/base/slices.h"
#include "src/base/timeline.h"
#include "src/base/traffic.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKET_FLOATS = 8 << 20 }; /* 32 MiB: enough to fill a link, few enough to begin early */

static const char reduce_name[] = "reduce of gradients between learners";
static const char gather_name[] = "gather of parameters between learners";

void exchange_open(struct exchange *exchange, struct world *world, struct queue *queue)
{
    *exchange = (struct exchange){.world = world, .queue = queue, .bucket = BUCKET_FLOATS};
}

status exchange_connect(struct exchange *exchange, int64_t size)
{
    struct world *world = exchange->world;
    struct queue *queue = exchange->queue;
    /* What one rank alone meets is known to all before the next step, which waits for all. */
    TRY(world_agree(world, gpu_group_open(world, queue, GPU_LEARNERS, size, &exchange->learners)));
    /* Where all ranks have both roles, each has the weights already. */
    if (world->roles.learners < world->size) {
        const bool device = !queue->on_host;
        int64_t cannot;
        TRY(world_agree(world,
                        gpu_group_open(world, queue, GPU_WEIGHTS, size, &exchange->weights)));
        TRY(world_maximum(world, !(device && transport_reads_devices()), &cannot));
        exchange->weights_direct = !cannot;
    }
    const bool stages = world->roles.is_learner && !exchange->learners;
    return world_agree(world, stages ? staging_open(&exchange->staging, world, queue) : NULL);
}

status exchange_close(struct exchange *exchange)
{
    status s = gpu_group_close(exchange->learners);
    s = status_first(s, gpu_group_close(exchange->weights));
    staging_close(&exchange->staging);
    status_free(exchange->error);
    *exchange = (struct exchange){0};
    return s;
}

bool exchange_takes_weights(const struct exchange *exchange)
{
    return exchange->weights || exchange->weights_direct;
}

status exchange_weights(struct exchange *exchange, float *values, int64_t size)
{
    static const char name[] = "the broadcast of weights";
    if (exchange->world->rank != 0) traffic_add(TRAFFIC_WEIGHTS, size * (int64_t)sizeof *values);
    if (!exchange->weights) {
        TRY(exchange->queue->op->synchronize(exchange->queue)); /* MPI knows nothing of its order */
        return actors_broadcast(exchange->world, values, (size_t)size * sizeof *values, name);
    }
    const struct collective_range all = {0, size, 0};
    TRY(gpu_group_broadcast(exchange->weights, values, &all, 1, name));
    return gpu_group_finish(exchange->weights, name);
}

static status reduce_begin(void *context, float *gradient, int64_t size)
{
    struct exchange *exchange = context;
    exchange->gradient = gradient;
    exchange->size = exchange->left = size;
    return NULL;
}

/* The parts of [begin, end) by their owners; returns how many. */
static int ranges_cut(int64_t begin, int64_t end, int64_t size, int learners,
                      struct collective_range *ranges)
{
    int count = 0;
    for (int l = 0; l < learners; l++) {
        int64_t first = slice_floats(l, size, learners), last = slice_floats(l + 1, size, learners);
        if (first < begin) first = begin;
        if (last > end) last = end;
        if (first < last) ranges[count++] = (struct collective_range){first, last - first, l};
    }
    return count;
}

/* MPI adds whole gradients, at the end. */
static void reduce_ready(void *context, int64_t offset)
{
    struct exchange *exchange = context;
    const int learners = exchange->world->roles.learners;
    if (!exchange->learners || exchange->error) return;
    struct collective_range *ranges = memory_allocate((size_t)learners * sizeof *ranges);
    while (!exchange->error && exchange->left > offset &&
           (offset == 0 || exchange->left - offset >= exchange->bucket)) {
        const int64_t most = exchange->left - offset;
        const int64_t begin = exchange->left - (most < exchange->bucket ? most : exchange->bucket);
        const int count = ranges_cut(begin, exchange->left, exchange->size, learners, ranges);
        exchange->error =
            gpu_group_reduce(exchange->learners, exchange->gradient, ranges, count, reduce_name);
        exchange->left = begin;
    }
    free(ranges);
}

/* Of an exchange between learners: all floats but those of the learner's own slice come to it. */
static void slices_count(const struct exchange *exchange, enum traffic_kind kind, int64_t size)
{
    const struct roles *roles = &exchange->world->roles;
    const int64_t own = slice_floats(roles->learner + 1, size, roles->learners) -
                        slice_floats(roles->learner, size, roles->learners);
    traffic_add(kind, (size - own) * (int64_t)sizeof(float));
}

static status gradients_reduce(struct exchange *exchange)
{
    slices_count(exchange, TRAFFIC_GRADIENTS, exchange->size);
    if (!exchange->learners)
        return learners_reduce(exchange->world, &exchange->staging, exchange->gradient,
                               exchange->size);
    status s = exchange->error;
    exchange->error = NULL;
    return s ? s : gpu_group_finish(exchange->learners, reduce_name);
}

static status reduce_finish(void *context)
{
    timeline_begin(TIME_EXCHANGE);
    status s = gradients_reduce(context);
    timeline_end();
    return s;
}

static status values_gather(struct exchange *exchange, float *values, int64_t size)
{
    const int learners = exchange->world->roles.learners;
    slices_count(exchange, TRAFFIC_PARAMETERS, size);
    if (!exchange->learners)
        return learners_gather_values(exchange->world, &exchange->staging, values, size,
                                      exchange->watched ? &exchange->watch : NULL);
    struct collective_range *ranges = memory_allocate((size_t)learners * sizeof *ranges);
    const int count = ranges_cut(0, size, size, learners, ranges);
    status s = gpu_group_broadcast(exchange->learners, values, ranges, count, gather_name);
    free(ranges);
    return s ? s : gpu_group_finish(exchange->learners, gather_name);
}

static status gather_values(void *context, float *values, int64_t size)
{
    struct exchange *exchange = context;
    timeline_begin(TIME_EXCHANGE);
    status s = values_gather(exchange, values, size);
    timeline_end();
    exchange->watched = false;
    return s;
}

static void values_ready(void *context, const float *values, int64_t begin, int64_t end)
{
    struct exchange *exchange = context;
    if (!exchange->watch.ready) return;
    exchange->watched = true;
    exchange->watch.ready(exchange->watch.context, values, begin, end);
}

static status gather_bytes(void *context, const void *mine, size_t bytes, void **all, size_t *total)
{
    struct exchange *exchange = context;
    struct world *world = exchange->world;
    char *data;
    size_t *sizes;
    TRY(learners_allgather_bytes(world, mine, bytes, &data, &sizes));
    *total = 0;
    for (int i = 0; i < world->roles.learners; i++) *total += sizes[i];
    free(sizes);
    *all = data;
    return NULL;
}

static status compare(void *context, const char *what, uint64_t hash)
{
    struct exchange *exchange = context;
    return replicas_compare(exchange->world, what, hash);
}

struct learner_exchange exchange_of_learner(struct exchange *exchange)
{
    struct world *world = exchange->world;
    struct learner_exchange out;
    learner_exchange_alone(&out);
    if (world->roles.learners > 1)
        out = (struct learner_exchange){.context = exchange,
                                        .rank = world->roles.learner,
                                        .count = world->roles.learners,
                                        .reduce_begin = reduce_begin,
                                        .reduce_ready = reduce_ready,
                                        .reduce_finish = reduce_finish,
                                        .gather_values = gather_values,
                                        .compare = compare,
                                        .gather = gather_bytes};
    out.context = exchange;
    out.values_ready = values_ready;
    return out;
}
