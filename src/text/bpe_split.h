/* Pre-tokenizers of tokenizer.json: a text falls into words, which are encoded by themselves. */
#ifndef REGARD_TEXT_BPE_SPLIT_H
#define REGARD_TEXT_BPE_SPLIT_H

#include "src/base/json.h"

#include <stdbool.h>
#include <stddef.h>

struct splitter;
/* The pre_tokenizer of tokenizer.json: ByteLevel, or a Sequence of Digits, Split and at its end
 * ByteLevel.  prefix_space: 1 or 0 puts a space before each text or does not, -1: as the file says.
 */
status splitter_read(const json_t *json, const char *path, int prefix_space, struct splitter **out);
void splitter_free(struct splitter *splitter);
/* For tests: by PCRE2 even where a pattern has code of its own. */
void splitter_use_patterns(struct splitter *splitter);

/* Called for the words of a text, in order; begin: where the word stands in the text.  prefixed:
 * the word's first byte is a space that was put before the text, and begin is where the rest
 * stands. */
typedef void word_visit(void *context, const char *word, size_t size, bool prefixed, size_t begin);
status splitter_run(const struct splitter *splitter, const char *text, size_t size,
                    word_visit *visit, void *context);

#endif
