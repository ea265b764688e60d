/* rollout.interrupt: users who do not wait for the end of a reply. */
#ifndef REGARD_ROLLOUT_INTERRUPT_H
#define REGARD_ROLLOUT_INTERRUPT_H

#include "src/reward/order.h"

/* Zeros: nobody is interrupted. */
struct interruption {
    int64_t seed;
    double share; /* of replies that have a limit of their own */
    int64_t most; /* tokens of any reply, 2 or more */
};

/* The tokens after which the reply (its span left out) is cut if it has not ended: uniform over 1
 * to most - 1, Philox of seed, dialogue, turn and candidate; 0: it is not.  It is drawn before the
 * reply is, so that no cut depends on what a policy would have said. */
int64_t interruption_limit(const struct interruption *interruption, const struct turn_key *reply);

#endif
