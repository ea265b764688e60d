/* Queries of learned slots (history.summary: learned) for a model that has none. */
#ifndef REGARD_MODEL_SLOTS_H
#define REGARD_MODEL_SLOTS_H

#include "src/model/model.h"

/* Queries that the model has; 0: none. */
int64_t model_slots(const struct model_shape *shape);
/* *model, whole and of an encoder-decoder without any, becomes one with so many: its own parameters
 * stay, the queries are a new model's of this seed. */
status model_add_slots(struct model **model, int64_t slots, bool with_gradients, int64_t seed);

#endif
