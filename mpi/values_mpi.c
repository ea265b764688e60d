/* See values.h.  At the level of a bit, learner l and l ^ bit exchange; the slices that l then goes
 * on with are those whose owner agrees with it in this bit and all below. */
#include "mpi/values.h"

#include "mpi/transport_mpi.h"
#include "src/base/memory.h"
#include "src/base/slices.h"

#include <stdlib.h>
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

/* Slices of the vector that leave or come at a level: first, first + step, ...; the floats before
 * `done` of slice `first` have been taken. */
struct side {
    int64_t size;
    int learners, first, step;
    int64_t done;
};

/* What goes in one message: floats [at[i], at[i] + count[i]) of the vector, one behind the other.
 */
struct piece {
    int ranges, floats; /* floats: of all ranges */
    int64_t *at;
    int *count;
};

static void piece_new(struct piece *piece, int learners)
{
    *piece = (struct piece){.at = memory_allocate((size_t)learners * sizeof *piece->at),
                            .count = memory_allocate((size_t)learners * sizeof *piece->count)};
}

static void piece_free(struct piece *piece)
{
    free(piece->at);
    free(piece->count);
}

/* Up to CHUNK floats more; none at the side's end. */
static void side_take(struct side *side, struct piece *out)
{
    out->ranges = out->floats = 0;
    while (side->first < side->learners && out->floats < CHUNK) {
        const int64_t begin = slice_floats(side->first, side->size, side->learners) + side->done;
        const int64_t left = slice_floats(side->first + 1, side->size, side->learners) - begin;
        const int count = left < CHUNK - out->floats ? (int)left : CHUNK - out->floats;
        if (count > 0) {
            out->at[out->ranges] = begin;
            out->count[out->ranges++] = count;
            out->floats += count;
        }
        side->done += count;
        if (count < left) return;
        side->done = 0;
        side->first += side->step;
    }
}

/* The piece as MPI finds it in the vector. */
static status piece_type(const struct piece *piece, MPI_Datatype *out)
{
    MPI_Aint *bytes = memory_allocate((size_t)piece->ranges * sizeof *bytes);
    for (int i = 0; i < piece->ranges; i++) bytes[i] = (MPI_Aint)sizeof(float) * piece->at[i];
    int code = MPI_Type_create_hindexed(piece->ranges, piece->count, bytes, MPI_FLOAT, out);
    free(bytes);
    if (code == MPI_SUCCESS) code = MPI_Type_commit(out);
    return transport_check(code, "a piece of a vector");
}

/* One message each way with the partner, either of which may be empty.  NULL for `whole`: the piece
 * stands in the vector; else it stands there without gaps. */
struct swap {
    float *values;
    const struct piece *out, *in;
    const float *out_whole;
    float *in_whole;
    int partner;
    const char *what;
};

static status swap_begin(struct world *world, const struct swap *swap, bool in,
                         MPI_Request requests[2], int *count)
{
    MPI_Comm comm = world->groups->learners;
    const struct piece *piece = in ? swap->in : swap->out;
    float *whole = in ? swap->in_whole : (float *)(uintptr_t)swap->out_whole;
    MPI_Datatype type = MPI_FLOAT;
    if (!piece->floats) return NULL;
    if (!whole) TRY(piece_type(piece, &type));
    float *at = whole ? whole : swap->values;
    const int n = whole ? piece->floats : 1;
    const int code =
        in ? MPI_Irecv(at, n, type, swap->partner, EXCHANGE_TAG, comm, &requests[*count])
           : MPI_Isend(at, n, type, swap->partner, EXCHANGE_TAG, comm, &requests[*count]);
    if (!whole) MPI_Type_free(&type); /* once the message is through */
    TRY(transport_check(code, swap->what));
    ++*count;
    return NULL;
}

static status swap_run(struct world *world, const struct swap *swap)
{
    MPI_Request requests[2];
    int count = 0;
    TRY(swap_begin(world, swap, true, requests, &count));
    TRY(swap_begin(world, swap, false, requests, &count));
    return transport_wait_all(world, requests, count, swap->what);
}

/* out leaves; what comes is added to `in`, or overwrites it.  Returns once both are done. */
static status pieces_swap(struct world *world, struct staging *staging, struct swap swap, bool add)
{
    struct queue *q = staging->queue;
    const struct ops *op = q->op;
    const struct piece *out = swap.out, *in = swap.in;
    float *theirs = staging->theirs;
    if (!staging->direct) {
        float *to = staging->out;
        for (int i = 0; i < out->ranges; to += out->count[i++])
            op->download(q, to, swap.values + out->at[i], (size_t)out->count[i] * sizeof *to);
        TRY(op->synchronize(q));
        swap.out_whole = staging->out;
        swap.in_whole = staging->in;
    } else if (add)
        swap.in_whole = theirs;
    TRY(swap_run(world, &swap));
    if (!staging->direct) op->upload(q, theirs, staging->in, (size_t)in->floats * sizeof *theirs);
    for (int i = 0; i < in->ranges; theirs += in->count[i++]) {
        float *to = swap.values + in->at[i];
        if (add)
            op->add(q, to, to, theirs, in->count[i]);
        else if (!staging->direct)
            op->copy(q, to, theirs, (size_t)in->count[i] * sizeof *to);
    }
    return op->synchronize(q);
}

/* The slices of the partner's side for those of mine, chunk by chunk. */
static status level_swap(struct world *world, struct staging *staging, float *values, int64_t size,
                         int bit, bool reducing, const struct values_watch *watch)
{
    const int learners = world->roles.learners, me = world->roles.learner, partner = me ^ bit;
    const int mask = 2 * bit - 1, mine = me & mask, other = partner & mask;
    /* Reducing, mine is what I go on with; gathering, it is what I have. */
    struct side leaves = {.size = size, .learners = learners, .step = 2 * bit}, comes = leaves;
    leaves.first = reducing ? other : mine;
    comes.first = reducing ? mine : other;
    struct piece out, in;
    piece_new(&out, learners);
    piece_new(&in, learners);
    const struct swap swap = {.values = values,
                              .out = &out,
                              .in = &in,
                              .partner = partner,
                              .what = reducing ? "reduce of gradients between learners"
                                               : "gather of parameters between learners"};
    status s = NULL;
    do {
        side_take(&leaves, &out);
        side_take(&comes, &in);
        if (out.floats || in.floats) s = pieces_swap(world, staging, swap, reducing);
        for (int i = 0; !s && watch && i < in.ranges; i++)
            watch->ready(watch->context, values, in.at[i], in.at[i] + in.count[i]);
    } while (!s && (out.floats || in.floats));
    piece_free(&out);
    piece_free(&in);
    return s;
}

status learners_reduce(struct world *world, struct staging *staging, float *gradient, int64_t size)
{
    if (world->roles.learners == 1) return NULL;
    TRY(staging->queue->op->synchronize(staging->queue));
    for (int bit = 1; bit < world->roles.learners; bit <<= 1)
        TRY(level_swap(world, staging, gradient, size, bit, true, NULL));
    return NULL;
}

status learners_gather_values(struct world *world, struct staging *staging, float *values,
                              int64_t size, const struct values_watch *watch)
{
    if (world->roles.learners == 1) return NULL;
    TRY(staging->queue->op->synchronize(staging->queue));
    for (int bit = world->roles.learners / 2; bit > 0; bit >>= 1)
        TRY(level_swap(world, staging, values, size, bit, false, watch));
    return NULL;
}
