/* Tokenizers of all kinds behind tokenizer.h; their folders are read in tokenizer_folder.c and
 * tokenizer_json.c. */
#include "src/text/tokenizer.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/text/tokenizer_data.h"

#include <stdlib.h>
#include <string.h>

status tokenizer_open_pieces(const char *file, int64_t extra_ids, struct tokenizer **out)
{
    char *data, error[SENTENCEPIECE_ERROR];
    size_t size;
    struct sp_model *model = NULL;
    TRY(file_read(file, &data, &size));
    if (!sentencepiece_load(data, size, &model, error)) {
        free(data);
        FAIL(STATUS_INPUT, "%s: not a SentencePiece model (%s)", file, error);
    }
    struct tokenizer *tokenizer = memory_allocate(sizeof *tokenizer);
    tokenizer->kind = extra_ids < 0 ? TOKENIZER_SPM : TOKENIZER_EXTRA;
    tokenizer->model = model;
    tokenizer->file = data;
    tokenizer->file_size = size;
    tokenizer->extra_ids = extra_ids < 0 ? 0 : extra_ids;
    tokenizer->pieces = sentencepiece_size(model);
    tokenizer->pad = sentencepiece_pad(model);
    tokenizer->end = sentencepiece_end(model);
    tokenizer->begin = -1;
    tokenizer->unknown = sentencepiece_unknown(model);
    tokenizer->size = tokenizer->pieces + tokenizer->extra_ids;
    if (tokenizer->kind == TOKENIZER_EXTRA) {
        /* By name, as Transformers does; what the model lacks comes after the extra ids. */
        tokenizer->end = sentencepiece_id(model, "</s>");
        tokenizer->unknown = sentencepiece_id(model, "<unk>");
        tokenizer->pad = sentencepiece_id(model, "<pad>");
        if (tokenizer->end < 0) tokenizer->end = (int32_t)tokenizer->size++;
        if (tokenizer->unknown < 0) tokenizer->unknown = (int32_t)tokenizer->size++;
        if (tokenizer->pad < 0) tokenizer->pad = (int32_t)tokenizer->size++;
    }
    *out = tokenizer;
    return NULL;
}

struct tokenizer *tokenizer_bytes(int64_t extra_ids)
{
    struct tokenizer *tokenizer = memory_allocate(sizeof *tokenizer);
    tokenizer->kind = TOKENIZER_BYTES;
    tokenizer->extra_ids = extra_ids;
    tokenizer->pieces = BYTES_PIECES;
    tokenizer->pad = 0;
    tokenizer->end = 1;
    tokenizer->begin = -1;
    tokenizer->unknown = 2;
    tokenizer->size = BYTES_PIECES + extra_ids;
    return tokenizer;
}

status tokenizer_open_spm(const char *file, struct tokenizer **out)
{
    return tokenizer_open_pieces(file, -1, out);
}

void tokenizer_close(struct tokenizer *tokenizer)
{
    if (!tokenizer) return;
    sentencepiece_free(tokenizer->model);
    sentencepiece_free(tokenizer->bare);
    sentencepiece_free(tokenizer->inside);
    for (int64_t i = 0; i < tokenizer->added_count; i++) free(tokenizer->added[i].text);
    free(tokenizer->added);
    bpe_free(tokenizer->bpe);
    kept_files_free(&tokenizer->files);
    free(tokenizer->file);
    free(tokenizer);
}

status tokenizer_encode_part(const struct tokenizer *tokenizer, const char *text, size_t size,
                             bool plain, enum text_place place, struct token_list *out)
{
    if (tokenizer->kind == TOKENIZER_BPE) return bpe_encode(tokenizer->bpe, text, size, plain, out);
    if (size > INT32_MAX) FAIL(STATUS_INPUT, "a text of %zu bytes is too long", size);
    return pieces_encode(tokenizer, text, size, plain, place, out);
}

status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                        struct token_list *out)
{
    return tokenizer_encode_part(tokenizer, text, size, false, PLACE_FIRST, out);
}

status tokenizer_encode_plain(const struct tokenizer *tokenizer, const char *text, size_t size,
                              struct token_list *out)
{
    return tokenizer_encode_part(tokenizer, text, size, true, PLACE_FIRST, out);
}

status tokenizer_decode_sized(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                              bool skip_special, char **text, size_t *size)
{
    struct text_buffer out = {0};
    status s = NULL;
    text_append(&out, "", 0);
    if (tokenizer->kind == TOKENIZER_BYTES)
        bytes_decode(tokenizer, ids, count, skip_special, &out);
    else if (tokenizer->kind == TOKENIZER_BPE)
        bpe_decode(tokenizer->bpe, ids, count, skip_special, &out);
    else
        s = pieces_decode(tokenizer, ids, count, skip_special, &out);
    if (s) {
        free(out.data);
        return s;
    }
    *text = out.data;
    *size = out.size;
    return NULL;
}

