/* A T5's backward pass: each layer's parts in reverse. */
#ifndef REGARD_MODEL_T5_BACKWARD_H
#define REGARD_MODEL_T5_BACKWARD_H

#include "src/model/t5/state.h"

void t5_backward(struct model_run *run, bool replies, const real *dhidden, float *gradients,
                 const struct model_watermark *watermark);

#endif
