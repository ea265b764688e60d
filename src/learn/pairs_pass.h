/* What the losses of reward models share at the end of a chunk. */
#ifndef REGARD_LEARN_PAIRS_PASS_H
#define REGARD_LEARN_PAIRS_PASS_H

#include "src/learn/loss.h"
#include "src/learn/value_pass.h"

/* Ends a pass over turns [count], s being what became of it so far: without an error it goes
 * backward, with the derivatives that the loss has set; the tokens that it computed are counted in
 * partial; the pass is freed.  Returns s, or backward's error. */
status pairs_pass_finish(struct value_pass *pass, status s, struct learner *l,
                         const struct learn_turn *turns, int64_t count, float *gradients,
                         struct partial *partial);

#endif
