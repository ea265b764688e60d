/* Pieces of one buffer: run once with base NULL to count the bytes, then with the buffer to place
 * the pieces; whoever owns the buffer writes both as one function. */
#ifndef REGARD_MODEL_WORKSPACE_H
#define REGARD_MODEL_WORKSPACE_H

#include "kernels/ops.h"

struct workspace {
    char *base; /* NULL: count alone; the pieces are NULL too */
    size_t used, real_bytes;
};

struct workspace workspace_begin(const struct queue *queue, void *base);
/* The next `count` elements, 64 bytes apart from the piece before. */
real *workspace_reals(struct workspace *workspace, int64_t count);
float *workspace_floats(struct workspace *workspace, int64_t count);
int32_t *workspace_ints(struct workspace *workspace, int64_t count);

#endif
