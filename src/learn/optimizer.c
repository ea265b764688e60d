/* AdamW on one buffer. */
#include "src/learn/optimizer.h"

#include <math.h>
#include <stdlib.h>

static status allocate_state(struct optimizer *o)
{
    struct queue *q = o->queue;
    size_t bytes = (size_t)o->size * sizeof(float);
    TRY(q->op->allocate(q, MEMORY_OPTIMIZER, bytes, (void **)&o->m));
    TRY(q->op->allocate(q, MEMORY_OPTIMIZER, bytes, (void **)&o->v));
    TRY(q->op->allocate(q, MEMORY_OPTIMIZER, sizeof(double), (void **)&o->sum));
    q->op->zero(q, o->m, bytes);
    q->op->zero(q, o->v, bytes);
    return NULL;
}

status optimizer_create(struct queue *queue, int64_t size, double clip_norm, struct optimizer **out)
{
    *out = NULL;
    struct optimizer *o = calloc(1, sizeof *o);
    if (!o) FAIL(STATUS_INTERNAL, "out of memory for an optimizer");
    o->queue = queue;
    o->size = size;
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
    if (o->sum) o->queue->op->release(o->queue, o->sum);
    free(o);
}

status optimizer_norm(struct optimizer *o, const float *gradient, double *norm)
{
    double sum;
    o->queue->op->square_sum(o->queue, o->sum, gradient, o->size);
    o->queue->op->download(o->queue, &sum, o->sum, sizeof sum);
    TRY(o->queue->op->synchronize(o->queue));
    *norm = sqrt(sum);
    return NULL;
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
    o->queue->op->adamw(o->queue, values, o->m, o->v, gradient, o->size, &settings);
    return NULL;
}

static status check_slice(const struct optimizer *o, int64_t offset, int64_t count)
{
    if (offset < 0 || count < 0 || offset > o->size || count > o->size - offset)
        FAIL(STATUS_INTERNAL, "slice %lld + %lld of an optimizer of %lld floats", (long long)offset,
             (long long)count, (long long)o->size);
    return NULL;
}

status optimizer_download(const struct optimizer *o, int64_t offset, int64_t count, float *host_m,
                          float *host_v)
{
    TRY(check_slice(o, offset, count));
    size_t bytes = (size_t)count * sizeof(float);
    o->queue->op->download(o->queue, host_m, o->m + offset, bytes);
    o->queue->op->download(o->queue, host_v, o->v + offset, bytes);
    return o->queue->op->synchronize(o->queue);
}

status optimizer_upload(struct optimizer *o, int64_t offset, int64_t count, const float *host_m,
                        const float *host_v)
{
    TRY(check_slice(o, offset, count));
    size_t bytes = (size_t)count * sizeof(float);
    o->queue->op->upload(o->queue, o->m + offset, host_m, bytes);
    o->queue->op->upload(o->queue, o->v + offset, host_v, bytes);
    return o->queue->op->synchronize(o->queue);
}
