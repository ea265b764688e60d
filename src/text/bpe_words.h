/* Code for the patterns that most byte-level tokenizers have, which finds what PCRE2 would. */
#ifndef REGARD_TEXT_BPE_WORDS_H
#define REGARD_TEXT_BPE_WORDS_H

#include <stddef.h>

extern const char gpt2_pattern[];   /* GPT-2, SmolLM */
extern const char llama3_pattern[]; /* up to three digits together */
extern const char qwen2_pattern[];  /* digits singly */

/* Bytes of the first word of a text (valid UTF-8, size > 0). */
size_t gpt2_word(const char *text, size_t size);
size_t llama3_word(const char *text, size_t size);
size_t qwen2_word(const char *text, size_t size);

#endif
