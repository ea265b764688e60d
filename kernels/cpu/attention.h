/* What attention and its gradients share on the CPU: which segments are done together, one head's
 * keys and values of theirs, and products of some of their rows with those. */
#ifndef REGARD_KERNELS_CPU_ATTENTION_H
#define REGARD_KERNELS_CPU_ATTENTION_H

#include "kernels/cpu/rows.h"

/* Of a chunk: rows, and items unless one row has more. */
enum { chunk_rows = 32 };

/* `real` is float here. */
static inline float *floats_at(const real *p, int64_t count)
{
    return (float *)p + count;
}

/* How many ranges of keys stand before those of segment s. */
static inline int64_t ranges_before(const struct attention *a, int64_t s)
{
    return a->range_begin ? a->range_begin[s] : s;
}

/* The first element in a row of k or v of what head h of q reads. */
static inline int64_t key_column(const struct attention *a, int64_t h)
{
    return h / (a->heads / a->kv_heads) * a->head_dim;
}

/* Consecutive segments [first, last) whose lists of ranges begin with the same `shared` ones: the
 * candidates of a history, a node of a forest and its children.  What is behind those in a list is
 * the segment's own. */
struct group {
    int64_t first, last, shared;
    int64_t shared_keys;
    int64_t own_keys; /* the most that one of the segments has */
};

/* All groups, and the sizes that working space needs. */
struct groups {
    struct group *list;
    int64_t count;
    int64_t shared_keys, own_keys, keys; /* the most of a group, of a segment's own, of both */
};

/* list: room for a->segments groups. */
struct groups groups_of(const struct attention *a, struct group *list);

/* Floats from one row to the next of so many keys: room for products that write whole vectors, and
 * an odd number of cache lines, so that a column of rows does not fall on a few sets. */
static inline int64_t keys_stride(int64_t keys)
{
    return row_padded(keys) + 48;
}

/* One head's rows of k or v in some ranges. */
struct keys {
    int64_t range, range_end, column; /* what this is set for */
    const float *rows;                /* [keys, head_dim], in place or gathered */
    int64_t rows_stride;
    float *gathered;   /* where several ranges' rows are gathered; NULL: rows are not wanted */
    float *transposed; /* [head_dim, stride]; NULL: not wanted */
    int64_t stride;
};

/* k or v: what a group's segments share, and what one of them has of its own. */
struct side {
    const real *from;
    int64_t from_stride;
    struct keys shared, own;
};

enum side_form { SIDE_ROWS = 1, SIDE_TRANSPOSED = 2 };

/* Floats of working space of one side, and the side laid over them; returns what is behind. */
int64_t side_floats(const struct attention *a, const struct groups *groups, int forms);
float *side_open(struct side *side, const struct attention *a, const struct groups *groups,
                 const real *from, int64_t from_stride, int forms, float *memory);
/* The keys that the group shares, at this column of k and v. */
void side_share(const struct row_functions *rows, struct side *side, const struct attention *a,
                const struct group *group, int64_t column);

/* Some query rows of one group, each with the `each` heads of q from `head` on, which read one head
 * of k and v: an item is one of these heads' query of a row, row by row. */
struct chunk {
    const struct attention *a;
    const struct group *group;
    int64_t begin, rows, head, each, items;
    int64_t shared; /* keys of the shared ones that any of the rows sees */
    int64_t keys;   /* keys that any of the rows sees */
    int64_t stride; /* floats of an item's row of scores */
    int64_t segment[chunk_rows];
    int64_t segment_keys[chunk_rows];
    int64_t position[chunk_rows];
    int64_t visible[chunk_rows]; /* keys that a row sees */
};

/* The chunk that starts at query row `begin`, of as many rows before `end` as it has room for.
 * group, head, each and stride are set. */
void chunk_set(struct chunk *c, const struct attention *a, int64_t begin, int64_t end);
/* The run of rows of one segment that starts at `row` ends here. */
int64_t chunk_run(const struct chunk *c, int64_t row);
/* Keys of its own segment that any row of a run sees. */
int64_t run_own_keys(const struct chunk *c, int64_t row, int64_t end);

/* to[items, stride] = x[items, head_dim] . each key of the side, which is transposed.  Columns past
 * those that a row sees are undefined. */
void chunk_dots(const struct row_functions *rows, const struct chunk *c, struct side *side,
                float *to, const float *x, int64_t x_stride);
/* y[items, head_dim] = the sum over keys, ascending, of weights[items, stride] times the side's
 * rows. */
void chunk_sums(const struct row_functions *rows, const struct chunk *c, struct side *side,
                float *y, int64_t y_stride, const float *weights);
/* weights[items, stride] from queries [items, head_dim]; lse NULL: not wanted.  Columns past
 * row_padded(c->keys) are undefined. */
void chunk_weights(const struct row_functions *rows, const struct chunk *c, struct side *k,
                   float *weights, const float *queries, int64_t query_stride, float *lse);

/* The softmax of an item's scores, with its statistics (a->statistics, struct head_statistics). */
float head_weights(const struct row_functions *rows, const struct chunk *c, int64_t item,
                   float *scores, const float *bias);

#endif
