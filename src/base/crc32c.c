/* CRC32C: by the processor's instruction where it has it, three runs of bytes at a time, since one
 * instruction takes three cycles and one can begin in each; else by tables, eight bytes at a time.
 * The same number either way. */
#include "src/base/file.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* Filled once and constant from then on. */
static uint32_t tables[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
enum { RUN_BYTES = 4096 };
/* The register after RUN_BYTES zero bytes, from the register before: by each of its bytes. */
static uint32_t shifted[4][256];
static bool has_instruction;

static uint32_t zeros_follow(uint32_t crc)
{
    for (int i = 0; i < RUN_BYTES; i++) crc = crc >> 8 ^ tables[0][crc & 255];
    return crc;
}

/* It is linear, so 32 registers of one bit say all. */
static void shifted_fill(void)
{
    for (int byte = 0; byte < 4; byte++)
        for (int bit = 0; bit < 8; bit++) {
            const uint32_t one = zeros_follow((uint32_t)1 << (8 * byte + bit));
            for (int i = 1 << bit; i < 2 << bit; i++)
                shifted[byte][i] = shifted[byte][i - (1 << bit)] ^ one;
        }
}

static uint32_t shift(uint32_t crc)
{
    return shifted[0][crc & 255] ^ shifted[1][crc >> 8 & 255] ^ shifted[2][crc >> 16 & 255] ^
           shifted[3][crc >> 24];
}

static uint64_t word_at(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const unsigned char *bytes, size_t size)
{
    for (; size >= 3 * RUN_BYTES; size -= 3 * RUN_BYTES, bytes += 3 * RUN_BYTES) {
        uint64_t a = crc, b = 0, c = 0;
        for (int i = 0; i < RUN_BYTES; i += 8) {
            a = _mm_crc32_u64(a, word_at(bytes + i));
            b = _mm_crc32_u64(b, word_at(bytes + RUN_BYTES + i));
            c = _mm_crc32_u64(c, word_at(bytes + 2 * RUN_BYTES + i));
        }
        crc = shift(shift((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    }
    for (; size >= 8; size -= 8, bytes += 8) crc = (uint32_t)_mm_crc32_u64(crc, word_at(bytes));
    for (; size; size--, bytes++) crc = _mm_crc32_u8(crc, *bytes);
    return crc;
}
#endif

static void fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0x82F63B78u & (0u - (value & 1)));
        tables[0][i] = value;
    }
    for (int table = 1; table < 8; table++)
        for (uint32_t i = 0; i < 256; i++)
            tables[table][i] = (tables[table - 1][i] >> 8) ^ tables[0][tables[table - 1][i] & 255];
#if defined(__x86_64__)
    shifted_fill();
    has_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

static uint32_t by_tables(uint32_t crc, const unsigned char *bytes, size_t size)
{
    for (; size >= 8; size -= 8, bytes += 8) {
        uint32_t low = crc ^ ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
                              (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
              tables[4][low >> 24] ^ tables[3][bytes[4]] ^ tables[2][bytes[5]] ^
              tables[1][bytes[6]] ^ tables[0][bytes[7]];
    }
    for (; size; size--, bytes++) crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 255];
    return crc;
}

uint32_t crc32c_by_tables(uint32_t seed, const void *data, size_t size)
{
    pthread_once(&once, fill);
    return ~by_tables(~seed, data, size);
}

uint32_t crc32c(uint32_t seed, const void *data, size_t size)
{
    pthread_once(&once, fill);
#if defined(__x86_64__)
    if (has_instruction) return ~by_instruction(~seed, data, size);
#endif
    return ~by_tables(~seed, data, size);
}
