/* AdamW over one parameter buffer: moments on the device, global-norm clipping, non-finite
 * gradients found before anything is changed. */
#ifndef REGARD_LEARN_OPTIMIZER_H
#define REGARD_LEARN_OPTIMIZER_H

#include "kernels/ops.h"

struct optimizer {
    struct queue *queue;
    int64_t size; /* floats, like struct parameters */
    float *m, *v; /* device [size], first and second moments */
    double *sum;  /* device [1], scratch of the norm */
    int64_t step; /* steps done */
    float beta1, beta2, eps, decay;
    double clip_norm; /* 0: no clipping */
};

/* Moments 0; betas 0.9 and 0.999, eps 1e-8, no decay (reward.md, PPO). */
status optimizer_create(struct queue *queue, int64_t size, double clip_norm,
                        struct optimizer **out);
void optimizer_free(struct optimizer *o);
/* The gradient's 2-norm, squares summed in float64; infinite or NaN when any entry is.  All
 * ranks agree on what to do with a non-finite one before optimizer_step. */
status optimizer_norm(struct optimizer *o, const float *gradient, double *norm);
/* values -= AdamW of the gradient, scaled by clip_norm / norm when norm is larger.  A non-finite
 * norm is an internal error; nothing is changed then. */
status optimizer_step(struct optimizer *o, float *values, const float *gradient, double norm,
                      double lr);
/* Moments [count] from `offset` to and from host memory: a checkpoint's slice.  `step` is the
 * caller's to save and set. */
status optimizer_download(const struct optimizer *o, int64_t offset, int64_t count, float *host_m,
                          float *host_v);
status optimizer_upload(struct optimizer *o, int64_t offset, int64_t count, const float *host_m,
                        const float *host_v);

#endif
