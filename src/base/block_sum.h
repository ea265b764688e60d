/* A checksum as fast as memory, for large blocks that stay in a machine or cross a network that
 * checks too: 64 sums of 32-bit words, each h = (h ^ h >> 15) * m + word with an odd m, folded into
 * 64 bits.  A change of one word is always seen.  Changes of several words could cancel, which they
 * do by chance, about once in 2^32; that they are of the same bit, or exchange two words, does not
 * help them to. */
#ifndef REGARD_BASE_BLOCK_SUM_H
#define REGARD_BASE_BLOCK_SUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t block_sum(const void *data, size_t size);
/* The same without wide instructions. */
uint64_t block_sum_plain(const void *data, size_t size);
/* Copies, and gives block_sum(from, size), in one pass.  Where `to` is aligned to 32 bytes the copy
 * goes past the caches to memory: it is for another core. */
uint64_t block_sum_copy(void *to, const void *from, size_t size);

#endif
