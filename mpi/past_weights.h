/* The last versions of the policy's weights, on the device: at pipeline.lag a batch is generated
 * with weights that the learner has moved on from. */
#ifndef REGARD_MPI_PAST_WEIGHTS_H
#define REGARD_MPI_PAST_WEIGHTS_H

#include "kernels/ops.h"
#include "src/base/config.h"

/* Version v, what v updates made, lies in row v mod lag. */
struct past_weights {
    struct queue *queue;
    int64_t size; /* floats of a version */
    int64_t lag;  /* rows */
    float *values;
    int64_t version[PIPELINE_LAG_MAX]; /* of a row, -1: none */
};

status past_weights_open(struct queue *queue, int64_t size, int64_t lag, struct past_weights *out);
void past_weights_close(struct past_weights *past); /* all zeros will do */
/* Copies values [size] of the device in the queue's order, over the version `lag` before. */
void past_weights_keep(struct past_weights *past, int64_t version, const float *values);
/* NULL: it is not there. */
float *past_weights_of(const struct past_weights *past, int64_t version);
/* To and from the host, [size]. */
status past_weights_save(const struct past_weights *past, int64_t version, float *host);
status past_weights_load(struct past_weights *past, int64_t version, const float *host);

#endif
