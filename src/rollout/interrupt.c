/* See interrupt.h. */
#include "src/rollout/interrupt.h"

#include "src/base/philox.h"

int64_t interruption_limit(const struct interruption *interruption, const struct turn_key *reply)
{
    if (interruption->share <= 0) return 0;
    const uint32_t key[2] = {(uint32_t)interruption->seed, RANDOM_INTERRUPT};
    const uint32_t counter[4] = {(uint32_t)reply->dialogue, (uint32_t)reply->turn,
                                 (uint32_t)reply->candidate, 0};
    uint32_t words[4];
    philox4x32(counter, key, words);
    if ((double)philox_uniform(words[0]) >= interruption->share) return 0;
    /* The high half of a product; its bias, below most / 2^32, is far under what is measured. */
    return 1 + (int64_t)(((uint64_t)words[1] * (uint64_t)(interruption->most - 1)) >> 32);
}
