/* Byte-level BPE against the tokenizers library: our own small fixtures
 * (tools/reference/bpe_fixture.py makes them), and ../shared/golden-causal/tokenizers. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURES REGARD_SOURCE "/tests/text/fixtures/bpe"

/* The lines of a JSONL file. */
struct rows {
    json_t **list;
    size_t count;
};

static struct rows rows_read(const char *folder, const char *name)
{
    struct rows rows = {NULL, 0};
    char path[1024], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    status s = file_read(path, &data, &size);
    if (s) fail_msg("%s", status_message(s));
    for (char *at = data, *end; at < data + size; at = end + 1) {
        end = strchr(at, '\n');
        rows.list = memory_resize(rows.list, (rows.count + 1) * sizeof *rows.list);
        s = json_parse_file(at, (size_t)(end - at), path, JSON_ALLOW_NUL, &rows.list[rows.count++]);
        if (s) fail_msg("%s", status_message(s));
    }
    free(data);
    return rows;
}

static void rows_free(struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) json_decref(rows->list[i]);
    free(rows->list);
}

static const char *text_of(const json_t *row, const char *key, size_t *size)
{
    const json_t *value = json_object_get(row, key);
    *size = json_string_length(value);
    return json_string_value(value);
}

static void list_print(char *out, size_t room, const int32_t *ids, int64_t count)
{
    size_t used = 0;
    out[0] = 0;
    for (int64_t i = 0; i < count && used + 16 < room; i++)
        used += (size_t)snprintf(out + used, room - used, " %d", ids[i]);
}

static struct token_list ids_of(const json_t *row, const char *key)
{
    struct token_list ids = {NULL};
    const json_t *list = json_object_get(row, key);
    for (size_t i = 0; i < json_array_size(list); i++)
        token_list_add(&ids, (int32_t)json_integer_value(json_array_get(list, i)), 0, 0);
    return ids;
}

/* Ranges go on through the text and lie inside it. */
static void expect_ranges(const char *folder, const char *id, const struct token_list *tokens,
                          size_t size)
{
    for (int64_t i = 0; i < tokens->count; i++)
        if (tokens->begin[i] < (i ? tokens->begin[i - 1] : 0) ||
            tokens->end[i] < tokens->begin[i] || tokens->end[i] > (int64_t)size)
            fail_msg("%s %s: token %lld stands for bytes %d to %d of %zu", folder, id, (long long)i,
                     tokens->begin[i], tokens->end[i], size);
}

static void expect_ids(const char *folder, const struct tokenizer *tokenizer,
                       const json_t *text_row, const json_t *row, const char *key, bool plain)
{
    size_t size;
    const char *id = json_string_value(json_object_get(row, "id"));
    const char *text = text_of(text_row, "text", &size);
    struct token_list wanted = ids_of(row, key), tokens = {NULL};
    status s = (plain ? tokenizer_encode_plain : tokenizer_encode)(tokenizer, text, size, &tokens);
    if (s) fail_msg("%s %s: %s", folder, id, status_message(s));
    if (tokens.count != wanted.count ||
        (tokens.count && memcmp(tokens.ids, wanted.ids, (size_t)tokens.count * sizeof(int32_t)))) {
        char got[2000], want[2000];
        list_print(got, sizeof got, tokens.ids, tokens.count);
        list_print(want, sizeof want, wanted.ids, wanted.count);
        fail_msg("%s %s, %s: got%s, wanted%s", folder, id, key, got, want);
    }
    expect_ranges(folder, id, &tokens, size);
    token_list_free(&tokens);
    token_list_free(&wanted);
}

static void expect_text(const char *folder, const struct tokenizer *tokenizer, const json_t *row,
                        bool skip_special, const char *wanted, size_t wanted_size)
{
    struct token_list ids = ids_of(row, "ids");
    char *text;
    size_t size;
    assert_null(tokenizer_decode_sized(tokenizer, ids.ids, ids.count, skip_special, &text, &size));
    if (size != wanted_size || memcmp(text, wanted, size) != 0)
        fail_msg("%s %s, %s special tokens: \"%s\", wanted \"%s\"", folder,
                 json_string_value(json_object_get(row, "id")), skip_special ? "without" : "with",
                 text, wanted);
    free(text);
    token_list_free(&ids);
}

/* "decoded" where it is not the text, "decoded_skip_special" where it is not that. */
static void expect_back(const char *folder, const struct tokenizer *tokenizer,
                        const json_t *text_row, const json_t *row)
{
    size_t size;
    const bool other = json_object_get(row, "decoded");
    const char *text = text_of(other ? row : text_row, other ? "decoded" : "text", &size);
    expect_text(folder, tokenizer, row, false, text, size);
    if (json_object_get(row, "decoded_skip_special"))
        text = text_of(row, "decoded_skip_special", &size);
    expect_text(folder, tokenizer, row, true, text, size);
}

/* Every line of a tokenizer's expected.jsonl and decode.jsonl. */
static void expect_all(const char *top, const char *name)
{
    char folder[900];
    struct tokenizer *tokenizer;
    snprintf(folder, sizeof folder, "%s/%s", top, name);
    struct rows texts = rows_read(top, "texts.jsonl");
    struct rows expected = rows_read(folder, "expected.jsonl");
    struct rows decode = rows_read(folder, "decode.jsonl");
    status s = tokenizer_open(folder, &tokenizer);
    if (s) fail_msg("%s", status_message(s));
    assert_int_equal(texts.count, expected.count);
    for (int round = 0; round < 2; round++) /* the second finds words that the first has kept */
        for (size_t i = 0; i < texts.count; i++) {
            expect_ids(folder, tokenizer, texts.list[i], expected.list[i], "ids", false);
            if (json_object_get(expected.list[i], "plain_ids"))
                expect_ids(folder, tokenizer, texts.list[i], expected.list[i], "plain_ids", true);
            expect_back(folder, tokenizer, texts.list[i], expected.list[i]);
        }
    for (size_t i = 0; i < decode.count; i++)
        expect_back(folder, tokenizer, decode.list[i], decode.list[i]);
    print_message("%s: %zu texts, %zu lists of ids agree\n", folder, texts.count, decode.count);
    rows_free(&texts);
    rows_free(&expected);
    rows_free(&decode);
    tokenizer_close(tokenizer);
}

static void fixtures_agree_on_every_line(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2",  "digits",  "llama3", "qwen2",
                                        "cases", "scripts", "removed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) expect_all(FIXTURES, names[i]);
}

/* Transformers' slow LlamaTokenizer (tools/reference/llama_fixture.py). */
static void sentencepiece_of_llama_agrees_on_every_line(void **state)
{
    (void)state;
    expect_all(REGARD_SOURCE "/tests/text/fixtures/llama", "legacy");
    expect_all(REGARD_SOURCE "/tests/text/fixtures/llama", "first");
}

static void golden_tokenizers_agree_on_every_line(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "llama3", "qwen2", "smollm2"};
    const char *given = getenv("REGARD_GOLDEN_CAUSAL");
    char top[800];
    snprintf(top, sizeof top, "%s/tokenizers", given ? given : "../shared/golden-causal");
    if (!directory_exists(top)) {
        if (given) fail_msg("REGARD_GOLDEN_CAUSAL=%s holds no tokenizers", given);
        print_message("%s is not here; our own fixtures stand for it\n", top);
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) expect_all(top, names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures_agree_on_every_line),
        cmocka_unit_test(sentencepiece_of_llama_agrees_on_every_line),
        cmocka_unit_test(golden_tokenizers_agree_on_every_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
