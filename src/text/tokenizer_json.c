/* Folders of decoder-only models: which kind of tokenizer one holds, and which of its tokens end,
 * begin and pad, as Transformers finds out. */
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_data.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the folder's files say of special tokens; NULL: no such file. */
struct folder_files {
    json_t *config;     /* tokenizer_config.json */
    json_t *map;        /* special_tokens_map.json */
    json_t *generation; /* generation_config.json */
    json_t *model;      /* config.json */
};

static status read_where_there(const char *folder, const char *name, json_t **out)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_exists(path) ? tokenizer_read_object(path, out) : NULL;
}

static status read_files(const char *folder, struct folder_files *files)
{
    TRY(read_where_there(folder, "tokenizer_config.json", &files->config));
    TRY(read_where_there(folder, "special_tokens_map.json", &files->map));
    TRY(read_where_there(folder, "generation_config.json", &files->generation));
    return read_where_there(folder, "config.json", &files->model);
}

static void free_files(struct folder_files *files)
{
    json_decref(files->config);
    json_decref(files->map);
    json_decref(files->generation);
    json_decref(files->model);
}

/* "eos_token": "</s>" or {"content": "</s>", ...}; NULL: no name. */
static const char *token_name(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
}

/* "eos_token_id": 2 or [2, 5], the first of several; -1: none, or no id of this tokenizer. */
static int32_t token_id(const json_t *object, const char *key, int64_t size)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_array(value)) value = json_array_get(value, 0);
    const double id = json_is_number(value) ? json_number_value(value) : -1;
    return id >= 0 && id < (double)size ? (int32_t)id : -1;
}

/* The token of a role ("eos"): by name, else by the class's name for it (NULL: none), else by id.
 */
static status find_role(const struct tokenizer *tokenizer, const struct folder_files *files,
                        const char *folder, const char *role, const char *usual, int32_t *out)
{
    char key[32], id_key[32];
    snprintf(key, sizeof key, "%s_token", role);
    snprintf(id_key, sizeof id_key, "%s_token_id", role);
    const char *name = token_name(files->config, key);
    if (!name) name = token_name(files->map, key);
    if (name) {
        *out = tokenizer_piece(tokenizer, name);
        if (*out < 0)
            FAIL(STATUS_INPUT,
                 "%s: %s \"%s\" is no token of the tokenizer; name one, or list it with its id "
                 "under added_tokens_decoder in tokenizer_config.json",
                 folder, key, name);
        return NULL;
    }
    *out = usual ? tokenizer_piece(tokenizer, usual) : -1;
    if (*out < 0) *out = token_id(files->generation, id_key, tokenizer->size);
    if (*out < 0) *out = token_id(files->model, id_key, tokenizer->size);
    return NULL;
}

/* A name for a token that was found by id, so that the saved folder has it by itself. */
static void name_role(const struct tokenizer *tokenizer, json_t *config, const char *key,
                      int32_t id)
{
    if (id < 0) return;
    json_t *name = NULL;
    if (tokenizer->kind == TOKENIZER_BPE) {
        size_t size;
        const char *text = bpe_bytes(tokenizer->bpe, id, &size);
        name = json_stringn(text, size);
    } else if (id < tokenizer->pieces) {
        name = json_string(sentencepiece_piece(tokenizer->model, id));
    }
    if (name && tokenizer_piece(tokenizer, json_string_value(name)) == id)
        json_object_set(config, key, name);
    json_decref(name);
}

/* tokenizer_config.json as it will be saved, where files that are not saved say more than it. */
static status keep_roles(struct tokenizer *tokenizer, const struct folder_files *files)
{
    const struct {
        const char *key;
        int32_t id;
    } roles[] = {{"eos_token", tokenizer->end},
                 {"bos_token", tokenizer->begin},
                 {"pad_token", tokenizer->pad}};
    const struct kept_file *there = kept_files_find(&tokenizer->files, "tokenizer_config.json");
    json_t *config = NULL;
    bool changed = false;
    if (there)
        TRY(json_parse_file(there->data, there->size, there->name, 0, &config));
    else
        config = json_pack("{s:s}", "tokenizer_class",
                           tokenizer->bpe ? "PreTrainedTokenizerFast" : "LlamaTokenizer");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (token_name(files->config, roles[i].key) || token_name(files->map, roles[i].key))
            continue;
        name_role(tokenizer, config, roles[i].key, roles[i].id);
        changed = changed || token_name(config, roles[i].key);
    }
    char *text = changed ? json_dumps(config, JSON_INDENT(2)) : NULL;
    json_decref(config);
    if (text) kept_files_set(&tokenizer->files, "tokenizer_config.json", text, strlen(text));
    return NULL;
}

static status read_bpe(struct tokenizer *tokenizer, const json_t *root, const char *path,
                       const struct folder_files *files)
{
    /* Transformers sets it by the configuration, where there is one. */
    const int prefix_space =
        files->config ? json_is_true(json_object_get(files->config, "add_prefix_space")) : -1;
    TRY(bpe_read(root, path, json_object_get(files->config, "added_tokens_decoder"), prefix_space,
                 &tokenizer->bpe));
    tokenizer->size = bpe_size(tokenizer->bpe);
    return NULL;
}

