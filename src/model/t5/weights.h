/* A T5's parameters: their Hugging Face names in the order of the layers, and how they start. */
#ifndef REGARD_MODEL_T5_WEIGHTS_H
#define REGARD_MODEL_T5_WEIGHTS_H

#include "src/model/t5/state.h"

/* [slots, d_model] of history.summary: learned. */
#define T5_SUMMARY_QUERIES "encoder.summary_queries"
void t5_lay_out(struct model *model);
void t5_release(struct model *model);
double t5_initial_deviation(const struct model_shape *shape, const struct parameter *one);

#endif
