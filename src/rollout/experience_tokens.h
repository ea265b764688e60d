/* How many tokens a dialogue's rollout computes, and how many it would have without sharing. */
#ifndef REGARD_ROLLOUT_EXPERIENCE_TOKENS_H
#define REGARD_ROLLOUT_EXPERIENCE_TOKENS_H

#include "src/rollout/experience.h"

struct experience_tokens {
    int64_t computed; /* histories that are equal once; of a causal model every segment once, and
                       * what sampling a reply has computed not again for the next turn */
    int64_t pairs;    /* every reply with a history of its own */
};
/* Adds a dialogue's. */
void experience_tokens_add(const struct experience *experience, bool causal,
                           struct experience_tokens *tokens);

#endif
