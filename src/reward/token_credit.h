/* Credit within a reply (docs/reward.md, Credit within a reply): how much of a reply's advantage
 * each of its tokens gets. */
#ifndef REGARD_REWARD_TOKEN_CREDIT_H
#define REGARD_REWARD_TOKEN_CREDIT_H

#include "src/reward/order.h"

/* weights[count], not negative, by credit.form (enum credit_form): 0 of tokens that were put there
 * (marks [count] with BLOCK_FORCED, or NULL), of the others, as if they were the reply, of mean 1:
 * uniform, all 1; entropy, `entropy` [count] (nats, of the behaviour policy's softmax before each
 * token) clipped between 0.2 and 3 of its mean; random, the same weights shuffled by Philox, key
 * (seed, RANDOM_CREDIT), counter (dialogue, turn, candidate, block of four draws).  A reply without
 * any entropy has weights of 1. */
void token_credit(int form, int64_t seed, const struct turn_key *reply, const float *entropy,
                  const uint8_t *marks, int64_t count, double *weights);

/* The mean of a reply's values [count] over the tokens that were not put there; 0 without any. */
double token_mean(const float *values, const uint8_t *marks, int64_t count);

#endif
