/* AdamW on one buffer's slice. */
#include "src/learn/optimizer.h"

#include "src/base/memory.h"
#include "src/base/slices.h"

#include <math.h>
#include <stdlib.h>

enum { PARTS_LEAST = 64, PART_FLOATS = 1 << 20 };

int64_t optimizer_parts(int64_t microbatches)
{
    return microbatches > PARTS_LEAST ? microbatches : PARTS_LEAST;
}

int64_t optimizer_own_parts(const struct optimizer *o)
{
    return o->share.parts / o->share.count;
}

static status allocate_state(struct optimizer *o)
{
    struct queue *q = o->queue;
    const size_t bytes = (size_t)(o->end - o->begin) * sizeof(float);
    const size_t sums = (size_t)optimizer_own_parts(o) * sizeof(double);
    TRY(q->op->allocate(q, MEMORY_OPTIMIZER, bytes, (void **)&o->m));
    TRY(q->op->allocate(q, MEMORY_OPTIMIZER, bytes, (void **)&o->v));
    TRY(q->op->allocate(q, MEMORY_OPTIMIZER, sums, (void **)&o->sums));
    q->op->zero(q, o->m, bytes);
    q->op->zero(q, o->v, bytes);
    return NULL;
}

status optimizer_create(struct queue *queue, int64_t size, const struct optimizer_share *share,
                        double clip_norm, struct optimizer **out)
{
    *out = NULL;
    const struct optimizer_share alone = {0, 1, PARTS_LEAST};
    if (!share) share = &alone;
    if (share->count < 1 || share->parts % share->count || share->rank < 0 ||
        share->rank >= share->count)
        FAIL(STATUS_INTERNAL, "learner %lld of %lld cannot own an optimizer's part in %lld",
             (long long)share->rank, (long long)share->count, (long long)share->parts);
    struct optimizer *o = memory_allocate(sizeof *o);
    o->queue = queue;
    o->size = size;
    o->share = *share;
    o->begin = slice_floats(share->rank, size, share->count);
    o->end = slice_floats(share->rank + 1, size, share->count);
    o->beta1 = 0.9f;
    o->beta2 = 0.999f;
    o->eps = 1e-8f;
    o->clip_norm = clip_norm;
    status failed = allocate_state(o);
    if (failed) {
        optimizer_free(o);
        return status_context(failed, "optimizer state of %lld floats", (long long)size);
    }
    *out = o;
    return NULL;
}

void optimizer_free(struct optimizer *o)
{
    if (!o) return;
    if (o->m) o->queue->op->release(o->queue, o->m);
    if (o->v) o->queue->op->release(o->queue, o->v);
    if (o->sums) o->queue->op->release(o->queue, o->sums);
    free(o);
}

status optimizer_square_sums(struct optimizer *o, const float *gradient, double *sums)
{
    const int64_t own = optimizer_own_parts(o), first = o->share.rank * own;
    for (int64_t i = 0; i < own; i++) {
        const int64_t begin = slice_floats(first + i, o->size, o->share.parts);
        const int64_t end = slice_floats(first + i + 1, o->size, o->share.parts);
        o->queue->op->square_sum(o->queue, o->sums + i, gradient + begin, end - begin);
    }
    o->queue->op->download(o->queue, sums, o->sums, (size_t)own * sizeof *sums);
    return o->queue->op->synchronize(o->queue);
}

double optimizer_norm(const double *sums, int64_t parts)
{
    double total = 0;
    for (int64_t i = 0; i < parts; i++) total += sums[i];
    return sqrt(total);
}

status optimizer_step(struct optimizer *o, float *values, const float *gradient, double norm,
                      double lr)
{
    if (!isfinite(norm)) FAIL(STATUS_INTERNAL, "the gradient's norm is %g", norm);
    bool clip = o->clip_norm > 0 && norm > o->clip_norm;
    struct adamw settings = {.lr = (float)lr,
                             .beta1 = o->beta1,
                             .beta2 = o->beta2,
                             .eps = o->eps,
                             .decay = o->decay,
                             .step = ++o->step,
                             .gradient_scale = clip ? (float)(o->clip_norm / norm) : 1};
    const int64_t part = o->ready ? PART_FLOATS : o->end - o->begin;
    for (int64_t begin = o->begin; begin < o->end; begin += part) {
        const int64_t own = begin - o->begin, left = o->end - begin;
        const int64_t count = left < part ? left : part;
        o->queue->op->adamw(o->queue, values + begin, o->m + own, o->v + own, gradient + begin,
                            count, &settings);
        if (o->ready) o->ready(o->ready_context, values, begin, begin + count);
    }
    return NULL;
}
