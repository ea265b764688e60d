/* Models with adapters: all parameters and packed matrices are another model's, the base, and stand
 * still; what is trained, sent and saved is the adapters.  One base in a rank serves the policy,
 * the model that samples, the critic's trunk and, by itself, the reference. */
#ifndef REGARD_MODEL_ADAPTED_H
#define REGARD_MODEL_ADAPTED_H

#include "src/model/adapter.h"
#include "src/model/model.h"

/* A model of the base's shape with adapters, all zero.  The base must outlive it, hold its values
 * already, and where with_gradients have been created so.  A target that the base has not is
 * refused by name, with the names of its parts. */
status model_create_adapted(struct model *base, const struct adapter_settings *settings,
                            bool with_gradients, struct model **out);
/* PEFT's start: A uniform within 1 / sqrt(k), B zero, so that the model is its base. */
status model_adapted_initialize(struct model *model, int64_t seed);
/* The base is destroyed with the model. */
void model_own_base(struct model *model);
/* NULL: a model without adapters. */
struct model *model_base(const struct model *model);
const struct adapter_settings *model_adapter(const struct model *model);
/* The folder that the base lies in, as checkpoints and PEFT's files name it; "": none was noted. */
void model_name_base(struct model *model, const char *path);
const char *model_base_name(const struct model *model);
/* `parameters sha256` of the base, taken once. */
status model_base_hash(struct model *model, char hex[65]);

#endif
