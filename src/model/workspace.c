#include "src/model/workspace.h"

static void *piece(struct workspace *workspace, size_t bytes)
{
    void *begin = workspace->base ? workspace->base + workspace->used : NULL;
    workspace->used += (bytes + 63) / 64 * 64;
    return begin;
}

struct workspace workspace_begin(const struct queue *queue, void *base)
{
    return (struct workspace){.base = base, .real_bytes = queue->real_bytes};
}

real *workspace_reals(struct workspace *workspace, int64_t count)
{
    return piece(workspace, (size_t)count * workspace->real_bytes);
}

float *workspace_floats(struct workspace *workspace, int64_t count)
{
    return piece(workspace, (size_t)count * sizeof(float));
}

int32_t *workspace_ints(struct workspace *workspace, int64_t count)
{
    return piece(workspace, (size_t)count * sizeof(int32_t));
}
