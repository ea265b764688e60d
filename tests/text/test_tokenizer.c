/* Tokenizers against recorded ids of SentencePiece and of Transformers' slow T5Tokenizer
 * (tools/reference/tokenizer_fixture.py makes the fixture). */
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

#define FIXTURE REGARD_SOURCE "/tests/text/fixtures/small/"

struct lines {
    char *data, *rows[200];
    int count;
};

static struct lines read_rows(const char *name)
{
    struct lines lines = {0};
    char path[512];
    size_t size;
    snprintf(path, sizeof path, FIXTURE "%s", name);
    assert_null(file_read(path, &lines.data, &size));
    for (char *at = lines.data; at < lines.data + size;) {
        char *end = strchr(at, '\n');
        *end = 0;
        lines.rows[lines.count++] = at;
        at = end + 1;
    }
    return lines;
}

static void ids_text(const struct token_list *tokens, char *out)
{
    *out = 0;
    for (int64_t i = 0; i < tokens->count; i++)
        out += sprintf(out, "%s%d", i > 0 ? " " : "", tokens->ids[i]);
}

static void check_encoding(const struct tokenizer *tokenizer, const char *name)
{
    struct lines texts = read_rows("lines.txt"), wanted = read_rows(name);
    assert_true(texts.count > 40 && texts.count == wanted.count);
    for (int i = 0; i < texts.count; i++) {
        struct token_list tokens = {0};
        char got[8192];
        assert_null(tokenizer_encode(tokenizer, texts.rows[i], strlen(texts.rows[i]), &tokens));
        ids_text(&tokens, got);
        if (strcmp(got, wanted.rows[i]) != 0)
            fail_msg("\"%s\": %s, wanted %s", texts.rows[i], got, wanted.rows[i]);
        for (int64_t k = 0; k < tokens.count; k++)
            assert_true(tokens.begin[k] >= 0 && tokens.begin[k] <= tokens.end[k] &&
                        (size_t)tokens.end[k] <= strlen(texts.rows[i]));
        token_list_free(&tokens);
    }
    free(texts.data);
    free(wanted.data);
}

static void sentencepiece_alone_gives_its_ids(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    assert_null(tokenizer_open_spm(FIXTURE "spiece.model", &tokenizer));
    assert_int_equal(tokenizer_size(tokenizer), 600);
    check_encoding(tokenizer, "ids_spm.txt");
    tokenizer_close(tokenizer);
}

static void extra_ids_are_those_of_the_slow_tokenizer(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    assert_null(tokenizer_open(FIXTURE, &tokenizer));
    assert_int_equal(tokenizer_size(tokenizer), 700);
    assert_int_equal(tokenizer_piece(tokenizer, "<extra_id_0>"), 699);
    assert_int_equal(tokenizer_piece(tokenizer, "user: "), 3);
    assert_int_equal(tokenizer_piece(tokenizer, "no such piece"), -1);
    assert_true(tokenizer_is_special(tokenizer, 0) && tokenizer_is_special(tokenizer, 1));
    assert_false(tokenizer_is_special(tokenizer, 2));
    check_encoding(tokenizer, "ids_t5.txt");
    tokenizer_close(tokenizer);
}

static int64_t parse_ids(char *text, int32_t *ids)
{
    int64_t count = 0;
    for (char *at = strtok(text, " "); at; at = strtok(NULL, " ")) ids[count++] = atoi(at);
    return count;
}

static void decoding_is_that_of_the_slow_tokenizer(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    assert_null(tokenizer_open(FIXTURE, &tokenizer));
    struct lines ids = read_rows("ids_t5.txt"), wanted = read_rows("decoded_t5.txt");
    for (int i = 0; i < ids.count; i++) {
        int32_t list[1024];
        char *text;
        const int64_t count = parse_ids(ids.rows[i], list);
        assert_null(tokenizer_decode(tokenizer, list, count, false, &text));
        if (strcmp(text, wanted.rows[i]) != 0)
            fail_msg("\"%s\", wanted \"%s\"", text, wanted.rows[i]);
        free(text);
    }
    free(ids.data);
    free(wanted.data);
    tokenizer_close(tokenizer);
}

