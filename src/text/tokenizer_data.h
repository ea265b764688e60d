/* What the files of tokenizer.h share: tokenizer.c, pieces.c, bytes.c, llama.c, special_tokens.c,
 * tokenizer_folder.c and tokenizer_train.c (SentencePiece), tokenizer_json.c (decoder-only models);
 * not for other modules. */
#ifndef REGARD_TEXT_TOKENIZER_DATA_H
#define REGARD_TEXT_TOKENIZER_DATA_H

#include "src/base/json.h"
#include "src/base/status.h"
#include "src/text/bpe.h"
#include "src/text/sentencepiece_shim.h"
#include "src/text/text_place.h"
#include "src/text/token_list.h"
#include "src/text/tokenizer_files.h"

#include <stdbool.h>

enum tokenizer_kind {
    TOKENIZER_SPM,   /* SentencePiece alone */
    TOKENIZER_EXTRA, /* SentencePiece with extra ids */
    TOKENIZER_BYTES, /* bytes of UTF-8 with extra ids */
    TOKENIZER_BPE,   /* byte-level BPE of tokenizer.json */
    TOKENIZER_LLAMA  /* SentencePiece with special tokens by name */
};

/* A token beyond the model's own pieces and extra ids: its text becomes its one id. */
struct added_token {
    char *text;
    int32_t id;
    bool special;        /* skipped where special tokens are */
    bool lstrip, rstrip; /* white space before, behind it vanishes */
};

struct tokenizer {
    enum tokenizer_kind kind;
    struct sp_model *model;  /* of SentencePiece */
    struct sp_model *bare;   /* of TOKENIZER_LLAMA: without a space before the text, for what stands
                              * behind a special token; NULL: as `model` */
    struct sp_model *inside; /* of TOKENIZER_LLAMA: likewise, for what stands behind other text */
    struct bpe *bpe;         /* of TOKENIZER_BPE */
    struct kept_files files; /* of decoder-only models */
    char *file;              /* the bytes of spiece.model */
    size_t file_size;
    int64_t extra_ids;
    int32_t pieces;                   /* ids below the extra ids */
    int32_t pad, end, begin, unknown; /* -1: none */
    struct added_token *added;
    int64_t added_count;
    int64_t size; /* one more than the highest id */
};

/* spiece.model with so many extra ids; extra_ids < 0: SentencePiece alone. */
status tokenizer_open_pieces(const char *file, int64_t extra_ids, struct tokenizer **out);

#define LLAMA_SPACE "\xE2\x96\x81" /* what a space is in pieces: U+2581 */
/* Of TOKENIZER_LLAMA: reads the kept tokenizer.model.  space_once: a space is put before a text
 * alone, not before what stands behind a special token. */
status llama_open_model(struct tokenizer *tokenizer, bool space_once);
/* Appends the text of pieces and of special tokens that do not stand apart. */
status llama_decode_stretch(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                            struct text_buffer *out);

/* An added token with the flags of its entry in added_tokens_decoder (NULL: none); one that is
 * there already with that id is passed over. */
status added_token_add(struct tokenizer *tokenizer, const char *path, const char *text, int64_t id,
                       const json_t *flags, bool special);
/* Those of tokenizer_config.json's added_tokens_decoder and of added_tokens.json. */
status added_tokens_read(const char *folder, const json_t *config, const char *path,
                         struct tokenizer *tokenizer);

/* The tokenizer of a decoder-only model; *out stays as it is where the folder holds none. */
status tokenizer_open_json(const char *folder, struct tokenizer **out);
/* A JSON file that is an object, its numbers as reals: Transformers writes integers of 31 digits.
 */
status tokenizer_read_object(const char *path, json_t **out);

/* The id of the longest special or added token at the start of text ("</s>", "<extra_id_7>"), its
 * length in *length; -1 when there is none. */
int32_t special_at(const struct tokenizer *tokenizer, const char *text, size_t size,
                   size_t *length);
/* Its text, which may be written into scratch; NULL when id is neither special nor added. */
const char *special_text(const struct tokenizer *tokenizer, int32_t id, char scratch[32]);
/* Extra ids and added tokens: decoded text has a space on either side of them. */
bool special_stands_apart(const struct tokenizer *tokenizer, int32_t id);
/* Whether id is an added token that is flagged special. */
bool added_is_special(const struct tokenizer *tokenizer, int32_t id);
/* Whether it is left out where special tokens are skipped. */
bool special_is_skipped(const struct tokenizer *tokenizer, int32_t id);
/* Does white space before (behind) this special token vanish in encoding?  id -1: no. */
bool special_strips_before(const struct tokenizer *tokenizer, int32_t id);
bool special_strips_behind(const struct tokenizer *tokenizer, int32_t id);
/* Bytes of Unicode white space (Python's str.isspace) at the start or the end of text. */
size_t space_at_start(const char *text, size_t size);
size_t space_at_end(const char *text, size_t size);

/* Of pieces or bytes; plain: special tokens stay text. */
status pieces_encode(const struct tokenizer *tokenizer, const char *text, size_t size, bool plain,
                     enum text_place place, struct token_list *out);
/* Appends the text (not of bytes). */
status pieces_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                     bool skip_special, struct text_buffer *out);
/* As tokenizer_decode_ranges; appends the text. */
status pieces_decode_ranges(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                            struct text_buffer *out, int32_t *begin, int32_t *end);

/* tokenizer_config.json and special_tokens_map.json of a T5 or ByT5. */
status tokenizer_write_config(const char *folder, bool bytes, int64_t extra_ids,
                              const struct added_token *added, int64_t added_count);

/* A token is a byte of UTF-8 plus 3; pad 0, end 1, unknown 2, extra ids from 259 up. */
enum { BYTES_OFFSET = 3, BYTES_PIECES = 256 + BYTES_OFFSET };
void bytes_encode(const char *text, size_t size, int32_t offset, struct token_list *out);
/* Appends the text. */
void bytes_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                  bool skip_special, struct text_buffer *out);

#endif
