/* What attention and its gradients share on the CPU: which segments are done together, what their
 * rows see, and weights. */
#ifndef REGARD_KERNELS_CPU_ATTENTION_H
#define REGARD_KERNELS_CPU_ATTENTION_H

#include "kernels/cpu/rows.h"

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

/* Consecutive segments [first, last) that read the same ranges [range, range_end), `keys` keys. */
struct group {
    int64_t first, last, range, range_end, keys;
};

/* The group that begins with segment `first`; returns where the next one does. */
int64_t group_next(const struct attention *a, int64_t first, struct group *group);
/* The most keys that a segment has. */
int64_t keys_max(const struct attention *a);

/* Rows of one head's keys or values, all of a group's, so many floats apart. */
struct head_rows {
    const float *at;
    int64_t stride;
};

/* Columns [column, column + head_dim) of the group's rows of k or v (`from`).  Rows of several
 * ranges are gathered in `memory` [keys, head_dim]. */
struct head_rows head_rows_of(const struct attention *a, const struct group *group,
                              const real *from, int64_t stride, int64_t column, float *memory);

/* Some query rows of one group. */
struct chunk {
    const struct attention *a;
    int64_t begin, rows;
    int64_t keys;   /* that any of the rows sees */
    int64_t stride; /* floats of one row of scores: the group's keys, padded */
    int64_t position[chunk_rows];
    int64_t visible[chunk_rows]; /* keys that a row sees */
};

/* The chunk of at most chunk_rows rows that starts at query row `begin`. */
void chunk_set(struct chunk *c, const struct attention *a, const struct group *group,
               int64_t begin);
/* weights[rows, stride] of head h; keys [head_dim, stride] transposed; lse NULL: not wanted.
 * Columns past row_padded(c->keys) are not written. */
void chunk_weights(const struct row_functions *rows, const struct chunk *c, int64_t h,
                   const float *keys, float *weights, float *lse);

#endif