static void decoded_ranges_cover_the_words_of_the_tokens(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    assert_null(tokenizer_open(FIXTURE, &tokenizer));
    struct token_list tokens = {0};
    const char *text = "the lamp \xf0\x9f\x98\x80 Rome";
    assert_null(tokenizer_encode(tokenizer, text, strlen(text), &tokens));
    token_list_add(&tokens, 1, 0, 0);    /* the end token */
    token_list_add(&tokens, 690, 0, 0);  /* an extra id */
    token_list_add(&tokens, 9999, 0, 0); /* past the tokenizer: a model may have more rows */
    int32_t begin[64], end[64];
    char *back;
    size_t size;
    assert_null(
        tokenizer_decode_ranges(tokenizer, tokens.ids, tokens.count, &back, &size, begin, end));
    assert_string_equal(back, text);
    int64_t covered = 0;
    for (int64_t i = 0; i < tokens.count; i++)
        if (end[i] > begin[i]) covered = end[i] > covered ? end[i] : covered;
    assert_int_equal(covered, size);
    for (int64_t i = tokens.count - 3; i < tokens.count; i++) assert_int_equal(begin[i], end[i]);
    free(back);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
}

static void special_tokens_that_plain_text_spells_stay_text(void **state)
{
    (void)state;
    static const char text[] = "</s> <extra_id_0>";
    struct tokenizer *tokenizer;
    struct token_list tokens = {0};
    char *back;
    assert_null(tokenizer_open(FIXTURE, &tokenizer));
    assert_null(tokenizer_encode_plain(tokenizer, text, strlen(text), &tokens));
    for (int64_t i = 0; i < tokens.count; i++)
        assert_true(tokens.ids[i] < 600 && !tokenizer_is_special(tokenizer, tokens.ids[i]));
    assert_null(tokenizer_encode(tokenizer, text, strlen(text), &tokens));
    assert_int_equal(tokens.ids[tokens.count - 1], 699);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
    tokenizer = tokenizer_bytes(125);
    assert_int_equal(tokenizer_begin(tokenizer), -1);
    assert_null(tokenizer_encode_plain(tokenizer, text, strlen(text), &tokens));
    assert_int_equal(tokens.count, strlen(text));
    assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &back));
    assert_string_equal(back, text);
    free(back);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
}

static void bytes_are_utf8_plus_three(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    struct token_list tokens = {0};
    const char *text = "a\xc3\xa9 </s> b<extra_id_0>";
    const int32_t wanted[] = {100, 198, 172, 1, 101, 259};
    assert_int_equal(tokenizer_size(tokenizer), 384);
    assert_null(tokenizer_encode(tokenizer, text, strlen(text), &tokens));
    assert_int_equal(tokens.count, 6);
    assert_memory_equal(tokens.ids, wanted, sizeof wanted);
    char *back;
    assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, false, &back));
    assert_string_equal(back, "a\xc3\xa9</s>b <extra_id_0>");
    free(back);
    assert_null(tokenizer_decode(tokenizer, tokens.ids, 2, true, &back));
    assert_string_equal(back, "a"); /* half a character is left out */
    free(back);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
}

