/* Attention calls for tests: their arrays, what they come to in float64, and comparisons. */
#ifndef REGARD_TESTS_ATTENTION_PROBLEM_H
#define REGARD_TESTS_ATTENTION_PROBLEM_H

#include "tests/kernels/kernel_test.h"

enum { segments_max = 300, ranges_max = 300, keys_max = 640 };

/* One call's arrays.  q, k and v have strides wider than a row, as slices of a joint product. */
struct problem {
    struct attention a;
    int32_t query_begin[segments_max + 1], range_begin[segments_max + 1];
    int32_t key_begin[ranges_max], key_end[ranges_max];
    int64_t key_rows; /* of k and v: as many as any range reaches */
};

/* A segment of one range of keys. */
struct segment {
    int32_t queries, key_begin, key_end;
};

/* A segment that reads ranges[0] .. ranges[count - 1]. */
struct range {
    int32_t begin, end;
};
enum { segment_ranges_max = 4 };
struct segment_of_ranges {
    int32_t queries, count;
    struct range ranges[segment_ranges_max];
};

/* What calls are tried with.  kv_heads 0: heads; scale 0: 1. */
struct form {
    int64_t heads, kv_heads, head_dim;
    float scale;
    bool causal, bias;
};

struct problem *problem_new(const struct form *form, const struct segment *list, int64_t segments);
/* range_begin is set, though each segment may have one range. */
struct problem *problem_of_ranges(const struct form *form, const struct segment_of_ranges *list,
                                  int64_t segments);
void problem_free(struct problem *p);

/* Seven segments, and five that may be causal: short and long ones, some that share keys, one of no
 * queries. */
struct problem *several_new(int64_t heads, int64_t head_dim, bool causal, bool bias);
/* Four segments of a forest: a trunk, two children and a grandchild, and one of keys with a gap;
 * grouped heads, a scale.  Causal: the last range of each are its own keys. */
struct problem *forest_new(int64_t head_dim, bool causal, bool bias);

/* Nine replies to three histories that begin with one system prompt, each history a path of up to
 * three nodes; six heads on two.  Decoding: a query and the reply's keys so far, ranges padded with
 * empty ones.  Else the four nodes and all tokens of the replies. */
struct problem *dialogues_new(int64_t head_dim, bool decoding);

/* Sizes of heads, and which of them are left out on the shim, which is slow: there one size for
 * each form of the kernels. */
extern const int64_t head_dims[];
enum { head_dims_count = 6 };
bool is_left_out(int64_t head_dim);

/* In float64: out [query_rows, heads * head_dim], lse [query_rows, heads], maps [heads, query_rows,
 * map_stride]; the last two may be NULL. */
void reference(const struct attention *a, double *out, double *lse, double *maps,
               int64_t map_stride);
/* dq, dk, dv and what is added to dbias in float64, as `want` has them: left as they are where
 * nothing is to be written.  want[3] begins with what is added to. */
void reference_gradients(const struct attention *a, const float *dout, int64_t key_rows,
                         float *want[4]);

/* The keys of a segment. */
int64_t segment_keys(const struct attention *a, int64_t s);
/* How far a number may be off: scores are chains of head_dim terms of at most 1, off by at most
 * about head_dim^1.5 u, u = 2^-24, and e^x by as much relatively. */
double forward_tolerance(int64_t head_dim);

#endif
