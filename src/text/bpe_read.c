/* tokenizer.json of a byte-level BPE into memory; what it holds that is not supported is refused by
 * name. */
#include "src/base/memory.h"
#include "src/text/bpe.h"
#include "src/text/bpe_data.h"
#include "src/text/bpe_normal.h"
#include "src/text/byte_level.h"
#include "src/text/unicode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ID_MAX = (1 << 24) - 1 };

struct reader {
    const char *path;
    const json_t *model, *vocabulary;
    struct bpe *bpe;
};

static const char *name_of(const json_t *value)
{
    const char *name = json_string_value(value);
    return name ? name : json_is_null(value) || !value ? "null" : "that is no text";
}

static bool is_set(const json_t *value)
{
    return value && !json_is_null(value) && !json_is_false(value) &&
           !(json_is_string(value) && json_string_length(value) == 0) &&
           !(json_is_number(value) && json_number_value(value) == 0);
}

static status read_model(struct reader *reader)
{
    static const char *const refused[] = {"continuing_subword_prefix", "end_of_word_suffix",
                                          "byte_fallback", "dropout", NULL};
    const json_t *type = json_object_get(reader->model, "type");
    if (!json_is_string(type) || strcmp(json_string_value(type), "BPE") != 0)
        FAIL(STATUS_INPUT, "%s: model %s is not supported (BPE is)", reader->path, name_of(type));
    for (int i = 0; refused[i]; i++)
        if (is_set(json_object_get(reader->model, refused[i])))
            FAIL(STATUS_INPUT, "%s: a BPE with %s is not supported", reader->path, refused[i]);
    reader->vocabulary = json_object_get(reader->model, "vocab");
    if (!json_is_object(reader->vocabulary) || json_object_size(reader->vocabulary) == 0)
        FAIL(STATUS_INPUT, "%s: model.vocab is no object of tokens and their ids", reader->path);
    reader->bpe->ignore_merges = json_is_true(json_object_get(reader->model, "ignore_merges"));
    reader->bpe->fuse_unknown = json_is_true(json_object_get(reader->model, "fuse_unk"));
    return NULL;
}

static status normalizer_read(const json_t *json, const char *path, bool *nfc)
{
    if (!json || json_is_null(json)) return NULL;
    const char *type = name_of(json_object_get(json, "type"));
    if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(json, "normalizers");
        for (size_t i = 0; i < json_array_size(list); i++)
            TRY(normalizer_read(json_array_get(list, i), path, nfc));
        return NULL;
    }
    if (strcmp(type, "NFC") != 0)
        FAIL(STATUS_INPUT, "%s: normalizer %s is not supported (NFC and none are)", path, type);
    *nfc = true;
    return NULL;
}

static status decoder_check(const json_t *json, const char *path)
{
    const char *type = name_of(json_object_get(json, "type"));
    const json_t *list = json_object_get(json, "decoders");
    if (!strcmp(type, "Sequence") && json_array_size(list) == 1)
        return decoder_check(json_array_get(list, 0), path);
    if (strcmp(type, "ByteLevel") != 0)
        FAIL(STATUS_INPUT, "%s: decoder %s is not supported (ByteLevel is)", path, type);
    return NULL;
}

/* One added token, which replaces an equal one that came before it. */
static status added_add(struct reader *reader, const json_t *entry, int64_t id)
{
    struct bpe *bpe = reader->bpe;
    const char *text = json_string_value(json_object_get(entry, "content"));
    const json_t *there = text ? json_object_get(reader->vocabulary, text) : NULL;
    if (!text || id < 0 || id > ID_MAX)
        FAIL(STATUS_INPUT, "%s: an added token has no content, or no id from 0 to %d", reader->path,
             ID_MAX);
    if (!*text) return NULL;
    if (json_is_true(json_object_get(entry, "single_word")))
        FAIL(STATUS_INPUT, "%s: added token \"%s\" is single_word, which is not supported",
             reader->path, text);
    if (there && json_integer_value(there) != id)
        FAIL(STATUS_INPUT,
             "%s: added token \"%s\" has id %" PRId64 ", in the vocabulary %" JSON_INTEGER_FORMAT,
             reader->path, text, id, json_integer_value(there));
    const json_t *special = json_object_get(entry, "special");
    const json_t *normalized = json_object_get(entry, "normalized");
    size_t i = 0;
    while (i < bpe->added_count && bpe->added[i].id != id && strcmp(bpe->added[i].text, text) != 0)
        i++;
    if (i == bpe->added_count) {
        bpe->added = memory_resize(bpe->added, (i + 1) * sizeof *bpe->added);
        bpe->added[bpe->added_count++] =
            (struct bpe_added){.text = memory_text(text), .size = strlen(text), .id = (int32_t)id};
    }
    struct bpe_added *added = &bpe->added[i];
    if (added->id != id || strcmp(added->text, text) != 0)
        FAIL(STATUS_INPUT,
             "%s: added token \"%s\" with id %" PRId64 " contradicts \"%s\" with id %d",
             reader->path, text, id, added->text, added->id);
    added->special = json_is_true(special);
    added->normalized = normalized ? json_is_true(normalized) : !added->special;
    added->lstrip = json_is_true(json_object_get(entry, "lstrip"));
    added->rstrip = json_is_true(json_object_get(entry, "rstrip"));
    if (id >= bpe->size) bpe->size = id + 1;
    return NULL;
}

