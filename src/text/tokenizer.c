/* Tokenizers from folders and files; encoding and decoding as SentencePiece and, with extra ids,
 * as Transformers' slow T5Tokenizer (legacy) do. */
#include "src/text/tokenizer.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/tokenizer_parts.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T5_EXTRA_IDS = 100, BYT5_EXTRA_IDS = 125, EXTRA_IDS_MAX = 100000 };

void token_list_add(struct token_list *list, int32_t id, int32_t begin, int32_t end)
{
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 64;
        const size_t size = (size_t)list->capacity * sizeof(int32_t);
        list->ids = memory_resize(list->ids, size);
        list->begin = memory_resize(list->begin, size);
        list->end = memory_resize(list->end, size);
    }
    list->ids[list->count] = id;
    list->begin[list->count] = begin;
    list->end[list->count++] = end;
}

void token_list_free(struct token_list *list)
{
    free(list->ids);
    free(list->begin);
    free(list->end);
    memset(list, 0, sizeof *list);
}

/* extra_ids < 0: SentencePiece alone. */
static status open_spm(const char *file, int64_t extra_ids, struct tokenizer **out)
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
    tokenizer->kind = extra_ids < 0 ? TOKENIZER_SPM : TOKENIZER_T5;
    tokenizer->model = model;
    tokenizer->file = data;
    tokenizer->file_size = size;
    tokenizer->extra_ids = extra_ids < 0 ? 0 : extra_ids;
    tokenizer->pieces = sentencepiece_size(model);
    tokenizer->pad = sentencepiece_pad(model);
    tokenizer->end = sentencepiece_end(model);
    tokenizer->unknown = sentencepiece_unknown(model);
    tokenizer->size = tokenizer->pieces + tokenizer->extra_ids;
    if (tokenizer->kind == TOKENIZER_T5) {
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

status tokenizer_open_spm(const char *file, struct tokenizer **out)
{
    return open_spm(file, -1, out);
}

/* The number of extra ids that tokenizer_config.json names: those listed among the additional
 * special tokens, else extra_ids, else absent. */
static status extra_ids_of(const json_t *config, const char *path, int64_t absent, int64_t *out)
{
    const json_t *list = json_object_get(config, "additional_special_tokens");
    const json_t *count = json_object_get(config, "extra_ids");
    int64_t listed = 0;
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const json_t *content = json_is_object(entry) ? json_object_get(entry, "content") : entry;
        const char *name = json_string_value(content);
        if (name && strncmp(name, "<extra_id_", 10) == 0) listed++;
    }
    *out = absent;
    const double named = json_is_number(count) ? json_number_value(count) : 0;
    if (count) *out = named >= 0 && named <= EXTRA_IDS_MAX ? (int64_t)named : -1;
    if (count && (double)*out != named) *out = -1;
    if (listed > 0) *out = listed;
    if ((count && !json_is_number(count)) || *out < 0 || *out > EXTRA_IDS_MAX)
        FAIL(STATUS_INPUT, "%s: extra_ids must be a whole number from 0 to %d", path,
             EXTRA_IDS_MAX);
    return NULL;
}

/* Numbers as reals: Transformers writes model_max_length as an integer of 31 digits. */
static status read_config(const char *path, json_t **out)
{
    char *text;
    size_t size;
    TRY(file_read(path, &text, &size));
    status s = json_parse_file(text, size, path, JSON_DECODE_INT_AS_REAL, out);
    free(text);
    if (s || json_is_object(*out)) return s;
    json_decref(*out);
    FAIL(STATUS_INPUT, "%s: not a JSON object", path);
}

/* Whether tokenizer_class, where there is one, names ByT5's tokenizer or T5's. */
static status class_read(const json_t *config, const char *path, bool *bytes)
{
    static const char *const spm[] = {"T5Tokenizer", "T5TokenizerFast", "MT5Tokenizer",
                                      "MT5TokenizerFast", NULL};
    const json_t *name = json_object_get(config, "tokenizer_class");
    *bytes = false;
    if (!name || json_is_null(name)) return NULL;
    if (!json_is_string(name)) FAIL(STATUS_INPUT, "%s: tokenizer_class is not a string", path);
    *bytes = !strcmp(json_string_value(name), "ByT5Tokenizer");
    bool known = *bytes;
    for (int i = 0; spm[i]; i++) known = known || !strcmp(json_string_value(name), spm[i]);
    if (!known)
        FAIL(STATUS_INPUT,
             "%s: tokenizer_class %s is not supported (T5Tokenizer and ByT5Tokenizer are)", path,
             json_string_value(name));
    return NULL;
}

