/* SentencePiece as decoder-only models have it (Llama 2, Mistral): what differs from T5's in
 * opening and decoding.  As Transformers' slow LlamaTokenizer. */
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/text/tokenizer_data.h"

#include <stdlib.h>
#include <string.h>

/* The model without the space before a text: of a message that comes twice in a protocol buffer the
 * later fields count, so these are ModelProto.normalizer_spec.add_dummy_prefix = false. */
static status open_bare(const struct kept_file *file, struct sp_model **out)
{
    static const char no_prefix[] = {0x1A, 2, 0x18, 0};
    char error[SENTENCEPIECE_ERROR];
    char *data = memory_allocate(file->size + sizeof no_prefix);
    memcpy(data, file->data, file->size);
    memcpy(data + file->size, no_prefix, sizeof no_prefix);
    const bool read = sentencepiece_load(data, file->size + sizeof no_prefix, out, error);
    free(data);
    if (!read) FAIL(STATUS_INPUT, "not a SentencePiece model (%s)", error);
    return NULL;
}

status llama_open_model(struct tokenizer *tokenizer, bool space_once)
{
    const struct kept_file *file = kept_files_find(&tokenizer->files, "tokenizer.model");
    char error[SENTENCEPIECE_ERROR];
    if (!sentencepiece_load(file->data, file->size, &tokenizer->model, error))
        FAIL(STATUS_INPUT, "not a SentencePiece model (%s)", error);
    tokenizer->pieces = sentencepiece_size(tokenizer->model);
    tokenizer->size = tokenizer->pieces;
    TRY(open_bare(file, &tokenizer->inside));
    return space_once ? open_bare(file, &tokenizer->bare) : NULL;
}

static bool has_space_before(const struct tokenizer *tokenizer, int32_t id)
{
    return strncmp(sentencepiece_piece(tokenizer->model, id), LLAMA_SPACE, strlen(LLAMA_SPACE)) ==
           0;
}

/* Pieces between special tokens; strip_first: the first of them loses its space. */
static status decode_pieces(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                            bool strip_first, struct text_buffer *out)
{
    char *text, error[SENTENCEPIECE_ERROR];
    size_t size;
    if (count == 0) return NULL;
    if (!sentencepiece_decode(tokenizer->bare ? tokenizer->bare : tokenizer->model, ids,
                              (size_t)count, strip_first, NULL, NULL, &text, &size, error))
        FAIL(STATUS_INPUT, "SentencePiece: %s", error);
    text_append(out, text, size);
    free(text);
    return NULL;
}

status llama_decode_stretch(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                            struct text_buffer *out)
{
    int64_t start = 0;
    bool behind_special = false;
    for (int64_t i = 0; i < count; i++) {
        char scratch[32];
        const char *special = special_text(tokenizer, ids[i], scratch);
        if (!special) {
            if (behind_special && i == 1 && !has_space_before(tokenizer, ids[i]))
                text_append(out, " ", 1);
            behind_special = false;
            continue;
        }
        if (!behind_special && i > 0 && !tokenizer->bare) text_append(out, " ", 1);
        TRY(decode_pieces(tokenizer, ids + start, i - start, start == 0, out));
        text_append(out, special, strlen(special));
        behind_special = true;
        start = i + 1;
    }
    return decode_pieces(tokenizer, ids + start, count - start, start == 0, out);
}
