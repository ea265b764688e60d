/* See byte_level.h. */
#include "src/text/byte_level.h"

#include "src/text/unicode.h"

#include <string.h>

/* Bytes that stand for themselves. */
static bool is_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* 0 to 32 are U+0100 to U+0120, 127 to 160 go on from there, 173 is the last. */
/* The byte that a character stands for, -1: none. */
static int byte_of_character(int32_t c)
{
    if (c < 0x100) return is_itself(c) ? c : -1;
    if (c <= 0x120) return c - 0x100;
    if (c <= 0x142) return c - 0x121 + 127;
    return c == 0x143 ? 173 : -1;
}

size_t byte_level_bytes(const char *token, size_t size, char *out, bool *spelled)
{
    size_t count = 0, length;
    *spelled = true;
    for (size_t at = 0; at < size; at += length) {
        const int byte = byte_of_character(character_at(token + at, size - at, &length));
        *spelled = *spelled && byte >= 0;
        out[count++] = (char)byte;
    }
    if (*spelled) return count;
    memcpy(out, token, size);
    return size;
}
