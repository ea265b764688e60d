/* Texts that are changed before they are encoded, and which bytes of the first text those of the
 * new one stand for. */
#ifndef REGARD_TEXT_BPE_NORMAL_H
#define REGARD_TEXT_BPE_NORMAL_H

#include "src/text/token_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A text made of another: its byte i stands for bytes [begin[i], end[i]) of that. */
struct changed_text {
    struct text_buffer text;
    int32_t *begin, *end;
    size_t capacity;
};
void changed_text_free(struct changed_text *changed);

/* Valid UTF-8 to normalisation form C; false where it has that form already, and nothing is made.
 */
bool text_to_nfc(const char *text, size_t size, struct changed_text *out);
/* Bytes that are no UTF-8 become U+FFFD; false where there are none. */
bool text_to_utf8(const char *text, size_t size, struct changed_text *out);
/* The ranges of tokens from `first` on, which are of the changed text, become ranges of the first.
 */
void changed_text_map(const struct changed_text *changed, struct token_list *tokens, int64_t first);

#endif
