/* Text to token ids and back: SentencePiece, with extra ids (T5) or special tokens by name (Llama
 * 2), byte-level BPE (tokenizer.json), and bytes.  A tokenizer remembers words it has encoded: one
 * thread at a time. */
#ifndef REGARD_TEXT_TOKENIZER_H
#define REGARD_TEXT_TOKENIZER_H

#include "src/base/status.h"
#include "src/text/text_place.h"
#include "src/text/token_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/* From a folder: tokenizer_config.json may say bytes; else spiece.model
 * (extra ids from tokenizer_config.json's extra_ids, 100 when absent), where tokens that were added
 * (added_tokens_decoder, added_tokens.json) are single ids; else tokenizer.json of a byte-level
 * BPE, or tokenizer.model as LlamaTokenizer reads it, whose end, begin and pad are found as
 * Transformers finds them (pad: the end where there is none).  *out is NULL when the folder holds
 * no tokenizer; one that cannot be read is an error (a T5's tokenizer.json without spiece.model).
 */
status tokenizer_open(const char *folder, struct tokenizer **out);
status tokenizer_open_spm(const char *file, struct tokenizer **out); /* SentencePiece alone */
struct tokenizer *tokenizer_bytes(int64_t extra_ids); /* ids 0 pad 1 end 2 unk, bytes from 3 */
void tokenizer_close(struct tokenizer *tokenizer);

/* Appends the ids of text (no end token).  Byte ranges are of the given text. */
status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                        struct token_list *out);
/* The same for text that is not trusted: special tokens that it spells stay text (added tokens
 * that are not special are found as ever). */
status tokenizer_encode_plain(const struct tokenizer *tokenizer, const char *text, size_t size,
                              struct token_list *out);
/* The same of a text that is a part of a longer one. */
status tokenizer_encode_part(const struct tokenizer *tokenizer, const char *text, size_t size,
                             bool plain, enum text_place place, struct token_list *out);
/* Special tokens are dropped when skip_special.  The caller frees *text. */
status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                        bool skip_special, char **text);
/* The same of a text that may hold U+0000: *size bytes, and a NUL behind them. */
status tokenizer_decode_sized(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                              bool skip_special, char **text, size_t *size);
/* As tokenizer_decode with special tokens skipped, but keeps what each token stands for:
 * [begin[i], end[i]) are bytes of *text; special tokens have an empty range.  Bytes that are
 * no UTF-8 stay as they are.  Used for the words of a generated reply. */
status tokenizer_decode_ranges(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                               char **text, size_t *size, int32_t *begin, int32_t *end);
int64_t tokenizer_size(const struct tokenizer *tokenizer); /* ids, extra ids included */
/* -1 where the folder names none. */
int32_t tokenizer_pad(const struct tokenizer *tokenizer);
int32_t tokenizer_end(const struct tokenizer *tokenizer);
int32_t tokenizer_begin(const struct tokenizer *tokenizer);
/* Pad, end and begin, of tokenizer.json all that are flagged special; unk is not. */
bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id);
/* The id of an added token, user-defined symbol or piece, -1 where there is none. */
int32_t tokenizer_piece(const struct tokenizer *tokenizer, const char *piece);
/* Whether the ids of both mean the same: as many, the same special ones, the same text each. */
status tokenizer_same(const struct tokenizer *a, const struct tokenizer *b, bool *same);
/* Copies the tokenizer's files into a folder (spiece.model, tokenizer_config.json,
 * special_tokens_map.json), as Transformers reads them. */
status tokenizer_save(const struct tokenizer *tokenizer, const char *folder);

/* Trains a unigram model (ids pad 0, end 1, unk 2, no begin), the markers as
 * user-defined symbols; deterministic.  Newlines, tabs and runs of spaces survive where texts hold
 * any.  texts: count NUL-terminated strings, of any length. */
status tokenizer_train(const char *const *texts, int64_t count, int64_t vocabulary,
                       const char *const *symbols, int64_t symbol_count, const char *folder,
                       int64_t extra_ids);

#endif