static void training_is_deterministic_and_saves_what_opens(void **state)
{
    (void)state;
    const char *texts[] = {"the cat sat on the mat", "the dog sat on the cat",
                           "a \xef\xac\x81sh and a dog, 12 of them", "on the mat they sat"};
    const char *symbols[] = {"user: ", "assistant: "};
    char hashes[2][SHA256_HEX];
    char folder[] = "/tmp/regard-tokenizer-XXXXXX", path[600];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/spiece.model", folder);
    for (int i = 0; i < 2; i++) {
        assert_null(tokenizer_train(texts, 4, 200, symbols, 2, folder, 10));
        assert_null(sha256_file(path, hashes[i]));
    }
    assert_string_equal(hashes[0], hashes[1]);
    struct tokenizer *tokenizer, *bytes;
    assert_null(tokenizer_open(folder, &tokenizer));
    assert_int_equal(tokenizer_pad(tokenizer), 0);
    assert_int_equal(tokenizer_end(tokenizer), 1);
    assert_int_equal(tokenizer_piece(tokenizer, "<unk>"), 2);
    assert_int_equal(tokenizer_piece(tokenizer, "user: "), 3);
    assert_int_equal(tokenizer_piece(tokenizer, "<extra_id_0>"), tokenizer_size(tokenizer) - 1);
    struct token_list tokens = {0};
    char *back;
    assert_null(tokenizer_encode(tokenizer, "the \xef\xac\x81sh", 9, &tokens));
    assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &back));
    assert_string_equal(back, "the fish"); /* T5's normalizer is NFKC */
    free(back);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
    bytes = tokenizer_bytes(125);
    assert_null(tokenizer_save(bytes, folder));
    tokenizer_close(bytes);
    assert_null(tokenizer_open(folder, &bytes));
    assert_int_equal(tokenizer_size(bytes), 384);
    tokenizer_close(bytes);
    assert_null(directory_remove(folder));
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_null(file_write(path, text, strlen(text)));
}

/* The fixture's SentencePiece model in a new folder with these files. */
static void folder_with(char *folder, const char *config, const char *added)
{
    char path[600];
    strcpy(folder, "/tmp/regard-tokenizer-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/spiece.model", folder);
    assert_null(file_copy(FIXTURE "spiece.model", path));
    if (config) write_text(folder, "tokenizer_config.json", config);
    if (added) write_text(folder, "added_tokens.json", added);
}

#define ADDED(id, text, special, left, right)                                                      \
    "\"" id "\":{\"content\":\"" text "\",\"special\":" special ",\"lstrip\":" left                \
    ",\"rstrip\":" right ",\"normalized\":false,\"single_word\":false}"

#define ADDED_TOKENS                                                                               \
    ADDED("0", "<pad>", "true", "false", "false")                                                  \
    "," ADDED("700", "\\n", "false", "false", "false") "," ADDED(                                  \
        "701", "{", "false", "false",                                                              \
        "false") "," ADDED("702", "<ORG>", "true", "true",                                         \
                           "false") "," ADDED("703", "<ORG>x", "false", "false", "true")

/* Ids and texts of Transformers 4.57.6's slow T5Tokenizer with the same tokens added. */
static void check_added(const struct tokenizer *tokenizer)
{
    static const struct {
        const char *text, *ids, *decoded, *skipped;
    } cases[] = {
        {"Call <ORG> now", "359 307 702 334", "Call <ORG> now", "Call now"},
        {"a\nb {x} <ORG>xyz <ORG>x  y",
         "271 700 261 594 701 261 362 130 703 261 280 127 703 261 280",
         "a \n b { x} <ORG>x yz <ORG>x y", "a \n b { x} <ORG>x yz <ORG>x y"},
        {"a <extra_id_0> \n <pad> {", "271 699 700 0 701", "a <extra_id_0> \n <pad> {", "a \n {"},
        {"  {  a", "701 271", "{ a", "{ a"},
        {"\n\n- one", "700 700 261 434 281 269", "\n \n - one", "\n \n - one"},
    };
    assert_int_equal(tokenizer_size(tokenizer), 704);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct token_list tokens = {0};
        char got[1024], *back;
        assert_null(tokenizer_encode(tokenizer, cases[i].text, strlen(cases[i].text), &tokens));
        ids_text(&tokens, got);
        assert_string_equal(got, cases[i].ids);
        assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, false, &back));
        assert_string_equal(back, cases[i].decoded);
        free(back);
        assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &back));
        assert_string_equal(back, cases[i].skipped);
        free(back);
        token_list_free(&tokens);
    }
}

