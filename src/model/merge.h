/* A model with adapters as one without: every adapter added to its weight. */
#ifndef REGARD_MODEL_MERGE_H
#define REGARD_MODEL_MERGE_H

#include "src/model/model.h"

/* All parameters into host [model_parameters' size], every adapter added to its weight:
 * W + scale B A, summed in float64.  A model without adapters: as they are. */
status model_merged_download(struct model *model, float *host);
/* Puts a model without adapters, of the same outputs but for rounding, in place of one with them.
 */
status model_merge(struct model **model, bool with_gradients);

#endif
