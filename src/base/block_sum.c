/* See block_sum.h. */
#include "src/base/block_sum.h"

#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef uint32_t words __attribute__((vector_size(32)));

enum {
    VECTORS = 8,
    BLOCK = VECTORS * sizeof(words),
    PIECE = 64 * BLOCK, /* of a core's first cache */
    LINE = 64,          /* bytes of a cache */
    AHEAD = 2048        /* bytes that are fetched before they are read */
};

struct sums {
    words of[VECTORS];
};

/* One to one.  The shift takes high bits down: a product alone would leave them where they are, and
 * two signs that flipped would cancel. */
#define MIXED(h) (((h) ^ ((h) >> 15)) * 0x9e3779b1u)

/* Whole blocks. */
static inline __attribute__((always_inline)) void
blocks_add(struct sums *sums, const unsigned char *bytes, size_t blocks)
{
    words a = sums->of[0], b = sums->of[1], c = sums->of[2], d = sums->of[3];
    words e = sums->of[4], f = sums->of[5], g = sums->of[6], h = sums->of[7];
    for (; blocks; blocks--, bytes += BLOCK) {
        words w[VECTORS];
        memcpy(w, bytes, sizeof w);
        a = MIXED(a) + w[0], b = MIXED(b) + w[1], c = MIXED(c) + w[2], d = MIXED(d) + w[3];
        e = MIXED(e) + w[4], f = MIXED(f) + w[5], g = MIXED(g) + w[6], h = MIXED(h) + w[7];
    }
    *sums = (struct sums){{a, b, c, d, e, f, g, h}};
}

static void add_plain(struct sums *sums, const unsigned char *bytes, size_t blocks)
{
    blocks_add(sums, bytes, blocks);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void add_wide(struct sums *sums, const unsigned char *bytes,
                                                     size_t blocks)
{
    blocks_add(sums, bytes, blocks);
}

static bool has_wide(void)
{
    return __builtin_cpu_supports("avx2");
}
#else
#define add_wide add_plain
static bool has_wide(void)
{
    return false;
}
#endif

/* The last bytes, with zeros behind them, and how many there were in all. */
static uint64_t sums_end(struct sums *sums, const unsigned char *rest, size_t size)
{
    unsigned char last[BLOCK] = {0};
    uint32_t all[BLOCK / sizeof(uint32_t)];
    if (size % BLOCK) memcpy(last, rest, size % BLOCK);
    add_plain(sums, last, 1);
    memcpy(all, sums->of, sizeof all);
    uint64_t h = size;
    for (size_t i = 0; i < BLOCK / sizeof(uint32_t); i++) {
        h = (h ^ all[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h;
}

static uint64_t sum(const void *from, size_t size, bool wide)
{
    struct sums sums;
    memset(&sums, 0, sizeof sums);
    const unsigned char *bytes = from;
    const size_t whole = size / BLOCK * BLOCK;
    (wide ? add_wide : add_plain)(&sums, bytes, whole / BLOCK);
    return sums_end(&sums, bytes + whole, size);
}

uint64_t block_sum(const void *data, size_t size)
{
    return sum(data, size, has_wide());
}

uint64_t block_sum_plain(const void *data, size_t size)
{
    return sum(data, size, false);
}

#if defined(__x86_64__)
/* Stores go past the caches: the lines that they fill need not be read first, and other cores see
 * them after the fence.  `to` is aligned to a vector. */
__attribute__((target("avx2"))) static void copy_wide(struct sums *sums, unsigned char *to,
                                                      const unsigned char *bytes, size_t blocks)
{
    words h[VECTORS];
    memcpy(h, sums->of, sizeof h);
    for (; blocks; blocks--, bytes += BLOCK, to += BLOCK) {
        words w[VECTORS];
        memcpy(w, bytes, sizeof w);
#pragma GCC unroll 4
        for (size_t line = 0; line < BLOCK; line += LINE) __builtin_prefetch(bytes + AHEAD + line);
#pragma GCC unroll 8
        for (size_t i = 0; i < VECTORS; i++) {
            _mm256_stream_si256((__m256i *)(void *)(to + i * sizeof *w), (__m256i)w[i]);
            h[i] = MIXED(h[i]) + w[i];
        }
    }
    _mm_sfence();
    memcpy(sums->of, h, sizeof h);
}

static uint64_t copy_past_caches(unsigned char *to, const unsigned char *from, size_t size)
{
    struct sums sums;
    memset(&sums, 0, sizeof sums);
    const size_t whole = size / BLOCK * BLOCK;
    copy_wide(&sums, to, from, whole / BLOCK);
    memcpy(to + whole, from + whole, size - whole);
    return sums_end(&sums, from + whole, size);
}
#endif

uint64_t block_sum_copy(void *to, const void *from, size_t size)
{
#if defined(__x86_64__)
    if (has_wide() && (uintptr_t)to % sizeof(words) == 0) return copy_past_caches(to, from, size);
#endif
    memcpy(to, from, size);
    return block_sum(to, size);
}
