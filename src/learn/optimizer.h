/* AdamW over one parameter buffer, shared among learners (ZeRO-1): a learner has the moments of its
 * slice alone and steps that.  Global-norm clipping; non-finite gradients are found before anything
 * is changed. */
#ifndef REGARD_LEARN_OPTIMIZER_H
#define REGARD_LEARN_OPTIMIZER_H

#include "kernels/ops.h"

/* Learner `rank` of `count` owns floats [slice_floats(rank, size, count), ...) of each vector.  The
 * norm's squares are summed in `parts` parts of the whole, a multiple of count: the number must not
 * depend on the learners, so that the norm's bits do not. */
struct optimizer_share {
    int64_t rank, count, parts;
};

struct optimizer {
    struct queue *queue;
    int64_t size;       /* floats, like struct parameters */
    int64_t begin, end; /* this learner's */
    struct optimizer_share share;
    float *m, *v; /* device [end - begin], first and second moments */
    double *sums; /* device [optimizer_own_parts], scratch of the norm */
    int64_t step; /* steps done */
    float beta1, beta2, eps, decay;
    double clip_norm; /* 0: no clipping */
    /* NULL: nobody asks.  Called behind each part of a step, floats [begin, end) of the values. */
    void (*ready)(void *context, const float *values, int64_t begin, int64_t end);
    void *ready_context;
};

/* The parts of a norm in a run of so many microbatches, of which the learners are a divisor. */
int64_t optimizer_parts(int64_t microbatches);
/* Moments 0; betas 0.9 and 0.999, eps 1e-8, no decay (docs/reward.md, PPO).  share NULL: alone. */
status optimizer_create(struct queue *queue, int64_t size, const struct optimizer_share *share,
                        double clip_norm, struct optimizer **out);
void optimizer_free(struct optimizer *o);
int64_t optimizer_own_parts(const struct optimizer *o);
/* Sums of squares in float64 of this learner's parts, sums [optimizer_own_parts] on the host;
 * infinite or NaN when any entry is.  The gradient is the whole vector's place; only the slice is
 * read. */
status optimizer_square_sums(struct optimizer *o, const float *gradient, double *sums);
/* The 2-norm from all learners' sums in rank order: the same bits on all of them, so that they
 * agree on what to do with a non-finite one. */
double optimizer_norm(const double *sums, int64_t parts);
/* values -= AdamW of the gradient, scaled by clip_norm / norm when norm is larger, in this
 * learner's slice of both.  A non-finite norm is an internal error; nothing is changed then. */
status optimizer_step(struct optimizer *o, float *values, const float *gradient, double norm,
                      double lr);

#endif
