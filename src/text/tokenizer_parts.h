/* What tokenizer.c (folders, SentencePiece) and bytes.c share; not for other modules. */
#ifndef REGARD_TEXT_TOKENIZER_PARTS_H
#define REGARD_TEXT_TOKENIZER_PARTS_H

#include "src/text/sentencepiece_shim.h"
#include "src/text/tokenizer.h"

enum tokenizer_kind {
    TOKENIZER_SPM,  /* SentencePiece alone */
    TOKENIZER_T5,   /* with extra ids, as Transformers' slow T5Tokenizer */
    TOKENIZER_BYTES /* as ByT5Tokenizer */
};

struct tokenizer {
    enum tokenizer_kind kind;
    struct sp_model *model; /* NULL for bytes */
    char *file;             /* the bytes of spiece.model */
    size_t file_size;
    int64_t extra_ids;
    int32_t pieces; /* ids below the extra ids */
    int32_t pad, end, unknown;
    int64_t size;
};

/* The number of a special token's name at the start of text ("</s>", "<extra_id_7>"), its length in
 * *length; -1 when there is none. */
int32_t special_at(const struct tokenizer *tokenizer, const char *text, size_t size,
                   size_t *length);
/* Its name; false when id is no special token. */
bool special_name(const struct tokenizer *tokenizer, int32_t id, char name[32]);
bool special_is_extra(const struct tokenizer *tokenizer, int32_t id);
/* Bytes of Unicode white space (Python's str.isspace) at the start or the end of text. */
size_t space_at_start(const char *text, size_t size);
size_t space_at_end(const char *text, size_t size);

void bytes_encode(const char *text, size_t size, int32_t offset, struct token_list *out);
status bytes_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                    bool skip_special, char **text);

/* A growing NUL-terminated text. */
struct text_buffer {
    char *data;
    size_t size, capacity;
};
void text_append(struct text_buffer *buffer, const char *text, size_t size);

#endif
