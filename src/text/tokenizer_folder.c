/* Tokenizers' folders, Hugging Face's files: read and written.  Of Transformers'
 * classes T5Tokenizer (SentencePiece with extra ids) and ByT5Tokenizer (bytes) are known. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_data.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIECES_EXTRA_IDS = 100, /* where the config names none */
    BYTES_EXTRA_IDS = 125,
    EXTRA_IDS_MAX = 100000,
    ADDED_ID_MAX = (1 << 24) - 1
};

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

status tokenizer_read_object(const char *path, json_t **out)
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

/* Whether tokenizer_class, where there is one, names ByT5's tokenizer or T5's.  has_spiece: a
 * SentencePiece model lies there; a tokenizer.json does not. */
static status class_read(const json_t *config, const char *path, bool has_spiece, bool *bytes)
{
    /* Transformers 5 writes TokenizersBackend for any tokenizer with a tokenizer.json. */
    static const char *const spm[] = {"T5Tokenizer",      "T5TokenizerFast",   "MT5Tokenizer",
                                      "MT5TokenizerFast", "TokenizersBackend", NULL};
    const json_t *name = json_object_get(config, "tokenizer_class");
    *bytes = false;
    if (!name || json_is_null(name)) return NULL;
    if (!json_is_string(name)) FAIL(STATUS_INPUT, "%s: tokenizer_class is not a string", path);
    *bytes = !strcmp(json_string_value(name), "ByT5Tokenizer");
    bool known = *bytes;
    for (int i = 0; spm[i]; i++) known = known || !strcmp(json_string_value(name), spm[i]);
    if (!known && !has_spiece)
        FAIL(STATUS_INPUT,
             "%s: tokenizer_class %s is read from a tokenizer.json, and there is none beside it; "
             "copy it there too (Transformers' AutoTokenizer writes one with save_pretrained)",
             path, json_string_value(name));
    if (!known)
        FAIL(STATUS_INPUT,
             "%s: tokenizer_class %s is not supported (T5Tokenizer and ByT5Tokenizer are)", path,
             json_string_value(name));
    return NULL;
}

/* The texts and ids of tokens that were added, of tokenizer_config.json (with their flags) and, as
 * Transformers before 4.34 wrote them, of added_tokens.json. */
status added_token_add(struct tokenizer *tokenizer, const char *path, const char *text, int64_t id,
                       const json_t *flags, bool special)
{
    size_t length;
    const int32_t there = special_at(tokenizer, text, strlen(text), &length);
    if (there == id && length == strlen(text)) return NULL;
    const bool piece = tokenizer->model && id < tokenizer->pieces &&
                       sentencepiece_id(tokenizer->model, text) == id;
    if (piece && tokenizer->kind != TOKENIZER_LLAMA) return NULL;
    if (!*text || id > ADDED_ID_MAX || (!piece && id < tokenizer->pieces + tokenizer->extra_ids))
        FAIL(STATUS_INPUT,
             "%s: added token \"%s\" has id %" PRId64 ", where ids from %" PRId64
             " to %d are free; remove it or give it one of these",
             path, text, id, tokenizer->pieces + tokenizer->extra_ids, ADDED_ID_MAX);
    for (int64_t i = 0; i < tokenizer->added_count; i++)
        if (tokenizer->added[i].id == id || !strcmp(tokenizer->added[i].text, text))
            FAIL(STATUS_INPUT,
                 "%s: added token \"%s\" with id %" PRId64
                 " contradicts \"%s\" with id %d; keep one of them",
                 path, text, id, tokenizer->added[i].text, tokenizer->added[i].id);
    if (json_is_true(json_object_get(flags, "single_word")))
        FAIL(STATUS_INPUT,
             "%s: added token \"%s\" is single_word, which is not supported; set it to "
             "false or remove the token",
             path, text);
    tokenizer->added = memory_resize(tokenizer->added, (size_t)(tokenizer->added_count + 1) *
                                                           sizeof *tokenizer->added);
    tokenizer->added[tokenizer->added_count++] =
        (struct added_token){.text = memory_text(text),
                             .id = (int32_t)id,
                             .special = special,
                             .lstrip = json_is_true(json_object_get(flags, "lstrip")),
                             .rstrip = json_is_true(json_object_get(flags, "rstrip"))};
    if (id >= tokenizer->size) tokenizer->size = id + 1;
    return NULL;
}

static bool list_names(const json_t *list, const char *text)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const json_t *content = json_is_object(entry) ? json_object_get(entry, "content") : entry;
        if (json_is_string(content) && !strcmp(json_string_value(content), text)) return true;
    }
    return false;
}

/* added_tokens_decoder: {"ID": {"content": TEXT, "special": ..., "lstrip": ..., ...}, ...} */
static status added_tokens_of(const json_t *config, const char *path, struct tokenizer *tokenizer)
{
    const json_t *all = json_object_get(config, "added_tokens_decoder");
    const char *key;
    const json_t *entry;
    if (all && !json_is_object(all))
        FAIL(STATUS_INPUT, "%s: added_tokens_decoder is not an object", path);
    json_object_foreach((json_t *)all, key, entry)
    {
        char *end;
        const long long id = strtoll(key, &end, 10);
        const char *text = json_string_value(json_object_get(entry, "content"));
        if (*end || end == key || id < 0 || !text)
            FAIL(STATUS_INPUT, "%s: added_tokens_decoder: \"%s\" is not an id with a \"content\"",
                 path, key);
        TRY(added_token_add(tokenizer, path, text, id, entry,
                            json_is_true(json_object_get(entry, "special"))));
    }
    return NULL;
}