static status read_added(struct reader *reader, const json_t *list, const json_t *further)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *id = json_object_get(entry, "id");
        TRY(added_add(reader, entry, json_is_integer(id) ? json_integer_value(id) : -1));
    }
    const char *key;
    const json_t *entry;
    json_object_foreach((json_t *)further, key, entry)
    {
        char *end;
        const long long id = strtoll(key, &end, 10);
        TRY(added_add(reader, entry, *end || end == key ? -1 : id));
    }
    return NULL;
}

/* The id of the entry; the number of ids and of bytes grow by it. */
static status count_vocabulary(struct reader *reader, size_t *bytes)
{
    const char *text;
    const json_t *id;
    json_object_foreach((json_t *)reader->vocabulary, text, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > ID_MAX)
            FAIL(STATUS_INPUT, "%s: token \"%s\" has no id from 0 to %d", reader->path, text,
                 ID_MAX);
        if (json_integer_value(id) >= reader->bpe->size)
            reader->bpe->size = json_integer_value(id) + 1;
        *bytes += strlen(text);
    }
    return NULL;
}

/* Writes what an id stands for behind the *used bytes that are there. */
static status token_set(struct reader *reader, const char *text, int64_t id, size_t *used,
                        bool *spelled)
{
    struct bpe *bpe = reader->bpe;
    struct bpe_token *token = &bpe->tokens[id];
    const size_t size = byte_level_bytes(text, strlen(text), bpe->bytes + *used, spelled);
    if (token->known)
        FAIL(STATUS_INPUT, "%s: id %" PRId64 " belongs to \"%s\" and to another token",
             reader->path, id, text);
    *token = (struct bpe_token){
        .begin = (uint32_t)*used, .end = (uint32_t)(*used + size), .known = true};
    *used += size;
    return NULL;
}

static void word_add(struct bpe *bpe, int32_t id)
{
    const struct bpe_token *token = &bpe->tokens[id];
    const size_t size = token->end - token->begin;
    uint64_t at = bytes_hash(bpe->bytes + token->begin, size) >> 32;
    while (bpe->table[at & bpe->table_mask] >= 0) at++;
    bpe->table[at & bpe->table_mask] = id;
    if (size == 1) bpe->byte_ids[(unsigned char)bpe->bytes[token->begin]] = id;
}

static status read_tokens(struct reader *reader)
{
    struct bpe *bpe = reader->bpe;
    size_t bytes = 1, used = 0;
    uint64_t slots = 16;
    const char *text;
    const json_t *id;
    bool spelled;
    TRY(count_vocabulary(reader, &bytes));
    for (size_t i = 0; i < bpe->added_count; i++) bytes += bpe->added[i].size;
    if (bytes > UINT32_MAX) FAIL(STATUS_INPUT, "%s: the vocabulary is too long", reader->path);
    while (slots < 2 * json_object_size(reader->vocabulary)) slots *= 2;
    bpe->bytes = memory_allocate(bytes);
    bpe->tokens = memory_allocate((size_t)bpe->size * sizeof *bpe->tokens);
    bpe->table = memory_allocate(slots * sizeof *bpe->table);
    bpe->table_mask = slots - 1;
    memset(bpe->table, 0xFF, slots * sizeof *bpe->table);
    memset(bpe->byte_ids, 0xFF, sizeof bpe->byte_ids);
    json_object_foreach((json_t *)reader->vocabulary, text, id)
    {
        TRY(token_set(reader, text, json_integer_value(id), &used, &spelled));
        if (spelled) word_add(bpe, (int32_t)json_integer_value(id));
    }
    for (size_t i = 0; i < bpe->added_count; i++) {
        const struct bpe_added *added = &bpe->added[i];
        if (!json_object_get(reader->vocabulary, added->text))
            TRY(token_set(reader, added->text, added->id, &used, &spelled));
        bpe->tokens[added->id].special = added->special;
    }
    return NULL;
}

