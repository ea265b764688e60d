/* Device buffers that grow; see buffer.h. */
#include "src/model/buffer.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

status buffer_reserve(struct queue *queue, struct buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->size && buffer->data) return NULL;
    /* Exact at first, since who knows the largest asks for that; what grows once grows again. */
    size_t size = bytes + (buffer->data ? bytes / 4 : 0) + 64;
    buffer_release(queue, buffer);
    TRY(queue->op->allocate(queue, buffer->kind, size, &buffer->data));
    buffer->size = size;
    return NULL;
}

status buffer_upload(struct queue *queue, struct buffer *buffer, const void *host, size_t bytes)
{
    TRY(buffer_reserve(queue, buffer, bytes));
    if (bytes) queue->op->upload(queue, buffer->data, host, bytes);
    return NULL;
}

void buffer_release(struct queue *queue, struct buffer *buffer)
{
    if (buffer->data) queue->op->release(queue, buffer->data);
    buffer->data = NULL;
    buffer->size = 0;
}

status host_buffer_reserve(struct queue *queue, struct host_buffer *buffer, size_t bytes)
{
    if (bytes <= buffer->size && buffer->data) return NULL;
    host_buffer_release(queue, buffer);
    TRY(queue->op->host_allocate(queue, bytes, &buffer->data));
    buffer->size = bytes;
    return NULL;
}

void host_buffer_release(struct queue *queue, struct host_buffer *buffer)
{
    if (buffer->data) queue->op->host_release(queue, buffer->data);
    *buffer = (struct host_buffer){0};
}

status reals_download(struct queue *queue, const real *from, int64_t count, float *out)
{
    const size_t bytes = (size_t)count * queue->real_bytes;
    const bool narrow = queue->real_bytes != sizeof *out; /* bf16, the upper half of fp32 */
    uint16_t *halves = narrow ? memory_allocate(bytes + 1) : NULL;
    queue->op->download(queue, narrow ? (void *)halves : out, from, bytes);
    status s = queue->op->synchronize(queue);
    for (int64_t i = 0; !s && narrow && i < count; i++) {
        const uint32_t wide = (uint32_t)halves[i] << 16;
        memcpy(&out[i], &wide, sizeof wide);
    }
    free(halves);
    return s;
}

int64_t size_bucket(int64_t n)
{
    int64_t size = 1;
    while (size < n) size *= 2;
    return size >= 32 && n <= size / 4 * 3 ? size / 4 * 3 : size;
}

int64_t size_grown(int64_t now, int64_t need, bool to_bucket)
{
    if (now >= need) return now;
    return to_bucket ? size_bucket(need) : need;
}
