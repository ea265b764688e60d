/* What the losses of reward models share at the end of a chunk. */
#ifndef REGARD_LEARN_PAIRS_PASS_H
#define REGARD_LEARN_PAIRS_PASS_H

#include "src/learn/loss.h"
#include "src/learn/value_pass.h"

/* A pass over turns [count] whose part so far came to s: the way back, what was computed, and the
 * pass freed. */
status pairs_pass_finish(struct value_pass *pass, status s, struct learner *l,
                         const struct learn_turn *turns, int64_t count, float *gradients,
                         struct partial *partial);

#endif
