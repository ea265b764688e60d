/* A binary counter of partial sums: buffer i of the stack holds the sum of 2^level[i] leaves. */
#include "src/learn/reduce.h"

#include "src/base/memory.h"

#include <stdlib.h>

enum { LEVELS_MAX = 40 };

struct gradient_tree {
    struct queue *queue;
    int64_t size, leaves, pushed;
    int64_t final; /* entries of the last leaf from here on are in the sum already */
    int depth;     /* buffers on the stack that hold sums */
    int buffers;
    bool open; /* a leaf was given out and not pushed */
    int level[LEVELS_MAX + 1];
    float *buffer[LEVELS_MAX + 1];
};

status gradient_tree_create(struct queue *queue, int64_t size, int64_t leaves,
                            struct gradient_tree **out)
{
    *out = NULL;
    if (leaves < 1 || (leaves & (leaves - 1)) != 0)
        FAIL(STATUS_INTERNAL, "a gradient tree needs a power of two of leaves, not %lld",
             (long long)leaves);
    struct gradient_tree *tree = memory_allocate(sizeof *tree);
    tree->queue = queue;
    tree->size = size;
    tree->leaves = leaves;
    int levels = 0;
    while (((int64_t)1 << levels) < leaves && levels < LEVELS_MAX) levels++;
    for (; tree->buffers < levels + 1; tree->buffers++) {
        status failed = queue->op->allocate(queue, MEMORY_OPTIMIZER, (size_t)size * sizeof(float),
                                            (void **)&tree->buffer[tree->buffers]);
        if (failed) {
            gradient_tree_free(tree);
            return status_context(failed, "gradient buffers");
        }
    }
    *out = tree;
    return NULL;
}

void gradient_tree_free(struct gradient_tree *tree)
{
    if (!tree) return;
    for (int i = 0; i < tree->buffers; i++) tree->queue->op->release(tree->queue, tree->buffer[i]);
    free(tree);
}

status gradient_tree_leaf(struct gradient_tree *tree, float **out)
{
    if (tree->open) FAIL(STATUS_INTERNAL, "a gradient leaf was begun before the last was pushed");
    if (tree->pushed == tree->leaves) tree->pushed = tree->depth = 0;
    tree->open = true;
    tree->final = tree->size;
    *out = tree->buffer[tree->depth];
    tree->queue->op->zero(tree->queue, *out, (size_t)tree->size * sizeof(float));
    return NULL;
}

bool gradient_tree_ends(const struct gradient_tree *tree)
{
    return tree->open && tree->pushed == tree->leaves - 1;
}

float *gradient_tree_sum(const struct gradient_tree *tree)
{
    return tree->buffer[0];
}

/* The last leaf closes a pair on every level: the additions of push, for these entries alone. */
void gradient_tree_ready(struct gradient_tree *tree, int64_t offset)
{
    if (!gradient_tree_ends(tree) || offset >= tree->final) return;
    for (int i = tree->depth; i > 0; i--) {
        float *left = tree->buffer[i - 1] + offset, *right = tree->buffer[i] + offset;
        tree->queue->op->add(tree->queue, left, left, right, tree->final - offset);
    }
    tree->final = offset;
}

status gradient_tree_push(struct gradient_tree *tree)
{
    if (!tree->open) FAIL(STATUS_INTERNAL, "no gradient leaf was begun");
    if (gradient_tree_ends(tree)) {
        gradient_tree_ready(tree, 0);
        tree->open = false;
        tree->pushed++;
        return NULL;
    }
    tree->open = false;
    tree->pushed++;
    tree->level[tree->depth++] = 0;
    while (tree->depth > 1 && tree->level[tree->depth - 1] == tree->level[tree->depth - 2]) {
        float *left = tree->buffer[tree->depth - 2], *right = tree->buffer[tree->depth - 1];
        tree->queue->op->add(tree->queue, left, left, right, tree->size);
        tree->depth--;
        tree->level[tree->depth - 1]++;
    }
    return NULL;
}

status gradient_tree_result(struct gradient_tree *tree, float **out)
{
    if (tree->open || tree->pushed != tree->leaves)
        FAIL(STATUS_INTERNAL, "the gradient tree holds %lld of %lld leaves",
             (long long)tree->pushed, (long long)tree->leaves);
    *out = tree->buffer[0];
    return NULL;
}