static status fill_bpe(struct tokenizer *tokenizer, const char *folder, const json_t *root,
                       const struct folder_files *files)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    TRY(read_bpe(tokenizer, root, path, files));
    TRY(find_role(tokenizer, files, folder, "eos", NULL, &tokenizer->end));
    TRY(find_role(tokenizer, files, folder, "bos", NULL, &tokenizer->begin));
    return find_role(tokenizer, files, folder, "pad", NULL, &tokenizer->pad);
}

/* Whether a space is put before a text alone and not behind special tokens: as tokenizer.json says,
 * which Transformers takes where it is there, else as `legacy` does. */
static bool space_once(const json_t *root, const json_t *config)
{
    const json_t *splitter = json_object_get(root, "pre_tokenizer");
    const char *scheme = json_string_value(json_object_get(splitter, "prepend_scheme"));
    if (root) return scheme && !strcmp(scheme, "first");
    return json_is_false(json_object_get(config, "legacy"));
}

/* Special tokens are found in a text and decoded as added ones are. */
static status role_add(struct tokenizer *tokenizer, const char *path, int32_t id)
{
    if (id < 0) return NULL;
    for (int64_t i = 0; i < tokenizer->added_count; i++) {
        if (tokenizer->added[i].id != id) continue;
        tokenizer->added[i].special = true;
        return NULL;
    }
    return added_token_add(tokenizer, path, sentencepiece_piece(tokenizer->model, id), id, NULL,
                           true);
}

static status fill_llama(struct tokenizer *tokenizer, const char *folder, const json_t *root,
                         const struct folder_files *files)
{
    static const char *const classes[] = {"LlamaTokenizer", "LlamaTokenizerFast",
                                          "TokenizersBackend", NULL};
    const char *class = json_string_value(json_object_get(files->config, "tokenizer_class"));
    char path[PATH_MAX];
    bool known = !class;
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    for (int i = 0; class && classes[i]; i++) known = known || !strcmp(class, classes[i]);
    if (!known)
        FAIL(STATUS_INPUT,
             "%s: tokenizer_class %s with tokenizer.model is not supported (LlamaTokenizer is)",
             path, class);
    TRY(status_context(llama_open_model(tokenizer, space_once(root, files->config)),
                       "%s/tokenizer.model", folder));
    TRY(added_tokens_read(folder, files->config, path, tokenizer));
    TRY(find_role(tokenizer, files, folder, "unk", "<unk>", &tokenizer->unknown));
    TRY(find_role(tokenizer, files, folder, "eos", "</s>", &tokenizer->end));
    TRY(find_role(tokenizer, files, folder, "bos", "<s>", &tokenizer->begin));
    TRY(find_role(tokenizer, files, folder, "pad", NULL, &tokenizer->pad));
    TRY(role_add(tokenizer, path, tokenizer->unknown));
    TRY(role_add(tokenizer, path, tokenizer->end));
    TRY(role_add(tokenizer, path, tokenizer->begin));
    return role_add(tokenizer, path, tokenizer->pad);
}

static status fill(struct tokenizer *tokenizer, const char *folder, const json_t *root)
{
    struct folder_files files = {NULL};
    status s = kept_files_read(folder, &tokenizer->files);
    if (!s) s = read_files(folder, &files);
    if (!s)
        s = (tokenizer->kind == TOKENIZER_BPE ? fill_bpe : fill_llama)(tokenizer, folder, root,
                                                                       &files);
    if (!s) s = keep_roles(tokenizer, &files);
    free_files(&files);
    return s;
}

/* Which kind a folder holds: a byte-level tokenizer.json, else tokenizer.model. */
static status kind_of(const char *folder, const json_t *root, bool has_model,
                      enum tokenizer_kind *kind)
{
    const json_t *model = json_object_get(root, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    const bool falls_back = json_is_true(json_object_get(model, "byte_fallback"));
    *kind = TOKENIZER_BPE;
    if (has_model && (!type || falls_back || !strcmp(type, "Unigram"))) {
        *kind = TOKENIZER_LLAMA;
        return NULL;
    }
    if (!type || !strcmp(type, "Unigram"))
        FAIL(STATUS_INPUT,
             "%s has tokenizer.json alone; copy spiece.model there from the model that it was made "
             "from (Transformers: save_pretrained of T5Tokenizer, not of a fast one)",
             folder);
    if (falls_back)
        FAIL(
            STATUS_INPUT,
            "%s has a SentencePiece model as tokenizer.json alone; copy tokenizer.model there from "
            "the model that it was made from",
            folder);
    return NULL;
}

status tokenizer_open_json(const char *folder, struct tokenizer **out)
{
    char path[PATH_MAX], model_path[PATH_MAX];
    json_t *root = NULL;
    enum tokenizer_kind kind;
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    snprintf(model_path, sizeof model_path, "%s/tokenizer.model", folder);
    const bool has_model = file_exists(model_path);
    if (!file_exists(path) && !has_model) return NULL;
    if (file_exists(path)) TRY(json_read(path, &root));
    status s = kind_of(folder, root, has_model, &kind);
    if (!s) {
        struct tokenizer *tokenizer = memory_allocate(sizeof *tokenizer);
        tokenizer->kind = kind;
        tokenizer->unknown = tokenizer->end = tokenizer->begin = tokenizer->pad = -1;
        s = fill(tokenizer, folder, root);
        if (s)
            tokenizer_close(tokenizer);
        else
            *out = tokenizer;
    }
    json_decref(root);
    return s;
}
