/* The critic: a trunk of the policy's shape without what replies alone need, the mean of its hidden
 * rows over each history's tokens (of a causal model the last token's row), a value head; started
 * from the policy with a zero head. */
#ifndef REGARD_MODEL_CRITIC_H
#define REGARD_MODEL_CRITIC_H

#include "src/model/batch.h"
#include "src/model/model.h"

struct critic;

/* shape: the policy's. */
status critic_create(struct queue *queue, const struct model_shape *shape, struct critic **out);
/* The critic of a policy with adapters: its trunk is the policy's base with adapters of its own. */
status critic_create_adapted(struct model *policy, struct critic **out);
void critic_destroy(struct critic *critic);
/* What is trained: the trunk or its adapters, then the head. */
struct parameters *critic_parameters(struct critic *critic);
status critic_start_from(struct critic *critic, struct model *policy);
status critic_refresh(struct critic *critic);
status critic_refresh_step(struct critic *critic);
status critic_refresh_update(struct critic *critic, int64_t update);
/* All memory at once for batches within the limits, whose replies do not count. */
status critic_reserve(struct critic *critic, const struct model_limits *limits);
/* Values (host, [histories]) of a batch's histories, its replies left alone; keep for backward. */
status critic_forward(struct critic *critic, const struct model_batch *batch, enum model_keep keep,
                      float *values);
/* dvalues host [histories]; gradients (device, critic_parameters' layout) are added to; watermark
 * may be NULL. */
status critic_backward(struct critic *critic, const float *dvalues, float *gradients,
                       const struct model_watermark *watermark);

#endif
