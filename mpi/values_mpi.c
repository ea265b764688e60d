/* See values.h.  At the level of a bit, learner l and l ^ bit exchange; the slices that l then goes
 * on with are those whose owner agrees with it in this bit and all below. */
#include "mpi/values.h"

#include "mpi/transport_mpi.h"
#include "src/base/slices.h"

#include <string.h>

enum { CHUNK = STAGING_FLOATS, EXCHANGE_TAG = 1 };

status staging_open(struct staging *staging, const struct world *world, struct queue *queue)
{
    const struct ops *op = queue->op;
    *staging = (struct staging){.queue = queue};
    if (world->roles.learners == 1) return NULL;
    staging->direct = queue->on_host || transport_reads_devices();
    const size_t bytes = CHUNK * sizeof(float);
    TRY(op->allocate(queue, MEMORY_OPTIMIZER, bytes, (void **)&staging->theirs));
    if (staging->direct) return NULL;
    TRY(op->host_allocate(queue, bytes, (void **)&staging->out));
    return op->host_allocate(queue, bytes, (void **)&staging->in);
}

void staging_close(struct staging *staging)
{
    if (!staging->queue) return;
    const struct ops *op = staging->queue->op;
    if (staging->theirs) op->release(staging->queue, staging->theirs);
    if (staging->out) op->host_release(staging->queue, staging->out);
    if (staging->in) op->host_release(staging->queue, staging->in);
    *staging = (struct staging){0};
}

/* A piece that leaves and the one that comes for it; either may be empty. */
struct swap {
    const float *out;
    float *in;
    int64_t out_count, in_count;
    int partner;
    const char *what;
};

static status swap_run(struct world *world, const struct swap *swap)
{
    MPI_Request requests[2];
    int count = 0;
    MPI_Comm comm = world->groups->learners;
    if (swap->in_count)
        TRY(transport_check(MPI_Irecv(swap->in, (int)swap->in_count, MPI_FLOAT, swap->partner,
                                      EXCHANGE_TAG, comm, &requests[count++]),
                            swap->what));
    if (swap->out_count)
        TRY(transport_check(MPI_Isend(swap->out, (int)swap->out_count, MPI_FLOAT, swap->partner,
                                      EXCHANGE_TAG, comm, &requests[count++]),
                            swap->what));
    return transport_wait_all(world, requests, count, swap->what);
}

/* out leaves; what comes is added to `in`, or overwrites it.  Returns once both are done. */
static status piece_swap(struct world *world, struct staging *staging, struct swap swap, bool add)
{
    struct queue *q = staging->queue;
    const struct ops *op = q->op;
    float *in = swap.in;
    const size_t in_bytes = (size_t)swap.in_count * sizeof *in;
    if (!staging->direct) {
        op->download(q, staging->out, swap.out, (size_t)swap.out_count * sizeof *in);
        TRY(op->synchronize(q));
        swap.out = staging->out;
        swap.in = staging->in;
    } else if (add)
        swap.in = staging->theirs;
    TRY(swap_run(world, &swap));
    if (!staging->direct) op->upload(q, add ? staging->theirs : in, staging->in, in_bytes);
    if (add) op->add(q, in, in, staging->theirs, swap.in_count);
    return op->synchronize(q);
}

/* The slices of the partner's side for those of mine, chunk by chunk. */
static status level_swap(struct world *world, struct staging *staging, float *values, int64_t size,
                         int bit, bool reducing)
{
    const int learners = world->roles.learners, me = world->roles.learner, partner = me ^ bit;
    const int mask = 2 * bit - 1;
    for (int k = 0; k < learners; k += 2 * bit) {
        /* Reducing, mine is what I go on with; gathering, it is what I have. */
        const int mine = (me & mask) + k, other = (partner & mask) + k;
        const int leaves = reducing ? other : mine, comes = reducing ? mine : other;
        const int64_t out = slice_floats(leaves, size, learners);
        const int64_t out_count = slice_floats(leaves + 1, size, learners) - out;
        const int64_t in = slice_floats(comes, size, learners);
        const int64_t in_count = slice_floats(comes + 1, size, learners) - in;
        for (int64_t at = 0; at < out_count || at < in_count; at += CHUNK) {
            const int64_t out_left = out_count > at ? out_count - at : 0;
            const int64_t in_left = in_count > at ? in_count - at : 0;
            const struct swap swap = {.out = values + out + at,
                                      .in = values + in + at,
                                      .out_count = out_left < CHUNK ? out_left : CHUNK,
                                      .in_count = in_left < CHUNK ? in_left : CHUNK,
                                      .partner = partner,
                                      .what = reducing ? "reduce of gradients between learners"
                                                       : "gather of parameters between learners"};
            TRY(piece_swap(world, staging, swap, reducing));
        }
    }
    return NULL;
}

status learners_reduce(struct world *world, struct staging *staging, float *gradient, int64_t size)
{
    if (world->roles.learners == 1) return NULL;
    TRY(staging->queue->op->synchronize(staging->queue));
    for (int bit = 1; bit < world->roles.learners; bit <<= 1)
        TRY(level_swap(world, staging, gradient, size, bit, true));
    return NULL;
}

status learners_gather_values(struct world *world, struct staging *staging, float *values,
                              int64_t size)
{
    if (world->roles.learners == 1) return NULL;
    TRY(staging->queue->op->synchronize(staging->queue));
    for (int bit = world->roles.learners / 2; bit > 0; bit >>= 1)
        TRY(level_swap(world, staging, values, size, bit, false));
    return NULL;
}
