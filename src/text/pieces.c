/* Texts of pieces of SentencePiece or bytes, with special and added tokens between them: as
 * SentencePiece and, with extra ids, as Transformers' slow tokenizers (legacy) do. */
#include "src/base/memory.h"
#include "src/text/tokenizer_data.h"

#include <stdlib.h>
#include <string.h>

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

status pieces_encode(const struct tokenizer *tokenizer, const char *text, size_t size, bool plain,
                     enum text_place place, struct token_list *out)
{
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
status pieces_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                     bool skip_special, struct text_buffer *out)
{
    if (tokenizer->kind == TOKENIZER_SPM) return decode_run(tokenizer, ids, count, false, out);
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

status pieces_decode_ranges(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                            struct text_buffer *out, int32_t *begin, int32_t *end)
{
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
            if (added && out->size > 0) text_append(out, " ", 1);
            begin[i] = (int32_t)out->size;
            if (added) text_append(out, added, strlen(added));
            end[i] = (int32_t)out->size;
            i++;
            continue;
        }
        if (tokenizer->kind == TOKENIZER_BYTES) {
            for (; i < stop; i++) {
                const char byte = (char)(ids[i] - 3);
                begin[i] = (int32_t)out->size;
                text_append(out, &byte, 1);
                end[i] = (int32_t)out->size;
            }
            continue;
        }
        if (out->size > 0) text_append(out, " ", 1);
        char *run, error[SENTENCEPIECE_ERROR];
        size_t run_size;
        struct range_target target = {begin + i, end + i, 0, (int32_t)out->size};
        if (!sentencepiece_decode(tokenizer->model, ids + i, (size_t)(stop - i), false, set_range,
                                  &target, &run, &run_size, error))
            FAIL(STATUS_INPUT, "SentencePiece: %s", error);
        text_append(out, run, run_size);
        free(run);
        i = stop;
    }
    return NULL;
}
