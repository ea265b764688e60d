/* See past_weights.h. */
#include "mpi/past_weights.h"

static size_t bytes_of(const struct past_weights *past)
{
    return (size_t)past->size * sizeof *past->values;
}

static float *row_of(const struct past_weights *past, int64_t version)
{
    return past->values + version % past->lag * past->size;
}

status past_weights_open(struct queue *queue, int64_t size, int64_t lag, struct past_weights *out)
{
    *out = (struct past_weights){.queue = queue, .size = size, .lag = lag};
    for (int64_t i = 0; i < lag; i++) out->version[i] = -1;
    return queue->op->allocate(queue, MEMORY_WEIGHTS, (size_t)lag * bytes_of(out),
                               (void **)&out->values);
}

void past_weights_close(struct past_weights *past)
{
    if (past->values) past->queue->op->release(past->queue, past->values);
    *past = (struct past_weights){0};
}

void past_weights_keep(struct past_weights *past, int64_t version, const float *values)
{
    past->queue->op->copy(past->queue, row_of(past, version), values, bytes_of(past));
    past->version[version % past->lag] = version;
}

float *past_weights_of(const struct past_weights *past, int64_t version)
{
    const bool there = version >= 0 && past->lag && past->version[version % past->lag] == version;
    return there ? row_of(past, version) : NULL;
}

status past_weights_save(const struct past_weights *past, int64_t version, float *host)
{
    const float *values = past_weights_of(past, version);
    if (!values)
        FAIL(STATUS_INTERNAL, "the weights of update %lld are not kept", (long long)version);
    past->queue->op->download(past->queue, host, values, bytes_of(past));
    return past->queue->op->synchronize(past->queue);
}

status past_weights_load(struct past_weights *past, int64_t version, const float *host)
{
    past->queue->op->upload(past->queue, row_of(past, version), host, bytes_of(past));
    past->version[version % past->lag] = version;
    return past->queue->op->synchronize(past->queue);
}