static void added_tokens_are_one_id_and_saved(void **state)
{
    (void)state;
    static const char config[] = "{\"tokenizer_class\":\"T5Tokenizer\",\"extra_ids\":100,"
                                 "\"added_tokens_decoder\":{" ADDED_TOKENS "}}";
    char folder[64];
    struct tokenizer *tokenizer;
    folder_with(folder, config, "{\"<ORG>\":702,\"<extra_id_0>\":699}");
    assert_null(tokenizer_open(folder, &tokenizer));
    check_added(tokenizer);
    int32_t ids[] = {359, 307, 701, 702, 334}, begin[5], end[5];
    char *text;
    size_t size;
    assert_null(tokenizer_decode_ranges(tokenizer, ids, 5, &text, &size, begin, end));
    assert_int_equal(end[2] - begin[2], 1); /* "{" is text, <ORG> is special */
    assert_int_equal(text[begin[2]], '{');
    assert_int_equal(begin[3], end[3]);
    free(text);
    assert_null(tokenizer_save(tokenizer, folder));
    tokenizer_close(tokenizer);
    assert_null(tokenizer_open(folder, &tokenizer));
    check_added(tokenizer);
    tokenizer_close(tokenizer);
    assert_null(directory_remove(folder));
}

static void expect_refused(const char *config, const char *added, const char *words)
{
    char folder[64];
    struct tokenizer *tokenizer;
    folder_with(folder, config, added);
    status s = tokenizer_open(folder, &tokenizer);
    assert_int_equal(status_code(s), STATUS_INPUT);
    if (!strstr(status_message(s), words))
        fail_msg("\"%s\" does not say \"%s\"", status_message(s), words);
    assert_null(tokenizer);
    status_free(s);
    assert_null(directory_remove(folder));
}

static void added_tokens_that_cannot_be_are_refused_by_name(void **state)
{
    (void)state;
    expect_refused(NULL, "{\"<ORG>\":5}", "\"<ORG>\" has id 5");
    expect_refused(NULL, "{\"<ORG>\":700.5}", "\"<ORG>\" has no whole number");
    expect_refused(NULL, "{\"<A>\":700,\"<B>\":700}", "\"<A>\" with id 700");
    expect_refused("{\"added_tokens_decoder\":{\"700\":{\"content\":\"a\",\"single_word\":true}}}",
                   NULL, "\"a\" is single_word");
    expect_refused("{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}", NULL,
                   "\"x\" is not an id");
}

static void tokenizer_json_alone_is_refused(void **state)
{
    (void)state;
    char folder[] = "/tmp/regard-tokenizer-XXXXXX";
    struct tokenizer *tokenizer;
    assert_non_null(mkdtemp(folder));
    write_text(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"TokenizersBackend\"}");
    write_text(folder, "tokenizer.json", "{}");
    status s = tokenizer_open(folder, &tokenizer);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "copy spiece.model"));
    assert_non_null(strstr(status_message(s), folder));
    status_free(s);
    assert_null(directory_remove(folder));
}

/* What a vocabulary trained on `texts` makes of a text, there and back. */
static void expect_comes_back(const char *const *texts, int64_t count, const char *text)
{
    char folder[] = "/tmp/regard-tokenizer-XXXXXX", *back;
    const char *symbols[] = {"user: ", "assistant: "};
    struct tokenizer *tokenizer;
    struct token_list tokens = {0};
    assert_non_null(mkdtemp(folder));
    assert_null(tokenizer_train(texts, count, 80, symbols, 2, folder, 10));
    assert_null(tokenizer_open(folder, &tokenizer));
    assert_null(tokenizer_encode(tokenizer, text, strlen(text), &tokens));
    assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &back));
    assert_string_equal(back, text);
    free(back);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
    assert_null(directory_remove(folder));
}

