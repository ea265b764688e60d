/* Gradients of attention of fp32 and of heads without tensor cores: a kernel for dq and dbias,
 * which also finds each row's scale, then a kernel for dk and dv. */
#pragma once
#include "attention.cuh"

enum { plain_threads = 256, plain_parts_bytes = 16 << 20 /* of dbias in parts, at a time */ };

/* Of one row and head: weight = e^(score - shift) factor. */
struct row_scale {
    float shift, factor, delta;
};

/* Query rows of a block of the first kernel. */
static inline int plain_query_rows(const struct attention *a)
{
    return a->head_dim <= 128 ? 32 : 8;
}

/* dq, scales [query_rows, heads] and dbias; parts: room for so many tiles of rows at a time, or
 * NULL. */
void attention_query_gradient_plain(struct queue *q, const struct attention *a,
                                    const struct attention_gradients *g, struct row_scale *scales,
                                    float *parts, int64_t tiles_at_once, bool aligned);
/* dk, dv. */
void attention_key_gradient_plain(struct queue *q, const struct attention *a,
                                  const struct attention_gradients *g,
                                  const struct row_scale *scales, bool aligned);
