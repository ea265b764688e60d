/* Philox4x32-10 as src/base/philox.c has it. */
#pragma once
#include "gpu.cuh"

struct philox_words {
    uint32_t word[4];
};

static __device__ inline struct philox_words philox4x32(uint32_t c0, uint32_t c1, uint32_t c2,
                                                        uint32_t c3, uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        const uint32_t left = __umulhi(0xD2511F53u, c0), left_low = 0xD2511F53u * c0;
        const uint32_t right = __umulhi(0xCD9E8D57u, c2), right_low = 0xCD9E8D57u * c2;
        c0 = right ^ c1 ^ k0;
        c1 = right_low;
        c2 = left ^ c3 ^ k1;
        c3 = left_low;
        k0 += 0x9E3779B9u; /* the golden ratio */
        k1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    return {{c0, c1, c2, c3}};
}