static status read_unknown(struct reader *reader)
{
    const json_t *name = json_object_get(reader->model, "unk_token");
    reader->bpe->unknown = -1;
    if (!is_set(name)) return NULL;
    const json_t *id = json_object_get(reader->vocabulary, name_of(name));
    if (!id)
        FAIL(STATUS_INPUT, "%s: unk_token \"%s\" is not in the vocabulary", reader->path,
             name_of(name));
    reader->bpe->unknown = (int32_t)json_integer_value(id);
    return NULL;
}

/* The two texts of a merge, "left right" or ["left", "right"]; copy holds them. */
static bool merge_texts(const json_t *entry, struct text_buffer *copy, const char *texts[2])
{
    copy->size = 0;
    if (json_is_array(entry) && json_array_size(entry) == 2) {
        texts[0] = json_string_value(json_array_get(entry, 0));
        texts[1] = json_string_value(json_array_get(entry, 1));
        return texts[0] && texts[1];
    }
    if (!json_is_string(entry)) return false;
    text_append(copy, json_string_value(entry), json_string_length(entry));
    char *space = strchr(copy->data, ' ');
    if (!space || strchr(space + 1, ' ')) return false;
    *space = 0;
    texts[0] = copy->data;
    texts[1] = space + 1;
    return true;
}

static status read_merge(struct reader *reader, const json_t *entry, int32_t rank,
                         struct text_buffer *copy, struct text_buffer *joined)
{
    const char *texts[2];
    if (!merge_texts(entry, copy, texts))
        FAIL(STATUS_INPUT, "%s: merge %d is not two tokens", reader->path, rank);
    joined->size = 0;
    text_append(joined, texts[0], strlen(texts[0]));
    text_append(joined, texts[1], strlen(texts[1]));
    const json_t *left = json_object_get(reader->vocabulary, texts[0]);
    const json_t *right = json_object_get(reader->vocabulary, texts[1]);
    const json_t *both = json_object_get(reader->vocabulary, joined->data);
    if (!left || !right || !both)
        FAIL(STATUS_INPUT, "%s: merge %d needs \"%s\", which is not in the vocabulary",
             reader->path, rank,
             !left    ? texts[0]
             : !right ? texts[1]
                      : joined->data);
    merge_table_add(reader->bpe->merges, (int32_t)json_integer_value(left),
                    (int32_t)json_integer_value(right), rank, (int32_t)json_integer_value(both));
    return NULL;
}

static status read_merges(struct reader *reader)
{
    const json_t *list = json_object_get(reader->model, "merges");
    struct text_buffer copy = {0}, joined = {0};
    status s = NULL;
    if (!json_is_array(list) || json_array_size(list) >= INT32_MAX)
        FAIL(STATUS_INPUT, "%s: model.merges is no list", reader->path);
    reader->bpe->merges = merge_table_create((int64_t)json_array_size(list));
    for (size_t i = 0; !s && i < json_array_size(list); i++)
        s = read_merge(reader, json_array_get(list, i), (int32_t)i, &copy, &joined);
    free(copy.data);
    free(joined.data);
    return s;
}

static void make_sets(struct bpe *bpe)
{
    for (size_t i = 0; i < bpe->added_count; i++) {
        struct bpe_added *added = &bpe->added[i];
        struct changed_text normal = {.begin = NULL};
        const bool changed =
            added->normalized && bpe->nfc && text_to_nfc(added->text, added->size, &normal);
        added->pattern = memory_text(changed ? normal.text.data : added->text);
        added->pattern_size = strlen(added->pattern);
        changed_text_free(&normal);
    }
    added_set_make(&bpe->raw, bpe->added, bpe->added_count, false);
    added_set_make(&bpe->normalized, bpe->added, bpe->added_count, true);
}

static status read_all(struct reader *reader, const json_t *root, const json_t *added,
                       int prefix_space)
{
    struct bpe *bpe = reader->bpe;
    const char *path = reader->path;
    TRY(read_model(reader));
    TRY(normalizer_read(json_object_get(root, "normalizer"), path, &bpe->nfc));
    TRY(splitter_read(json_object_get(root, "pre_tokenizer"), path, prefix_space, &bpe->splitter));
    TRY(decoder_check(json_object_get(root, "decoder"), path));
    TRY(read_added(reader, json_object_get(root, "added_tokens"), added));
    TRY(read_tokens(reader));
    TRY(read_unknown(reader));
    TRY(read_merges(reader));
    make_sets(bpe);
    bpe->cache = word_cache_create();
    return NULL;
}

status bpe_read(const json_t *root, const char *path, const json_t *added, int prefix_space,
                struct bpe **out)
{
    struct reader reader = {path, json_object_get(root, "model"), NULL,
                            memory_allocate(sizeof *reader.bpe)};
    status s = read_all(&reader, root, added, prefix_space);
    if (s)
        bpe_free(reader.bpe);
    else
        *out = reader.bpe;
    return s;
}
