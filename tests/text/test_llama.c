/* Folders with tokenizer.model, SentencePiece of decoder-only models (test_bpe.c has their ids). */
#include "src/base/file.h"
#include "src/text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE REGARD_SOURCE "/tests/text/fixtures/llama/legacy/tokenizer.model"

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_null(file_write(path, text, strlen(text)));
}

/* With these files beside tokenizer.model (NULL: without). */
static void folder_with(char folder[64], const char *config, const char *backend)
{
    char path[512];
    strcpy(folder, "/tmp/regard-llama-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    assert_null(file_copy(FIXTURE, path));
    if (config) write_text(folder, "tokenizer_config.json", config);
    if (backend) write_text(folder, "tokenizer.json", backend);
}

static void expect_ids(const struct tokenizer *tokenizer, const char *text, bool plain,
                       const int32_t *ids, int64_t count)
{
    struct token_list tokens = {NULL};
    assert_null((plain ? tokenizer_encode_plain : tokenizer_encode)(tokenizer, text, strlen(text),
                                                                    &tokens));
    assert_int_equal(tokens.count, count);
    assert_memory_equal(tokens.ids, ids, (size_t)count * sizeof *ids);
    token_list_free(&tokens);
}

static void a_model_alone_has_the_usual_special_tokens_and_is_saved_whole(void **state)
{
    (void)state;
    char folder[64], saved[] = "/tmp/regard-llama-XXXXXX";
    struct tokenizer *tokenizer;
    folder_with(folder, NULL, NULL);
    assert_non_null(mkdtemp(saved));
    for (int round = 0; round < 2; round++) {
        status s = tokenizer_open(round ? saved : folder, &tokenizer);
        if (s) fail_msg("%s", status_message(s));
        assert_int_equal(tokenizer_size(tokenizer), 500);
        assert_int_equal(tokenizer_begin(tokenizer), 1);
        assert_int_equal(tokenizer_end(tokenizer), 2);
        assert_int_equal(tokenizer_pad(tokenizer), 2); /* none: its end */
        assert_true(tokenizer_is_special(tokenizer, 1) && tokenizer_is_special(tokenizer, 2));
        assert_false(tokenizer_is_special(tokenizer, 0) || tokenizer_is_special(tokenizer, 5));
        expect_ids(tokenizer, "<s>office</s>", false, (const int32_t[]){1, 305, 337, 310, 2}, 5);
        if (!round) assert_null(tokenizer_save(tokenizer, saved));
        tokenizer_close(tokenizer);
    }
    assert_null(directory_remove(folder));
    assert_null(directory_remove(saved));
}

static void plain_text_spells_no_special_token(void **state)
{
    (void)state;
    char folder[64], *back;
    struct tokenizer *tokenizer;
    struct token_list tokens = {NULL};
    folder_with(folder,
                "{\"added_tokens_decoder\":{\"500\":{\"content\":\"<x>\",\"special\":true},"
                "\"501\":{\"content\":\"<y>\"}}}",
                NULL);
    assert_null(tokenizer_open(folder, &tokenizer));
    assert_null(tokenizer_encode_plain(tokenizer, "<s></s><x>a<y>", 14, &tokens));
    for (int64_t i = 0; i + 1 < tokens.count; i++) assert_in_range(tokens.ids[i], 3, 499);
    assert_int_equal(tokens.ids[tokens.count - 1], 501); /* is not special */
    assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &back));
    assert_string_equal(back, "<s></s><x>a <y>");
    assert_true(tokenizer_is_special(tokenizer, 500) && !tokenizer_is_special(tokenizer, 501));
    free(back);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
    assert_null(directory_remove(folder));
}

static void tokenizer_json_says_where_spaces_are_put(void **state)
{
    (void)state;
    /* Transformers takes tokenizer.json where it is there, whatever `legacy` says. */
    static const char config[] = "{\"tokenizer_class\":\"LlamaTokenizer\",\"legacy\":false}";
    static const char before_all[] = "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true}}";
    static const char first[] =
        "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true},"
        "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"first\"}}";
    const struct {
        const char *backend;
        bool once;
    } cases[] = {{NULL, true}, {before_all, false}, {first, true}};
    for (size_t i = 0; i < 3; i++) {
        char folder[64];
        struct tokenizer *tokenizer;
        struct token_list tokens = {NULL};
        folder_with(folder, config, cases[i].backend);
        assert_null(tokenizer_open(folder, &tokenizer));
        assert_null(tokenizer_encode(tokenizer, "<s>office", 9, &tokens));
        assert_int_equal(tokens.ids[0], 1);
        assert_int_equal(tokens.ids[1] != 305, cases[i].once);
        token_list_free(&tokens);
        tokenizer_close(tokenizer);
        assert_null(directory_remove(folder));
    }
}

static void expect_refused(const char *folder, const char *words)
{
    struct tokenizer *tokenizer;
    status s = tokenizer_open(folder, &tokenizer);
    assert_int_equal(status_code(s), STATUS_INPUT);
    if (!strstr(status_message(s), words))
        fail_msg("\"%s\" does not say \"%s\"", status_message(s), words);
    assert_null(tokenizer);
    status_free(s);
    assert_null(directory_remove(folder));
}

static void what_cannot_be_read_is_one_line(void **state)
{
    (void)state;
    char folder[64], path[512];
    folder_with(folder, "{\"tokenizer_class\":\"GemmaTokenizer\"}", NULL);
    expect_refused(folder, "tokenizer_class GemmaTokenizer with tokenizer.model");
    folder_with(folder, "{\"eos_token\":\"<none>\"}", NULL);
    expect_refused(folder, "eos_token \"<none>\"");
    folder_with(folder, NULL, NULL);
    write_text(folder, "tokenizer.model", "IQ== 0\nIg== 1\n"); /* tiktoken's */
    expect_refused(folder, "tokenizer.model: not a SentencePiece model");
    folder_with(folder, NULL, "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true}}");
    snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    assert_int_equal(remove(path), 0);
    expect_refused(folder, "copy tokenizer.model there");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_alone_has_the_usual_special_tokens_and_is_saved_whole),
        cmocka_unit_test(plain_text_spells_no_special_token),
        cmocka_unit_test(tokenizer_json_says_where_spaces_are_put),
        cmocka_unit_test(what_cannot_be_read_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