static void newlines_tabs_and_indents_come_back(void **state)
{
    (void)state;
    const char *texts[] = {"- one\n- two\n    x = 1", "a\tb\n\tc", "hello there user", "- two"};
    expect_comes_back(texts, 4, "- one\n- two\n    x = 1");
    expect_comes_back(texts, 4, "a\tb\n\n\tc");
}

static void texts_of_any_length_are_trained_on(void **state)
{
    (void)state;
    enum { SIZE = 150000 };
    char *spaced = malloc(SIZE + 1), *solid = malloc(SIZE + 1);
    for (int i = 0; i < SIZE; i++) spaced[i] = "zebra quartz "[i % 13];
    for (int i = 0; i < SIZE; i += 2) memcpy(solid + i, i % 6 ? "\xc3\xa9" : "\xc3\xb8", 2);
    spaced[SIZE] = solid[SIZE] = 0;
    const char *texts[] = {spaced, solid, "where is it"};
    expect_comes_back(texts, 3, "zebra quartz \xc3\xb8\xc3\xa9");
    free(spaced);
    free(solid);
}

static void what_sentencepiece_refuses_is_an_error(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    status s = tokenizer_open_spm(FIXTURE "lines.txt", &tokenizer);
    assert_int_equal(status_code(s), STATUS_INPUT);
    status_free(s);
    const char *texts[] = {"many different letters in here: abcdefghijklmnopqrstuvwxyz"};
    s = tokenizer_train(texts, 1, 5, NULL, 0, "/tmp", 100);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "vocabulary of 5"));
    status_free(s);
    assert_null(tokenizer_open(REGARD_SOURCE "/tests", &tokenizer));
    assert_null(tokenizer);
}

static void the_real_models_open_and_come_back(void **state)
{
    (void)state;
    const char *names[] = {"hf_test_sentencepiece", "hf_test_sentencepiece_bpe",
                           "hf_test_sentencepiece_with_bytefallback",
                           "seqio_t5_test_sentencepiece"};
    for (size_t i = 0; i < 4; i++) {
        char path[600];
        snprintf(path, sizeof path, REGARD_SOURCE "/../shared/data/tokenizers/%s.model", names[i]);
        if (!file_exists(path)) {
            print_message("%s is not here; tools/reference/tokenizer_check.py needs it too\n",
                          path);
            return; /* the fixture above covers encoding and decoding by itself */
        }
        struct tokenizer *tokenizer;
        struct token_list tokens = {0};
        char *back;
        assert_null(tokenizer_open_spm(path, &tokenizer));
        assert_null(tokenizer_encode(tokenizer, "ea test", 7, &tokens));
        assert_true(tokens.count > 1);
        assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &back));
        if (i < 3) assert_string_equal(back, "ea test");
        free(back);
        token_list_free(&tokens);
        tokenizer_close(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece_alone_gives_its_ids),
        cmocka_unit_test(extra_ids_are_those_of_the_slow_tokenizer),
        cmocka_unit_test(decoding_is_that_of_the_slow_tokenizer),
        cmocka_unit_test(decoded_ranges_cover_the_words_of_the_tokens),
        cmocka_unit_test(bytes_are_utf8_plus_three),
        cmocka_unit_test(special_tokens_that_plain_text_spells_stay_text),
        cmocka_unit_test(training_is_deterministic_and_saves_what_opens),
        cmocka_unit_test(added_tokens_are_one_id_and_saved),
        cmocka_unit_test(added_tokens_that_cannot_be_are_refused_by_name),
        cmocka_unit_test(tokenizer_json_alone_is_refused),
        cmocka_unit_test(newlines_tabs_and_indents_come_back),
        cmocka_unit_test(texts_of_any_length_are_trained_on),
        cmocka_unit_test(what_sentencepiece_refuses_is_an_error),
        cmocka_unit_test(the_real_models_open_and_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
