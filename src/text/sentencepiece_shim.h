/* The few calls of SentencePiece (C++) that the tokenizer needs, with C linkage; no exception
 * leaves it.  Functions return false with a message in error. */
#ifndef REGARD_TEXT_SENTENCEPIECE_SHIM_H
#define REGARD_TEXT_SENTENCEPIECE_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SENTENCEPIECE_ERROR = 512 };

struct sp_model;
/* Called for each piece with its id and byte range. */
typedef void (*sentencepiece_visit)(void *context, int32_t id, int32_t begin, int32_t end);

bool sentencepiece_load(const void *model, size_t size, struct sp_model **out,
                        char error[SENTENCEPIECE_ERROR]);
void sentencepiece_free(struct sp_model *model);

int32_t sentencepiece_size(const struct sp_model *model);
/* -1 where the model has no such id. */
int32_t sentencepiece_pad(const struct sp_model *model);
int32_t sentencepiece_end(const struct sp_model *model);
int32_t sentencepiece_unknown(const struct sp_model *model);
int32_t sentencepiece_id(const struct sp_model *model, const char *piece); /* -1: none */
/* Of an id below sentencepiece_size. */
const char *sentencepiece_piece(const struct sp_model *model, int32_t id);

bool sentencepiece_encode(const struct sp_model *model, const char *text, size_t size,
                          sentencepiece_visit visit, void *context,
                          char error[SENTENCEPIECE_ERROR]);
/* *text is malloc'ed and NUL-terminated; visit may be NULL.  strip_first: the first piece
 * loses its leading space symbol before decoding (TOKENIZER_EXTRA). */
bool sentencepiece_decode(const struct sp_model *model, const int32_t *ids, size_t count,
                          bool strip_first, sentencepiece_visit visit, void *context, char **text,
                          size_t *size, char error[SENTENCEPIECE_ERROR]);
/* Unigram, ids as encoder-decoders have them (pad 0, end 1, unk 2, no begin); *model is malloc'ed.
 * Longer texts than SENTENCEPIECE_TEXT_MAX bytes are left out.  keep_spaces: a run of spaces stays
 * one. */
enum { SENTENCEPIECE_TEXT_MAX = 65536 };
bool sentencepiece_train(const char *const *texts, size_t count, int64_t vocabulary,
                         const char *symbols_csv, bool keep_spaces, void **model, size_t *size,
                         char error[SENTENCEPIECE_ERROR]);

#ifdef __cplusplus
}
#endif

#endif