status tokenizer_open(const char *folder, struct tokenizer **out)
{
    char config_path[PATH_MAX], model_path[PATH_MAX];
    snprintf(config_path, sizeof config_path, "%s/tokenizer_config.json", folder);
    snprintf(model_path, sizeof model_path, "%s/spiece.model", folder);
    *out = NULL;
    int64_t extra_ids = T5_EXTRA_IDS;
    if (file_exists(config_path)) {
        json_t *config;
        TRY(read_config(config_path, &config));
        bool bytes;
        status s = class_read(config, config_path, &bytes);
        if (!s)
            s = extra_ids_of(config, config_path, bytes ? BYT5_EXTRA_IDS : T5_EXTRA_IDS,
                             &extra_ids);
        json_decref(config);
        if (s) return s;
        if (bytes) {
            *out = tokenizer_bytes(extra_ids);
            return NULL;
        }
    }
    if (!file_exists(model_path)) return NULL;
    return open_spm(model_path, extra_ids, out);
}

void tokenizer_close(struct tokenizer *tokenizer)
{
    if (!tokenizer) return;
    if (tokenizer->model) sentencepiece_free(tokenizer->model);
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

/* Text without special tokens. */
static status encode_segment(const struct tokenizer *tokenizer, const char *text, size_t size,
                             size_t offset, struct token_list *out)
{
    if (tokenizer->kind == TOKENIZER_BYTES) {
        bytes_encode(text, size, (int32_t)offset, out);
        return NULL;
    }
    char error[SENTENCEPIECE_ERROR];
    struct segment_target target = {out, (int32_t)offset};
    if (!sentencepiece_encode(tokenizer->model, text, size, add_piece, &target, error))
        FAIL(STATUS_INPUT, "SentencePiece: %s", error);
    return NULL;
}

/* Does white space beside this special token vanish?  T5Tokenizer strips round its extra ids,
 * ByT5Tokenizer round pad, end and unknown. */
static bool special_strips(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && special_is_extra(tokenizer, id) == (tokenizer->kind == TOKENIZER_T5);
}

status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                        struct token_list *out)
{
    if (size > INT32_MAX) FAIL(STATUS_INPUT, "a text of %zu bytes is too long", size);
    size_t start = 0;
    int32_t before = -1;
    for (size_t at = 0; at <= size; at++) {
        size_t length = 0;
        const int32_t special = special_at(tokenizer, text + at, size - at, &length);
        if (special < 0 && at < size) continue;
        const char *segment = text + start;
        size_t segment_size = at - start, skipped = 0;
        if (special_strips(tokenizer, before)) skipped = space_at_start(segment, segment_size);
        segment_size -= skipped;
        if (special_strips(tokenizer, special))
            segment_size -= space_at_end(segment + skipped, segment_size);
        if (segment_size > 0)
            TRY(encode_segment(tokenizer, segment + skipped, segment_size, start + skipped, out));
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

/* T5Tokenizer.convert_tokens_to_string: pad, end and unknown stand as their names, with a space
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
        char name[32];
        const bool special = i < count && special_name(tokenizer, ids[i], name);
        if (i < count && !special) {
            before_special = false;
            continue;
        }
        if (special && !before_special) text_append(&all, " ", 1);
        s = decode_run(tokenizer, ids + start, i - start, start == 0, &all);
        if (special) text_append(&all, name, strlen(name));
        before_special = special;
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

/* PreTrainedTokenizer._decode: stretches between extra ids, joined by spaces. */
static status decode_t5(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                        bool skip_special, struct text_buffer *out)
{
    int32_t *kept = memory_allocate((size_t)(count + 1) * sizeof *kept);
    int64_t kept_count = 0;
    bool joined = false;
    status s = NULL;
    for (int64_t i = 0; i <= count && !s; i++) {
        char name[32];
        const bool special = i < count && special_name(tokenizer, ids[i], name);
        const bool extra = special && special_is_extra(tokenizer, ids[i]);
        if (special && skip_special) continue;
        if (i < count && !extra) {
            if (special || (ids[i] >= 0 && ids[i] < tokenizer->pieces)) kept[kept_count++] = ids[i];
            continue;
        }
        struct text_buffer stretch = {0};
        s = decode_stretch(tokenizer, kept, kept_count, &stretch);
        if (!s && kept_count > 0 && (stretch.size > 0 || i == count)) {
            if (joined) text_append(out, " ", 1);
            text_append(out, stretch.data, stretch.size);
            joined = true;
        }
        kept_count = 0;
        free(stretch.data);
        if (extra) {
            if (joined) text_append(out, " ", 1);
            text_append(out, name, strlen(name));
            joined = true;
        }
    }
    free(kept);
    return s;
}

status tokenizer_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                        bool skip_special, char **text)
{
    if (tokenizer->kind == TOKENIZER_BYTES)
        return bytes_decode(tokenizer, ids, count, skip_special, text);
    struct text_buffer out = {0};
    text_append(&out, "", 0);
    status s = tokenizer->kind == TOKENIZER_T5
                   ? decode_t5(tokenizer, ids, count, skip_special, &out)
                   : decode_run(tokenizer, ids, count, false, &out);
    if (s)
        free(out.data);
    else
        *text = out.data;
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

status tokenizer_decode_ranges(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                               char **text, size_t *size, int32_t *begin, int32_t *end)
{
    struct text_buffer out = {0};
    text_append(&out, "", 0);
    for (int64_t i = 0; i < count;) {
        char name[32];
        int64_t stop = i;
        while (stop < count && ids[stop] >= 0 && ids[stop] < tokenizer->pieces &&
               !special_name(tokenizer, ids[stop], name))
            stop++;
        if (stop == i) { /* special, or past the tokenizer's ids: stands for nothing */
            begin[i] = end[i] = (int32_t)out.size;
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
    return tokenizer->pad;
}

int32_t tokenizer_end(const struct tokenizer *tokenizer)
{
    return tokenizer->end;
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && (id == tokenizer->pad || id == tokenizer->end);
}

int32_t tokenizer_piece(const struct tokenizer *tokenizer, const char *piece)
{
    if (tokenizer->kind != TOKENIZER_BYTES) {
        const int32_t id = sentencepiece_id(tokenizer->model, piece);
        if (id >= 0) return id;
    }
    size_t length;
    const int32_t special = special_at(tokenizer, piece, strlen(piece), &length);
    return special >= 0 && length == strlen(piece) ? special : -1;
}

static json_t *extra_list(int64_t extra_ids)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < extra_ids; i++)
        json_array_append_new(list, json_sprintf("<extra_id_%d>", (int)i));
    return list;
}

static status write_json(json_t *value, const char *path)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(value);
    if (!text) FAIL(STATUS_INTERNAL, "%s: out of memory", path);
    status s = file_write(path, text, strlen(text));
    free(text);
    return s;
}

static status write_config(const char *folder, bool bytes, int64_t extra_ids)
{
    char path[PATH_MAX];
    json_t *config = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:b}", "tokenizer_class",
                               bytes ? "ByT5Tokenizer" : "T5Tokenizer", "eos_token", "</s>",
                               "unk_token", "<unk>", "pad_token", "<pad>", "extra_ids",
                               (json_int_t)extra_ids, "additional_special_tokens",
                               extra_list(extra_ids), "clean_up_tokenization_spaces", 0);
    if (!bytes) json_object_set_new(config, "legacy", json_true());
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    TRY(write_json(config, path));
    snprintf(path, sizeof path, "%s/special_tokens_map.json", folder);
    return write_json(json_pack("{s:s, s:s, s:s, s:o}", "eos_token", "</s>", "unk_token", "<unk>",
                                "pad_token", "<pad>", "additional_special_tokens",
                                extra_list(extra_ids)),
                      path);
}

