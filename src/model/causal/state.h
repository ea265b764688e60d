/* What a decoder-only model, its runs and its decoders hold.  Sizes in comments: see shape.h. */
#ifndef REGARD_MODEL_CAUSAL_STATE_H
#define REGARD_MODEL_CAUSAL_STATE_H

#include "src/model/causal/shape.h"
#include "src/model/forest.h"
#include "src/model/model_state.h"
#include "src/model/run_state.h"

enum causal_linear_name { CAUSAL_QKV, CAUSAL_O, CAUSAL_GATE_UP, CAUSAL_DOWN, CAUSAL_LINEARS };
enum causal_norm_name { NORM_ATTENTION, NORM_FEED_FORWARD, CAUSAL_NORMS };

struct causal_layer {
    struct linear linear[CAUSAL_LINEARS];
    int64_t norm[CAUSAL_NORMS]; /* offsets of the weights [width] */
    int64_t bias;               /* of q, k, v [(H + 2K) d]; -1: none */
    int64_t q_norm, k_norm;     /* [d]; -1: none */
};

struct causal {
    struct model common;
    const struct causal_shape *shape;
    struct causal_layer *layer; /* [layers] */
    int64_t final_norm;
    float *rope; /* device [context, d]: see rope of kernels/ops.h */
};

/* One layer's activations, `rows` rows of each.  MODEL_KEEP_ALL: a place for each;
 * MODEL_KEEP_INPUTS: layers share all but x_in and x_out; otherwise they share all, and x_in, x_mid
 * and x_out are the same rows.  A layer's x_out is the next one's x_in. */
struct causal_activations {
    real *x_in;                   /* [rows, width] */
    real *norm_attention;         /* [rows, width] */
    real *qkv;                    /* [rows, (H + 2K) d] */
    real *qk;                     /* [rows, (H + K) d] normed and rotated; NULL: in qkv */
    real *attention;              /* [rows, H d] */
    real *x_mid;                  /* [rows, width] */
    real *norm_feed_forward;      /* [rows, width] */
    real *gate_up, *inner;        /* [rows, 2f], [rows, f] */
    real *x_out;                  /* [rows, width] */
    float *inverse_attention;     /* [rows] (NULL when not kept, as all below) */
    float *inverse_feed_forward;  /* [rows] */
    float *q_inverse, *k_inverse; /* [rows, H], [rows, K]; with qk */
    float *lse;                   /* [rows, H] */
};

/* Gradients of activations, reused by every layer, `rows` rows of each. */
struct causal_gradients {
    real *dx, *dnorm;        /* [rows, width]; dx: of the residual stream throughout */
    real *dattention;        /* [rows, H d] */
    real *dqkv, *dqk;        /* [rows, (H + 2K) d], [rows, (H + K) d] or NULL */
    real *dinner, *dgate_up; /* [rows, f], [rows, 2f] */
};

/* A pass computes n history rows, the forest's nodes in order, then m reply rows: the inputs of
 * replies, or where there are none every history's last token. */
struct causal_run {
    struct model_run common;
    struct forest forest;
    int32_t *history_node; /* host [histories]: where a history's path ends, -1: no rows */
    int64_t history_capacity;
    int64_t segments, ranges;  /* nodes and then replies; their ranges */
    int64_t node_ranges;       /* of the nodes */
    int64_t leaf_rows, leaves; /* m; replies, or histories where there are none */
    /* In `integers` of the run. */
    int32_t *ids, *position;          /* [n + m] */
    int32_t *query_begin;             /* [segments + 1] */
    int32_t *range_begin;             /* [segments + 1] */
    int32_t *leaf_begin;              /* [leaves + 1], from 0: the reply rows by themselves */
    int32_t *leaf_range_begin;        /* [leaves + 1], from 0: behind the nodes' ranges */
    int32_t *key_begin, *key_end;     /* [ranges] */
    struct causal_activations *layer; /* [layers] on the host */
    float *final_inverse;             /* [m] */
    struct causal_gradients gradients;
};

static inline struct causal *causal_of(struct model *model)
{
    return (struct causal *)model;
}

static inline struct causal_run *causal_run_of(struct model_run *run)
{
    return (struct causal_run *)run;
}

#endif
