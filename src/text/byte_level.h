/* The alphabet of byte-level vocabularies: each byte is a visible character, a space U+0120. */
#ifndef REGARD_TEXT_BYTE_LEVEL_H
#define REGARD_TEXT_BYTE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a token of the vocabulary (valid UTF-8) stands for, into out, which has room for size bytes;
 * returns the bytes.  *spelled false: some character stands for no byte, and the text itself is
 * taken. */
size_t byte_level_bytes(const char *token, size_t size, char *out, bool *spelled);

#endif
