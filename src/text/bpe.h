/* Byte-level BPE as the tokenizers library has it (tokenizer.json of GPT-2, SmolLM, Llama 3, Qwen):
 * the same ids and the same texts, but no post-processor: no begin token is put before a text. */
#ifndef REGARD_TEXT_BPE_H
#define REGARD_TEXT_BPE_H

#include "src/base/json.h"
#include "src/text/token_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpe;
/* Of tokenizer.json's contents; path begins errors.  added: tokenizer_config.json's
 * added_tokens_decoder (id: {content, flags}), whose flags count and whose further tokens join; or
 * NULL.  prefix_space: whether a space is put before a text, where that is told elsewhere (1, 0),
 * or -1. */
status bpe_read(const json_t *root, const char *path, const json_t *added, int prefix_space,
                struct bpe **out);
void bpe_free(struct bpe *bpe);

/* plain: special tokens are not found in the text. */
status bpe_encode(const struct bpe *bpe, const char *text, size_t size, bool plain,
                  struct token_list *out);
/* Appends the text; ids that there are not stand for nothing. */
void bpe_decode(const struct bpe *bpe, const int32_t *ids, int64_t count, bool skip_special,
                struct text_buffer *out);
/* The bytes of an id, which need not be UTF-8; *size 0: there is no such id. */
const char *bpe_bytes(const struct bpe *bpe, int32_t id, size_t *size);
int64_t bpe_size(const struct bpe *bpe); /* one more than the highest id */
bool bpe_is_special(const struct bpe *bpe, int32_t id);
/* The id of a text that is one token, -1: none. */
int32_t bpe_id(const struct bpe *bpe, const char *text, size_t size);

#endif
