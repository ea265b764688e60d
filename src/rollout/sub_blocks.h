/* Sub-blocks of reasoning (cot.depth_lambda): what stands between <sub> and </sub>, tags included.
 */
#ifndef REGARD_ROLLOUT_SUB_BLOCKS_H
#define REGARD_ROLLOUT_SUB_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Adds to marks [tokens] the depth (enum block_mark) of the first `tokens` tokens of a text of
 * `size` bytes: how many sub-blocks the token's last byte lies in, or of a token without text the
 * place where it stands.  A closing tag closes the innermost one; what is open where these tokens
 * end is closed there, and a closing tag of nothing is text.  Returns whether there is either. */
bool sub_blocks_mark(const char *text, const int32_t *begin, const int32_t *end, int64_t tokens,
                     size_t size, uint8_t *marks);

#endif
