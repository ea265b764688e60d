/* Philox4x32-10 as published (Salmon et al., SC'11, "Parallel random numbers: as easy as
 * 1, 2, 3"); equal to Random123's known answers. */
#include "src/base/philox.h"

#include <math.h>

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t left = (uint64_t)0xD2511F53u * c0;
        uint64_t right = (uint64_t)0xCD9E8D57u * c2;
        uint32_t next0 = (uint32_t)(right >> 32) ^ c1 ^ k0;
        uint32_t next2 = (uint32_t)(left >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)right;
        c3 = (uint32_t)left;
        c0 = next0;
        c2 = next2;
        k0 += 0x9E3779B9u; /* the golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

double philox_jitter(double sigma, uint64_t seed, const uint32_t counter[4])
{
    const double two_pi = 6.283185307179586;
    uint32_t key[2], word[4];
    philox_key(seed, RANDOM_JITTER, key);
    philox4x32(counter, key, word);
    /* Box and Muller's; 1 - u is above 0. */
    const double length = sqrt(-2 * log(1 - (double)philox_uniform(word[0])));
    return exp(sigma * length * cos(two_pi * (double)philox_uniform(word[1])) - sigma * sigma / 2);
}
