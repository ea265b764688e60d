/* Low-rank adaptation (LoRA, arXiv 2106.09685) of one linear layer whose own weight stands still:
 *   y += scale (x A^T) B^T,  A [rank, k], B [rows, rank]
 * for some parts of its output, each with an A and a B of its own.  A fused layer (queries, keys
 * and values in one) has several parts; their A stand one under the other and are one product, and
 * so are their B, each in a block of its own with zeros beside it. */
#ifndef REGARD_MODEL_ADAPTER_H
#define REGARD_MODEL_ADAPTER_H

#include "kernels/ops.h"

enum { ADAPTER_PARTS_MAX = 4, ADAPTER_TARGETS_MAX = 512, ADAPTER_RANK_MAX = 1024 };

/* Which parts of a model's linear layers have adapters, and of what size. */
struct adapter_settings {
    int64_t rank;
    float alpha;                       /* what an adapter adds is scaled by alpha / rank */
    char targets[ADAPTER_TARGETS_MAX]; /* names of parts, "q,v", or ends of their paths; empty: the
                                        * family's choice, which is spelled out once a model is made
                                        */
};

/* Rows [row, row + rows) of the layer's output. */
struct adapter_part {
    int64_t row, rows;
};

/* Device memory that all adapters of a model work in, one after another.  It never moves: recorded
 * graphs hold its addresses. */
struct adapter_room {
    real *down, *ddown;         /* [ADAPTER_ROWS, parts * rank] x A^T and its gradient */
    float *up;                  /* [n, parts * rank] B with its zeros, or its gradient */
    float *part;                /* [rows, rank] */
    int32_t *counting, *zeroes; /* [n] 0, 1, 2, ...; 0, 0, 0, ... */
};

struct adapter {
    const struct adapter_room *room;
    int64_t n, k;        /* the layer's */
    int64_t rank, parts; /* of each part; how many */
    float scale;
    struct adapter_part part[ADAPTER_PARTS_MAX];
    int64_t a, b; /* offsets among what is trained: A [parts * rank, k], B [rows of all, rank] */
    int64_t rounding; /* where its random numbers begin, in elements, for stochastic rounding */
    struct packed_matrix *down, *up; /* A [parts * rank, k]; B with zeros [n, parts * rank] */
};

/* The elements that its two matrices take of the random numbers of rounding: a multiple of 8. */
int64_t adapter_rounding_size(const struct adapter *adapter);

status adapter_create(struct queue *queue, struct adapter *adapter, bool with_gradients);
void adapter_destroy(struct queue *queue, struct adapter *adapter);
/* Room for all of these adapters. */
status adapter_room_create(struct queue *queue, const struct adapter *adapters, int64_t count,
                           bool with_gradients, struct adapter_room *room);
void adapter_room_destroy(struct queue *queue, struct adapter_room *room);

/* Packs A and B as they stand in `values` (device), what is trained; rounding may be NULL. */
void adapter_pack(struct queue *queue, const struct adapter *adapter, const float *values,
                  const struct rounding *rounding);
/* y [rows, n] += scale (x A^T) B^T; ... in fp32. */
void adapter_forward(struct queue *queue, const struct adapter *adapter, real *y, const real *x,
                     int64_t rows);
void adapter_forward_float(struct queue *queue, const struct adapter *adapter, float *y,
                           const real *x, int64_t rows);
/* From dy [rows, n]: gradients (laid out as what is trained) of A and B are added to, and so is
 * dx [rows, k].  x A^T is computed again. */
void adapter_backward(struct queue *queue, const struct adapter *adapter, const real *dy,
                      const real *x, real *dx, int64_t rows, float *gradients);

#endif
