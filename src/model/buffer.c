/* Device buffers that grow; see buffer.h. */
#include "src/model/buffer.h"

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
