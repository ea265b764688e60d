/* A device buffer that grows and is used again: no allocation once sizes have settled. */
#ifndef REGARD_MODEL_BUFFER_H
#define REGARD_MODEL_BUFFER_H

#include "kernels/ops.h"

struct buffer {
    void *data;
    size_t size;
    enum memory_kind kind; /* 0: activations */
};

/* At least `bytes`; what it held is lost when it grows. */
status buffer_reserve(struct queue *queue, struct buffer *buffer, size_t bytes);
/* Reserves and copies from the host; the host memory may be reused after synchronize. */
status buffer_upload(struct queue *queue, struct buffer *buffer, const void *host, size_t bytes);
void buffer_release(struct queue *queue, struct buffer *buffer);

/* The same on the host, pinned: copies to and from the device need not wait for it. */
struct host_buffer {
    void *data;
    size_t size;
};
status host_buffer_reserve(struct queue *queue, struct host_buffer *buffer, size_t bytes);
void host_buffer_release(struct queue *queue, struct host_buffer *buffer);

/* Activations [count] of the device as fp32 on the host, whatever they are there.  Waits for it. */
status reals_download(struct queue *queue, const real *from, int64_t count, float *out);

/* The least of 1, 2, 4, 8, 16, 24, 32, 48, 64, 96, ... that is at least n: sizes that are to
 * change seldom, because a recorded graph holds for one alone. */
int64_t size_bucket(int64_t n);
/* `now` where that is enough for `need`; else `need`, or its bucket. */
int64_t size_grown(int64_t now, int64_t need, bool to_bucket);

#endif
