/* Encoding and decoding as SentencePiece and, with extra ids,
 * as Transformers' slow tokenizers (legacy) do; tokenizer_folder.c names their classes. */
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

struct segment_target {
    struct token_list *out;
    int32_t offset;
};

static void add_piece(void *context, int32_t id, int32_t begin, int32_t end)
{
    struct segment_target *target = context;
    token_list_add(target->out, id, target->offset + begin, target->offset + end);
}

static const struct sp_model *model_at(const struct tokenizer *tokenizer, enum text_place place)
{
    const struct sp_model *model = place == PLACE_BEHIND_SPECIAL ? tokenizer->bare
                                   : place == PLACE_BEHIND_TEXT  ? tokenizer->inside
                                                                 : NULL;
    return model ? model : tokenizer->model;
}

/* Text without special tokens. */
static status encode_segment(const struct tokenizer *tokenizer, const char *text, size_t size,
                             size_t offset, enum text_place place, struct token_list *out)
{
    if (tokenizer->kind == TOKENIZER_BYTES) {
        bytes_encode(text, size, (int32_t)offset, out);
        return NULL;
    }
    char error[SENTENCEPIECE_ERROR];
    struct segment_target target = {out, (int32_t)offset};
    if (!sentencepiece_encode(model_at(tokenizer, place), text, size, add_piece, &target, error))
        FAIL(STATUS_INPUT, "SentencePiece: %s", error);
    return NULL;
}

