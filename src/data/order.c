/* Prompt order: a keyed permutation by a Feistel network with cycle walking, so that any
 * position is known without the ones before it. */
#include "src/base/philox.h"
#include "src/data/dialogue.h"

enum { FEISTEL_ROUNDS = 6 };

/* A permutation of [0, 4^half_bits). */
static uint64_t feistel(uint64_t value, unsigned half_bits, uint64_t seed, uint64_t epoch)
{
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = value >> half_bits, right = value & mask;
    uint32_t key[2];
    philox_key(seed, RANDOM_ORDER, key);
    for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
        const uint32_t counter[4] = {(uint32_t)right, (uint32_t)(right >> 32) << 8 | round,
                                     (uint32_t)epoch, (uint32_t)(epoch >> 32)};
        uint32_t words[4];
        philox4x32(counter, key, words);
        const uint64_t next = left ^ ((words[0] | (uint64_t)words[1] << 32) & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

int64_t prompt_order(int64_t seed, int64_t epoch, int64_t index, int64_t count)
{
    unsigned half_bits = 1;
    if (count <= 1) return 0;
    while (half_bits < 31 && (uint64_t)1 << (2 * half_bits) < (uint64_t)count) half_bits++;
    uint64_t value = (uint64_t)(index % count);
    do value = feistel(value, half_bits, (uint64_t)seed, (uint64_t)epoch);
    while (value >= (uint64_t)count);
    return (int64_t)value;
}
