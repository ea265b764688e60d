/* A decoder-only model's parameters: their order, their start, and what else lies on the device. */
#ifndef REGARD_MODEL_CAUSAL_WEIGHTS_H
#define REGARD_MODEL_CAUSAL_WEIGHTS_H

#include "src/model/causal/state.h"

void causal_lay_out(struct model *model);
/* The table of rotary angles, for all positions. */
status causal_create(struct model *model);
void causal_release(struct model *model);
double causal_initial_deviation(const struct model_shape *shape, const struct parameter *one);

#endif