/* plain: special tokens stay text. */
status tokenizer_encode_part(const struct tokenizer *tokenizer, const char *text, size_t size,
                             bool plain, enum text_place place, struct token_list *out)
{
    if (tokenizer->kind == TOKENIZER_BPE) return bpe_encode(tokenizer->bpe, text, size, plain, out);
    if (size > INT32_MAX) FAIL(STATUS_INPUT, "a text of %zu bytes is too long", size);
    size_t start = 0;
    int32_t before = -1;
    for (size_t at = 0; at <= size; at++) {
        size_t length = 0;
        int32_t special = special_at(tokenizer, text + at, size - at, &length);
        if (plain && special >= 0 && special_is_skipped(tokenizer, special)) special = -1;
        if (special < 0 && at < size) continue;
        const char *segment = text + start;
        size_t segment_size = at - start, skipped = 0;
        if (special_strips_behind(tokenizer, before))
            skipped = space_at_start(segment, segment_size);
        segment_size -= skipped;
        if (special_strips_before(tokenizer, special))
            segment_size -= space_at_end(segment + skipped, segment_size);
        if (segment_size > 0)
            TRY(encode_segment(tokenizer, segment + skipped, segment_size, start + skipped,
                               start + skipped > 0 ? PLACE_BEHIND_SPECIAL : place, out));
        /* The space before a text stands alone before an added token that is not special. */
        if (special >= 0 && at == 0 && place == PLACE_FIRST && tokenizer->bare &&
            !added_is_special(tokenizer, special)) {
            const int32_t space = sentencepiece_id(tokenizer->model, LLAMA_SPACE);
            if (space >= 0) token_list_add(out, space, 0, 0);
        }
        if (special >= 0) {
            token_list_add(out, special, (int32_t)at, (int32_t)(at + length));
            start = at + length;
            at = start - 1;
            before = special;
        }
    }
    return NULL;
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

/* Decodes ids[0..count) by SentencePiece; appends. */
static status decode_run(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                         bool strip_first, struct text_buffer *out)
{
    char *text, error[SENTENCEPIECE_ERROR];
    size_t size;
    if (count == 0) return NULL;
    if (!sentencepiece_decode(tokenizer->model, ids, (size_t)count, strip_first, NULL, NULL, &text,
                              &size, error))
        FAIL(STATUS_INPUT, "SentencePiece: %s", error);
    text_append(out, text, size);
    free(text);
    return NULL;
}

/* convert_tokens_to_string: pad, end and unknown stand as their names, with a space
 * before the text that leads to them; the whole is stripped. */
static status decode_stretch(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                             struct text_buffer *out)
{
    struct text_buffer all = {0};
    int64_t start = 0;
    bool before_special = false;
    status s = NULL;
    text_append(&all, "", 0);
    for (int64_t i = 0; i <= count && !s; i++) {
        char scratch[32];
        const char *special = i < count ? special_text(tokenizer, ids[i], scratch) : NULL;
        if (i < count && !special) {
            before_special = false;
            continue;
        }
        if (special && !before_special) text_append(&all, " ", 1);
        s = decode_run(tokenizer, ids + start, i - start, start == 0, &all);
        if (special) text_append(&all, special, strlen(special));
        before_special = special != NULL;
        start = i + 1;
    }
    if (!s) {
        const size_t first = space_at_start(all.data, all.size);
        const size_t size = all.size - first;
        text_append(out, all.data + first, size - space_at_end(all.data + first, size));
    }
    free(all.data);
    return s;
}

/* PreTrainedTokenizer._decode: stretches between extra ids and added tokens, joined by spaces. */
static status decode_stretches(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                               bool skip_special, struct text_buffer *out)
{
    int32_t *kept = memory_allocate((size_t)(count + 1) * sizeof *kept);
    int64_t kept_count = 0;
    bool joined = false;
    status s = NULL;
    for (int64_t i = 0; i <= count && !s; i++) {
        char scratch[32];
        const char *special = i < count ? special_text(tokenizer, ids[i], scratch) : NULL;
        const bool apart = special && special_stands_apart(tokenizer, ids[i]);
        if (special && skip_special && special_is_skipped(tokenizer, ids[i])) continue;
        if (i < count && !apart) {
            if (special || (ids[i] >= 0 && ids[i] < tokenizer->pieces)) kept[kept_count++] = ids[i];
            continue;
        }
        struct text_buffer stretch = {0};
        s = tokenizer->kind == TOKENIZER_LLAMA
                ? llama_decode_stretch(tokenizer, kept, kept_count, &stretch)
                : decode_stretch(tokenizer, kept, kept_count, &stretch);
        if (!s && kept_count > 0 && (stretch.size > 0 || i == count)) {
            if (joined) text_append(out, " ", 1);
            text_append(out, stretch.data, stretch.size);
            joined = true;
        }
        kept_count = 0;
        free(stretch.data);
        if (apart) {
            if (joined) text_append(out, " ", 1);
            text_append(out, special, strlen(special));
            joined = true;
        }
    }
    free(kept);
    return s;
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
    else if (tokenizer->kind == TOKENIZER_EXTRA || tokenizer->kind == TOKENIZER_LLAMA)
        s = decode_stretches(tokenizer, ids, count, skip_special, &out);
    else
        s = decode_run(tokenizer, ids, count, false, &out);
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

struct range_target {
    int32_t *begin, *end;
    int64_t next;
    int32_t offset;
};

static void set_range(void *context, int32_t id, int32_t begin, int32_t end)
{
    struct range_target *target = context;
    (void)id;
    target->begin[target->next] = target->offset + begin;
    target->end[target->next++] = target->offset + end;
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
    text_append(&out, "", 0);
    if (tokenizer->kind == TOKENIZER_BPE) {
        bpe_ranges(tokenizer->bpe, ids, count, &out, begin, end);
        *text = out.data;
        *size = out.size;
        return NULL;
    }
    for (int64_t i = 0; i < count;) {
        char scratch[32];
        int64_t stop = i;
        while (stop < count && ids[stop] >= 0 && ids[stop] < tokenizer->pieces &&
               !special_text(tokenizer, ids[stop], scratch))
            stop++;
        if (stop == i) { /* special, or past the tokenizer's ids: stands for nothing */
            const char *added = special_is_skipped(tokenizer, ids[i])
                                    ? NULL
                                    : special_text(tokenizer, ids[i], scratch);
            if (added && out.size > 0) text_append(&out, " ", 1);
            begin[i] = (int32_t)out.size;
            if (added) text_append(&out, added, strlen(added));
            end[i] = (int32_t)out.size;
            i++;
            continue;
        }
        if (tokenizer->kind == TOKENIZER_BYTES) {
            for (; i < stop; i++) {
                const char byte = (char)(ids[i] - 3);
                begin[i] = (int32_t)out.size;
                text_append(&out, &byte, 1);
                end[i] = (int32_t)out.size;
            }
            continue;
        }
        if (out.size > 0) text_append(&out, " ", 1);
        char *run, error[SENTENCEPIECE_ERROR];
        size_t run_size;
        struct range_target target = {begin + i, end + i, 0, (int32_t)out.size};
        if (!sentencepiece_decode(tokenizer->model, ids + i, (size_t)(stop - i), false, set_range,
                                  &target, &run, &run_size, error)) {
            free(out.data);
            FAIL(STATUS_INPUT, "SentencePiece: %s", error);
        }
        text_append(&out, run, run_size);
        free(run);
        i = stop;
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
