#include "src/model/fingerprint.h"

#include "src/base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct fingerprint {
    struct queue *queue;
    uint64_t *sum; /* device */
};

status fingerprint_open(struct queue *queue, struct fingerprint **out)
{
    struct fingerprint *f = *out = memory_allocate(sizeof *f);
    f->queue = queue;
    return queue->op->allocate(queue, MEMORY_OPTIMIZER, sizeof *f->sum, (void **)&f->sum);
}

void fingerprint_close(struct fingerprint *f)
{
    if (!f) return;
    if (f->sum) f->queue->op->release(f->queue, f->sum);
    free(f);
}

status fingerprint_of(struct fingerprint *f, const float *values, int64_t first, int64_t count,
                      uint64_t *out)
{
    const struct ops *op = f->queue->op;
    op->hash(f->queue, f->sum, values, first, count);
    op->download(f->queue, out, f->sum, sizeof *out);
    return op->synchronize(f->queue);
}

/* The last rounds of MurmurHash3's 64-bit finaliser. */
void fingerprint_text(uint64_t value, char out[17])
{
    value ^= value >> 33;
    value *= UINT64_C(0xff51afd7ed558ccd);
    value ^= value >> 33;
    value *= UINT64_C(0xc4ceb9fe1a85ec53);
    value ^= value >> 33;
    snprintf(out, 17, "%016" PRIx64, value);
}
