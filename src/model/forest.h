/* A forest of tokens: histories fall into segments at their cuts, and a segment that several have
 * behind the same segments stands in it once.  So in a causal model every token of a batch's
 * histories is computed once, whoever reads it.
 * Where a history may be cut is a property of the history (batch.h), never of what else is in the
 * batch: so its segments, and on CUDA the tiles of attention, are the same in every batch. */
#ifndef REGARD_MODEL_FOREST_H
#define REGARD_MODEL_FOREST_H

#include <stdbool.h>
#include <stdint.h>

struct forest_node {
    int64_t parent;        /* -1: a root */
    const int32_t *tokens; /* [count] the caller's */
    int64_t count;         /* at least 1 */
    int64_t position;      /* of its first token: the tokens of its ancestors */
    int64_t depth;         /* ancestors */
    int64_t row;           /* of its first token: the tokens of the nodes before it */
    uint64_t hash;
};

/* Parents stand before their children, nodes in the order of their first appearance. */
struct forest {
    struct forest_node *nodes;
    int64_t count, capacity;
    int64_t rows; /* tokens of all nodes */
    bool apart;   /* no segment is shared: every history has rows of its own */
};

/* Adds the segments of tokens [count] that are not in it yet, the tokens themselves not copied;
 * cuts [cut_count] ascending, those outside (0, count) are passed over.  Returns the node where the
 * path ends; -1 where count is 0. */
int64_t forest_add(struct forest *forest, const int32_t *tokens, int64_t count, const int32_t *cuts,
                   int64_t cut_count);
/* Empties it; its memory stays. */
void forest_clear(struct forest *forest);
void forest_free(struct forest *forest);

#endif