status tokenizer_save(const struct tokenizer *tokenizer, const char *folder)
{
    if (tokenizer->kind != TOKENIZER_BYTES) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/spiece.model", folder);
        TRY(file_write(path, tokenizer->file, tokenizer->file_size));
    }
    return write_config(folder, tokenizer->kind == TOKENIZER_BYTES, tokenizer->extra_ids);
}

status tokenizer_train(const char *const *texts, int64_t count, int64_t vocabulary,
                       const char *const *symbols, int64_t symbol_count, const char *folder,
                       int64_t extra_ids)
{
    struct text_buffer csv = {0};
    void *model = NULL;
    size_t size;
    char path[PATH_MAX], error[SENTENCEPIECE_ERROR];
    text_append(&csv, "", 0);
    for (int64_t i = 0; i < symbol_count; i++) {
        if (!*symbols[i] || strpbrk(symbols[i], ",\"\n")) {
            free(csv.data);
            FAIL(STATUS_INPUT, "marker \"%s\" may not be empty nor hold a comma, quote or newline",
                 symbols[i]);
        }
        if (i > 0) text_append(&csv, ",", 1);
        text_append(&csv, symbols[i], strlen(symbols[i]));
    }
    const bool trained =
        sentencepiece_train(texts, (size_t)count, vocabulary, csv.data, &model, &size, error);
    free(csv.data);
    if (!trained)
        FAIL(STATUS_INPUT, "SentencePiece cannot train a vocabulary of %" PRId64 ": %s", vocabulary,
             error);
    snprintf(path, sizeof path, "%s/spiece.model", folder);
    status s = file_write(path, model, size);
    free(model);
    if (s) return s;
    return write_config(folder, false, extra_ids);
}
