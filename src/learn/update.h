/* A whole PPO update of all learners together. */
#ifndef REGARD_LEARN_UPDATE_H
#define REGARD_LEARN_UPDATE_H

#include "src/learn/update_metrics.h"
#include "src/rollout/experience.h"

/* From this learner's slice of the batch, in dialogue order: experiences [count] of dialogues
 * [first, first + count) of a batch of `dialogues`.  step: updates done. */
status ppo_update(struct learner *learner, struct experience *const *experiences, int64_t count,
                  int64_t dialogues, int64_t step, struct update_metrics *out);

#endif
