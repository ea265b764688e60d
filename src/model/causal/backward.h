/* The backward pass over a forest: a history's gradient is one sum over all that read it. */
#ifndef REGARD_MODEL_CAUSAL_BACKWARD_H
#define REGARD_MODEL_CAUSAL_BACKWARD_H

#include "src/model/causal/state.h"

void causal_backward(struct model_run *run, bool replies, const real *dhidden, float *gradients,
                     const struct model_watermark *watermark);

#endif