/* added_tokens.json: {TEXT: ID, ...}; those that tokenizer_config.json listed must agree. */
static status added_tokens_file(const char *folder, const json_t *config,
                                struct tokenizer *tokenizer)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/added_tokens.json", folder);
    if (!file_exists(path)) return NULL;
    json_t *all;
    TRY(tokenizer_read_object(path, &all));
    const json_t *special = json_object_get(config, "additional_special_tokens");
    const char *text;
    const json_t *entry;
    status s = NULL;
    json_object_foreach(all, text, entry)
    {
        const double id = json_is_number(entry) ? json_number_value(entry) : -1;
        if (id < 0 || id != floor(id) || id > ADDED_ID_MAX)
            s = ERROR(STATUS_INPUT, "%s: \"%s\" has no whole number from 0 to %d as its id", path,
                      text, ADDED_ID_MAX);
        if (!s)
            s = added_token_add(tokenizer, path, text, (int64_t)id, NULL,
                                list_names(special, text));
        if (s) break;
    }
    json_decref(all);
    return s;
}

status added_tokens_read(const char *folder, const json_t *config, const char *path,
                         struct tokenizer *tokenizer)
{
    TRY(added_tokens_of(config, path, tokenizer));
    return added_tokens_file(folder, config, tokenizer);
}

static bool has_file(const char *folder, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_exists(path);
}

static bool names_class(const json_t *config, const char *class)
{
    const json_t *name = json_object_get(config, "tokenizer_class");
    return json_is_string(name) && !strcmp(json_string_value(name), class);
}

static status open_by_config(const char *folder, const json_t *config, const char *path,
                             struct tokenizer **out)
{
    int64_t extra_ids = PIECES_EXTRA_IDS;
    bool bytes = false;
    if (!has_file(folder, "spiece.model") && !names_class(config, "ByT5Tokenizer")) {
        TRY(tokenizer_open_json(folder, out));
        if (*out) return NULL;
    }
    if (config) {
        TRY(class_read(config, path, has_file(folder, "spiece.model"), &bytes));
        TRY(extra_ids_of(config, path, bytes ? BYTES_EXTRA_IDS : PIECES_EXTRA_IDS, &extra_ids));
    }
    if (bytes) {
        *out = tokenizer_bytes(extra_ids);
    } else if (has_file(folder, "spiece.model")) {
        char model_path[PATH_MAX];
        snprintf(model_path, sizeof model_path, "%s/spiece.model", folder);
        TRY(tokenizer_open_pieces(model_path, extra_ids, out));
    }
    if (!*out) return NULL;
    return added_tokens_read(folder, config, path, *out);
}

status tokenizer_open(const char *folder, struct tokenizer **out)
{
    char path[PATH_MAX];
    json_t *config = NULL;
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    *out = NULL;
    if (file_exists(path)) TRY(tokenizer_read_object(path, &config));
    status s = open_by_config(folder, config, path, out);
    json_decref(config);
    if (s) {
        tokenizer_close(*out);
        *out = NULL;
    }
    return s;
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

static json_t *added_object(const struct added_token *added, int64_t count)
{
    json_t *all = json_object();
    for (int64_t i = 0; i < count; i++) {
        char id[24];
        snprintf(id, sizeof id, "%d", added[i].id);
        json_object_set_new(all, id,
                            json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", added[i].text,
                                      "special", added[i].special, "lstrip", added[i].lstrip,
                                      "rstrip", added[i].rstrip, "normalized", 0, "single_word",
                                      0));
    }
    return all;
}

status tokenizer_write_config(const char *folder, bool bytes, int64_t extra_ids,
                              const struct added_token *added, int64_t added_count)
{
    char path[PATH_MAX];
    json_t *config = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:b}", "tokenizer_class",
                               bytes ? "ByT5Tokenizer" : "T5Tokenizer", "eos_token", "</s>",
                               "unk_token", "<unk>", "pad_token", "<pad>", "extra_ids",
                               (json_int_t)extra_ids, "additional_special_tokens",
                               extra_list(extra_ids), "clean_up_tokenization_spaces", 0);
    if (!bytes) json_object_set_new(config, "legacy", json_true());
    if (added_count)
        json_object_set_new(config, "added_tokens_decoder", added_object(added, added_count));
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
    if (tokenizer->files.count > 0) return kept_files_write(&tokenizer->files, folder);
    if (tokenizer->kind != TOKENIZER_BYTES) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/spiece.model", folder);
        TRY(file_write(path, tokenizer->file, tokenizer->file_size));
    }
    return tokenizer_write_config(folder, tokenizer->kind == TOKENIZER_BYTES, tokenizer->extra_ids,
                                  tokenizer->added, tokenizer->added_count);
}
