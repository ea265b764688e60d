/* Per-token arrays of a pass; see token_arrays.h. */
#include "src/learn/token_arrays.h"

status token_arrays_reserve(struct token_arrays *t, int64_t count)
{
    const size_t bytes = (size_t)count * sizeof(float);
    TRY(buffer_reserve(t->queue, &t->memory, TOKEN_ARRAYS * bytes));
    return host_buffer_reserve(t->queue, &t->host_memory, TOKEN_LSE * bytes);
}

status token_arrays_begin(struct token_arrays *t, int64_t count)
{
    t->count = count;
    return token_arrays_reserve(t, count);
}

void token_arrays_release(struct token_arrays *t)
{
    buffer_release(t->queue, &t->memory);
    host_buffer_release(t->queue, &t->host_memory);
}

float *token_device(const struct token_arrays *t, enum token_array array)
{
    return (float *)t->memory.data + (int64_t)array * t->count;
}

float *token_host(const struct token_arrays *t, enum token_array array)
{
    return (float *)t->host_memory.data + (int64_t)array * t->count;
}

void token_arrays_upload(struct token_arrays *t, enum token_array from, enum token_array to)
{
    t->queue->op->upload(t->queue, token_device(t, from), token_host(t, from),
                         (size_t)((to - from) * t->count) * sizeof(float));
}

status token_arrays_download(struct token_arrays *t, enum token_array from, enum token_array to)
{
    t->queue->op->download(t->queue, token_host(t, from), token_device(t, from),
                           (size_t)((to - from) * t->count) * sizeof(float));
    return t->queue->op->synchronize(t->queue);
}