status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                        bool skip_special, char **text)
{
    size_t size;
    return tokenizer_decode_sized(tokenizer, ids, count, skip_special, text, &size);
}

static void bpe_ranges(const struct bpe *bpe, const int32_t *ids, int64_t count,
                       struct text_buffer *out, int32_t *begin, int32_t *end)
{
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        const char *bytes = bpe_bytes(bpe, ids[i], &size);
        begin[i] = (int32_t)out->size;
        if (!bpe_is_special(bpe, ids[i])) text_append(out, bytes, size);
        end[i] = (int32_t)out->size;
    }
}

status tokenizer_decode_ranges(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                               char **text, size_t *size, int32_t *begin, int32_t *end)
{
    struct text_buffer out = {0};
    status s = NULL;
    text_append(&out, "", 0);
    if (tokenizer->kind == TOKENIZER_BPE)
        bpe_ranges(tokenizer->bpe, ids, count, &out, begin, end);
    else
        s = pieces_decode_ranges(tokenizer, ids, count, &out, begin, end);
    if (s) {
        free(out.data);
        return s;
    }
    *text = out.data;
    *size = out.size;
    return NULL;
}

int64_t tokenizer_size(const struct tokenizer *tokenizer)
{
    return tokenizer->size;
}

int32_t tokenizer_pad(const struct tokenizer *tokenizer)
{
    return tokenizer->pad < 0 && tokenizer->files.count > 0 ? tokenizer->end : tokenizer->pad;
}

int32_t tokenizer_end(const struct tokenizer *tokenizer)
{
    return tokenizer->end;
}

int32_t tokenizer_begin(const struct tokenizer *tokenizer)
{
    return tokenizer->begin;
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id)
{
    if (tokenizer->kind == TOKENIZER_BPE && bpe_is_special(tokenizer->bpe, id)) return true;
    if (tokenizer->kind == TOKENIZER_LLAMA && id != tokenizer->unknown &&
        added_is_special(tokenizer, id))
        return true;
    return id >= 0 && (id == tokenizer->pad || id == tokenizer->end || id == tokenizer->begin);
}

/* What every id stands for, one behind another. */
struct meanings {
    char *text;
    size_t size;
    int32_t *ids, *begin, *end; /* [the tokenizer's size] */
};

static status meanings_read(const struct tokenizer *tokenizer, struct meanings *out)
{
    const size_t n = (size_t)tokenizer->size + 1;
    *out = (struct meanings){.ids = memory_allocate(n * sizeof *out->ids),
                             .begin = memory_allocate(n * sizeof *out->begin),
                             .end = memory_allocate(n * sizeof *out->end)};
    for (int64_t id = 0; id < tokenizer->size; id++) out->ids[id] = (int32_t)id;
    return tokenizer_decode_ranges(tokenizer, out->ids, tokenizer->size, &out->text, &out->size,
                                   out->begin, out->end);
}

static void meanings_free(struct meanings *meanings)
{
    free(meanings->text);
    free(meanings->ids);
    free(meanings->begin);
    free(meanings->end);
}

status tokenizer_same(const struct tokenizer *a, const struct tokenizer *b, bool *same)
{
    struct meanings mine = {0}, theirs = {0};
    *same = a->size == b->size && tokenizer_end(a) == tokenizer_end(b);
    if (!*same) return NULL;
    status s = meanings_read(a, &mine);
    if (!s) s = meanings_read(b, &theirs);
    if (!s)
        *same = mine.size == theirs.size && !memcmp(mine.text, theirs.text, mine.size) &&
                !memcmp(mine.end, theirs.end, (size_t)a->size * sizeof *mine.end);
    for (int32_t id = 0; !s && *same && id < a->size; id++)
        *same = tokenizer_is_special(a, id) == tokenizer_is_special(b, id);
    meanings_free(&mine);
    meanings_free(&theirs);
    return s;
}

int32_t tokenizer_piece(const struct tokenizer *tokenizer, const char *piece)
{
    if (tokenizer->kind == TOKENIZER_BPE) return bpe_id(tokenizer->bpe, piece, strlen(piece));
    if (tokenizer->kind != TOKENIZER_BYTES) {
        const int32_t id = sentencepiece_id(tokenizer->model, piece);
        if (id >= 0) return id;
    }
    size_t length;
    const int32_t special = special_at(tokenizer, piece, strlen(piece), &length);
    return special >= 0 && length == strlen(piece) ? special : -1;
}
