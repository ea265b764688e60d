/* A trunk with a value head: the critic, and a reward model.  The trunk is a model of the policy's
 * shape without what replies alone need; a sequence's value is the head of the mean of its hidden
 * rows, of a causal model of its last token's row.  The sequences are a batch's histories: the
 * critic's are what came before a reply, a reward model's end in the reply. */
#ifndef REGARD_MODEL_VALUE_MODEL_H
#define REGARD_MODEL_VALUE_MODEL_H

#include "src/model/adapter.h"
#include "src/model/batch.h"
#include "src/model/model.h"

struct attention_watch;
struct value_model;

/* shape: a policy's, or another value model's. */
status value_model_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                          struct value_model **out);
/* The same on a base with adapters of its own. */
status value_model_create_on(struct model *base, const struct adapter_settings *adapter,
                             bool with_gradients, struct value_model **out);
/* Of a policy with adapters, to be trained: on the policy's base. */
status value_model_create_adapted(struct model *policy, struct value_model **out);
void value_model_destroy(struct value_model *value);
/* The trunk with the head behind its own parameters: what is trained, saved and hashed. */
struct model *value_model_trunk(struct value_model *value);
/* What is trained: the trunk or its adapters, then the head. */
struct parameters *value_model_parameters(struct value_model *value);
/* The policy's weights, and its head where it has one, else a zero head. */
status value_model_start_from(struct value_model *value, struct model *policy);
status value_model_refresh(struct value_model *value);
status value_model_refresh_step(struct value_model *value);
status value_model_refresh_update(struct value_model *value, int64_t update);
/* All memory at once for batches within the limits, whose replies do not count. */
status value_model_reserve(struct value_model *value, const struct model_limits *limits);
/* Values (host, [histories]) of a batch's histories, its replies left alone; keep for backward. */
status value_model_forward(struct value_model *value, const struct model_batch *batch,
                           enum model_keep keep, float *values);
/* For the passes to come (src/model/attention_watch.h); NULL: nobody watches. */
void value_model_watch(struct value_model *value, const struct attention_watch *watch);
int64_t value_model_tokens(const struct value_model *value); /* that the last pass computed */
/* dvalues host [histories]; gradients (device, value_model_parameters' layout) are added to;
 * watermark may be NULL. */
status value_model_backward(struct value_model *value, const float *dvalues, float *gradients,
                            const struct model_watermark *watermark);

#endif
