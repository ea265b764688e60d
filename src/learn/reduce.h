/* Sum of a power of two of gradients in a fixed binary tree, made one after another: like a
 * binary counter, with log2(M) + 1 buffers.  Leaves 2i and 2i+1 are added first, so a learner
 * with a contiguous, aligned slice of the microbatches holds one subtree, and the exchange
 * between learners is the upper levels of the same tree. */
#ifndef REGARD_LEARN_REDUCE_H
#define REGARD_LEARN_REDUCE_H

#include "kernels/ops.h"

struct gradient_tree;

/* `size` floats a gradient; leaves: a power of two.  All memory is taken here. */
status gradient_tree_create(struct queue *queue, int64_t size, int64_t leaves,
                            struct gradient_tree **out);
void gradient_tree_free(struct gradient_tree *tree);
/* A zeroed device buffer [size] to add the next leaf's gradient into; owned by the tree. */
status gradient_tree_leaf(struct gradient_tree *tree, float **out);
/* The leaf is complete: left + right for every pair that it closes. */
status gradient_tree_push(struct gradient_tree *tree);
/* Whether the leaf that was given out is the last one, with which the sum is complete. */
bool gradient_tree_ends(const struct gradient_tree *tree);
/* Where the sum will be. */
float *gradient_tree_sum(const struct gradient_tree *tree);
/* While the last leaf is open: its floats from `offset` on are final, with offsets falling.  After
 * this call those of the sum are final too; gradient_tree_push completes the others. */
void gradient_tree_ready(struct gradient_tree *tree, int64_t offset);
/* After all leaves: the sum, valid (and writable) until the next gradient_tree_leaf, which
 * begins a new tree. */
status gradient_tree_result(struct gradient_tree *tree, float **out);

#endif
