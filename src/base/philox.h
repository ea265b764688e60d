/* Philox4x32-10 (Salmon et al., SC'11): random numbers from a key and a counter, no state.
 * key = (seed, purpose); counter = (dialogue, turn, candidate, step). */
#ifndef REGARD_BASE_PHILOX_H
#define REGARD_BASE_PHILOX_H

#include <stdint.h>

enum random_purpose {
    RANDOM_SAMPLING = 1,
    RANDOM_ORDER,
    RANDOM_INITIAL_WEIGHTS,
    RANDOM_SALIENCE_CONTROL,
    RANDOM_SHUFFLED_CONTROL,
    RANDOM_CORPUS,
    RANDOM_SIMULATOR,
    RANDOM_ROUNDING,
    RANDOM_INITIAL_ADAPTERS,
    RANDOM_SOURCE,
    RANDOM_CREDIT,
    RANDOM_FIT,
    RANDOM_PROBE,
    RANDOM_INTERRUPT,
    RANDOM_NAMES,
    RANDOM_EVALUATION,
    RANDOM_OTHER_REPLY,
    RANDOM_PAIR_ORDER,
    RANDOM_ALIGN,
    RANDOM_JITTER
};

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* A key of all bits of a seed; purposes are below 64. */
static inline void philox_key(uint64_t seed, uint32_t purpose, uint32_t key[2])
{
    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32) * 64u + purpose;
}
/* [0, 1) with 24 bits, from one word. */
static inline float philox_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}
/* A log-normal number of mean 1, exp(sigma z - sigma^2 / 2): a rank's jitter of a batch, where
 * counter = (rank, batch's two words, 1 of learning or 0). */
double philox_jitter(double sigma, uint64_t seed, const uint32_t counter[4]);

#endif
