/* History as tokens: markers, limits, salience; words and idf under it. */
#include "src/base/file.h"
#include "src/text/history.h"
#include "src/text/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void words_are_runs_of_letters_and_digits(void **state)
{
    (void)state;
    struct word_list list = {0};
    const char *text = "\xc3\x89t\xc3\xa9 A-47x. then Rome?\nYes_No 3.5";
    const char *wanted[] = {"\xc3\xa9t\xc3\xa9", "a", "47x", "then", "rome", "yes", "no", "3", "5"};
    const int starts[] = {1, 0, 0, 1, 0, 1, 0, 0, 1};
    const int capital[] = {1, 1, 0, 0, 1, 1, 1, 0, 0};
    const int digit[] = {0, 0, 1, 0, 0, 0, 0, 1, 1};
    words_split(text, strlen(text), &list);
    assert_int_equal(list.count, 9);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(word_text(&list, i), wanted[i]);
        assert_int_equal(list.words[i].starts_sentence, starts[i]);
        assert_int_equal(list.words[i].capital, capital[i]);
        assert_int_equal(list.words[i].has_digit, digit[i]);
    }
    assert_int_equal(list.words[0].begin, 0);
    assert_int_equal(list.words[0].end, 5);
    word_list_free(&list);
}

static struct idf_table *small_table(void)
{
    struct idf_table *table = idf_create();
    const char *a[] = {"the cat", "The the lamp"}, *b[] = {"the dog"};
    idf_add_document(table, a, 2);
    idf_add_document(table, b, 1);
    return table;
}

static void idf_counts_dialogues_and_its_quantile_occurrences(void **state)
{
    (void)state;
    struct idf_table *table = small_table();
    assert_true(fabs(idf_value(table, "the") - 1.0) < 1e-12);
    assert_true(fabs(idf_value(table, "cat") - (log(1.5) + 1)) < 1e-12);
    assert_true(fabs(idf_value(table, "unseen") - (log(3.0) + 1)) < 1e-12);
    /* 7 occurrences: the x4, cat, lamp, dog; element floor(q 6) */
    assert_true(idf_quantile(table, 0.5) == idf_value(table, "the"));
    assert_true(idf_quantile(table, 0.66) == idf_value(table, "the"));
    assert_true(idf_quantile(table, 0.67) == idf_value(table, "cat"));
    char folder[] = "/tmp/regard-idf-XXXXXX", before[65], after[65];
    assert_non_null(mkdtemp(folder));
    struct idf_table *again;
    assert_null(idf_load(folder, &again));
    assert_null(again);
    assert_null(idf_save(table, folder));
    assert_null(idf_load(folder, &again));
    char saved[100];
    snprintf(saved, sizeof saved, "%s/" IDF_FILE, folder);
    assert_null(sha256_file(saved, before));
    assert_null(idf_save(again, folder));
    assert_null(sha256_file(saved, after));
    assert_string_equal(before, after);
    assert_true(idf_value(again, "cat") == idf_value(table, "cat"));
    assert_true(idf_value(again, "unseen") ==
                idf_value(table, "unseen")); /* of as many dialogues */
    idf_free(again);
    char path[100];
    snprintf(path, sizeof path, "%s/" IDF_FILE, folder);
    const char *bad[] = {"",
                         "documents\tx\n",
                         "documents\t2\ncat\t3\t3\n",
                         "documents\t2\ncat\t1\n",
                         "documents\t2\ncat\t1\t1\ncat\t1\t1\n",
                         "documents\t2\ncat\t1\t1"};
    for (int i = 0; i < 6; i++) {
        assert_null(file_write(path, bad[i], strlen(bad[i])));
        status s = idf_load(folder, &again);
        if (!s) fail_msg("taken: %s", bad[i]);
        status_free(s);
    }
    idf_free(table);
    assert_null(directory_remove(folder));
}

static struct history_options byte_options(const struct tokenizer *tokenizer, int64_t max_tokens)
{
    return (struct history_options){.tokenizer = tokenizer,
                                    .user_marker = "u:",
                                    .assistant_marker = "a:",
                                    .max_tokens = max_tokens,
                                    .salience = {.entities = true}};
}

/* Byte tokens as text, the end token as "$". */
static void shown(const struct encoded_history *encoded, char *out)
{
    for (int64_t i = 0; i < encoded->count; i++)
        *out++ = encoded->ids[i] == 1 ? '$' : (char)(encoded->ids[i] - 3);
    *out = 0;
}

static void check_encoded(const struct history *history, const char *wanted, int64_t dropped)
{
    struct encoded_history encoded;
    char got[256];
    assert_null(history_encode(history, &encoded));
    shown(&encoded, got);
    assert_string_equal(got, wanted);
    assert_int_equal(encoded.dropped, dropped);
    encoded_history_free(&encoded);
}

static struct history *example(const struct history_options *options)
{
    struct history *history = history_create(options, "dialogue 7");
    const int32_t reply[] = {3 + 'o', 3 + 'k', 1};
    assert_null(history_add_text(history, ROLE_USER, "go to Rome"));
    assert_null(history_add_tokens(history, ROLE_ASSISTANT, reply, 3, true));
    assert_null(history_add_text(history, ROLE_USER, "on 12"));
    return history;
}

static void a_history_is_markers_messages_and_one_end(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct history_options options = byte_options(tokenizer, 100);
    struct history *history = example(&options);
    struct encoded_history encoded;
    check_encoded(history, "u:go to Romea:oku:on 12$", 0);
    assert_null(history_encode(history, &encoded));
    char salient[64] = "", special[64] = "", prompt[64] = "", turn[64] = "";
    for (int64_t i = 0; i < encoded.count; i++) {
        salient[i] = (char)('0' + encoded.salient[i]);
        special[i] = (char)('0' + encoded.special[i]);
        prompt[i] = (char)('0' + encoded.prompt[i]);
        turn[i] = (char)('0' + encoded.turn[i]);
    }
    assert_string_equal(salient, "000000001111000000000110");
    assert_string_equal(special, "110000000000110011000001");
    assert_string_equal(prompt, "000000000000000000111110");
    assert_string_equal(turn, "111111111111111122222222");
    assert_int_equal(encoded.salient_count, 6);
    assert_int_equal(encoded.last_turn, 2);
    assert_string_equal(history_message_text(history, 1), "ok");
    encoded_history_free(&encoded);
    history_free(history);
    tokenizer_close(tokenizer);
}

static void the_oldest_goes_first_and_keeps_its_marker_when_it_fits_in_part(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct {
        int64_t limit, dropped;
        const char *wanted;
    } cases[] = {{24, 0, "u:go to Romea:oku:on 12$"},
                 {23, 1, "u:o to Romea:oku:on 12$"},
                 {15, 9, "u:ea:oku:on 12$"},
                 {14, 12, "a:oku:on 12$"},
                 {12, 12, "a:oku:on 12$"},
                 {11, 13, "a:ku:on 12$"},
                 {10, 16, "u:on 12$"},
                 {8, 16, "u:on 12$"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct history_options options = byte_options(tokenizer, cases[i].limit);
        struct history *history = example(&options);
        check_encoded(history, cases[i].wanted, cases[i].dropped);
        history_free(history);
    }
    const struct history_options options = byte_options(tokenizer, 7);
    struct history *history = example(&options);
    struct encoded_history encoded;
    status s = history_encode(history, &encoded);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "dialogue 7"));
    status_free(s);
    history_free(history);
    tokenizer_close(tokenizer);
}

static struct history *named_example(const struct history_options *options)
{
    struct history *history = history_create(options, "dialogue 7");
    const int32_t reply[] = {3 + 'o', 3 + 'k', 1};
    assert_null(history_add_said(history, ROLE_USER, "Ana", "Go to Rome"));
    assert_null(history_add_tokens(history, ROLE_ASSISTANT, reply, 3, true));
    assert_null(history_add_said(history, ROLE_USER, "Bo", "on 12"));
    return history;
}

/* A name is a marker of its message: no word of it is salient, and the word behind it begins a
 * sentence as before. */
static void a_named_user_has_a_marker_of_its_own(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct history_options options = byte_options(tokenizer, 100);
    struct history *history = named_example(&options);
    struct encoded_history encoded;
    check_encoded(history, "u:Ana: Go to Romea:oku:Bo: on 12$", 0);
    assert_null(history_encode(history, &encoded));
    char salient[64] = "", special[64] = "", prompt[64] = "", speaker[64] = "";
    for (int64_t i = 0; i < encoded.count; i++) {
        salient[i] = (char)('0' + encoded.salient[i]);
        special[i] = (char)('0' + encoded.special[i]);
        prompt[i] = (char)('0' + encoded.prompt[i]);
        speaker[i] = (char)('0' + encoded.speaker[i]);
    }
    assert_string_equal(salient, "000000000000011110000000000000110");
    assert_string_equal(special, "111111100000000001100111111000001");
    assert_string_equal(prompt, "000000000000000000000000000111110");
    assert_string_equal(speaker, "000000011111111110000000000222220");
    encoded_history_free(&encoded);
    assert_string_equal(history_message_text(history, 0), "Go to Rome");
    assert_string_equal(history_message_name(history, 0), "Ana");
    assert_null(history_message_name(history, 1));
    assert_string_equal(history_speaker(history, 2), "Bo");
    assert_null(history_speaker(history, 3));
    bool fits;
    const struct history_options small = byte_options(tokenizer, 12);
    struct history *other = history_create(&small, "x");
    assert_null(history_said_fits(other, ROLE_USER, "Bo", "on 12", &fits)); /* 2 + 4 + 5 + 1 */
    assert_true(fits);
    assert_null(history_said_fits(other, ROLE_USER, "Bob", "on 12", &fits));
    assert_false(fits);
    history_free(other);
    history_free(history);
    tokenizer_close(tokenizer);
}

static void what_is_left_of_a_message_keeps_its_name(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct {
        int64_t limit, dropped;
        const char *wanted;
    } cases[] = {{33, 0, "u:Ana: Go to Romea:oku:Bo: on 12$"},
                 {32, 1, "u:Ana: o to Romea:oku:Bo: on 12$"},
                 {24, 9, "u:Ana: ea:oku:Bo: on 12$"},
                 {23, 17, "a:oku:Bo: on 12$"} /* a name alone says nothing */,
                 {12, 21, "u:Bo: on 12$"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct history_options options = byte_options(tokenizer, cases[i].limit);
        struct history *history = named_example(&options);
        check_encoded(history, cases[i].wanted, cases[i].dropped);
        history_free(history);
    }
    tokenizer_close(tokenizer);
}

/* What is cut off goes to the summary without the name, which stays; a slot is nobody's. */
static void a_summary_moves_whose_words_are_whose(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    struct history_options options = byte_options(tokenizer, 24);
    options.slots = 1;
    struct history *history = named_example(&options);
    struct encoded_history encoded;
    assert_null(history_encode(history, &encoded));
    char text[64] = "", speaker[64] = "", cut[64] = "";
    shown(&encoded, text);
    for (int64_t i = 0; i < encoded.count; i++) speaker[i] = (char)('0' + encoded.speaker[i]);
    for (int64_t i = 0; i < 9; i++) cut[i] = (char)(encoded.cuts[encoded.cut_count - 9 + i] - 3);
    assert_int_equal(encoded.slots, 1);
    assert_string_equal(text, "$u:Ana: ea:oku:Bo: on 12$");
    assert_string_equal(cut, "Go to Rom");
    assert_string_equal(speaker, "0000000010000000000222220");
    encoded_history_free(&encoded);
    history_free(history);
    tokenizer_close(tokenizer);
}

static void a_ninth_name_is_refused(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct history_options options = byte_options(tokenizer, 200);
    struct history *history = history_create(&options, "dialogue 7");
    for (int k = 0; k <= SPEAKERS_MAX; k++) {
        const char name[2] = {(char)('A' + k), 0};
        status s = history_add_said(history, ROLE_USER, name, "hi");
        if (k < SPEAKERS_MAX) {
            assert_null(s);
            continue;
        }
        assert_non_null(s);
        assert_non_null(strstr(status_message(s), "dialogue 7: more than 8 users have names"));
        status_free(s);
    }
    history_free(history);
    tokenizer_close(tokenizer);
}

static void a_single_turn_history_is_its_prompt(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    struct history_options options = byte_options(tokenizer, 100);
    options.prompt_only = true;
    struct history *history = example(&options);
    check_encoded(history, "u:on 12$", 0);
    history_free(history);
    tokenizer_close(tokenizer);
}

static void rare_words_and_keywords_are_salient(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    struct idf_table *table = small_table();
    char path[] = "/tmp/regard-keywords-XXXXXX";
    close(mkstemp(path));
    assert_null(file_write(path, "Sat\n", 4));
    struct history_options options = byte_options(tokenizer, 100);
    struct keyword_set *keywords;
    assert_null(keywords_read(path, &keywords));
    unlink(path);
    options.salience = (struct salience_options){
        .idf = table, .idf_threshold = idf_value(table, "cat"), .keywords = keywords};
    struct history *history = history_create(&options, "x");
    struct encoded_history encoded;
    assert_null(history_add_text(history, ROLE_USER, "the cat The"));
    assert_null(history_encode(history, &encoded));
    for (int64_t i = 0; i < encoded.count; i++)
        assert_int_equal(encoded.salient[i], i >= 6 && i < 9);
    encoded_history_free(&encoded);
    history_free(history);
    options.salience.idf_threshold = INFINITY;
    history = history_create(&options, "x");
    assert_null(history_add_text(history, ROLE_USER, "cat SAT"));
    assert_null(history_encode(history, &encoded));
    assert_int_equal(encoded.salient_count, 3);
    encoded_history_free(&encoded);
    history_free(history);
    keywords_free(keywords);
    idf_free(table);
    tokenizer_close(tokenizer);
}

static void a_marker_that_is_a_piece_is_one_token(void **state)
{
    (void)state;
    struct tokenizer *tokenizer;
    assert_null(tokenizer_open(REGARD_SOURCE "/tests/text/fixtures/small", &tokenizer));
    struct history_options options = byte_options(tokenizer, 100);
    options.user_marker = "user: ";
    struct history *history = history_create(&options, "x");
    struct encoded_history encoded;
    assert_null(history_add_text(history, ROLE_USER, "the lamp"));
    assert_null(history_encode(history, &encoded));
    assert_int_equal(encoded.ids[0], 3);
    assert_true(encoded.special[0] && !encoded.special[1]);
    int32_t *ids;
    int64_t count;
    assert_null(reply_encode(&options, ROLE_ASSISTANT, "the lamp", &ids, &count));
    assert_int_equal(count, encoded.count - 1);
    assert_memory_equal(ids, encoded.ids + 1, (size_t)count * sizeof *ids);
    free(ids);
    encoded_history_free(&encoded);
    history_free(history);
    tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_runs_of_letters_and_digits),
        cmocka_unit_test(idf_counts_dialogues_and_its_quantile_occurrences),
        cmocka_unit_test(a_history_is_markers_messages_and_one_end),
        cmocka_unit_test(the_oldest_goes_first_and_keeps_its_marker_when_it_fits_in_part),
        cmocka_unit_test(a_named_user_has_a_marker_of_its_own),
        cmocka_unit_test(what_is_left_of_a_message_keeps_its_name),
        cmocka_unit_test(a_summary_moves_whose_words_are_whose),
        cmocka_unit_test(a_ninth_name_is_refused),
        cmocka_unit_test(a_single_turn_history_is_its_prompt),
        cmocka_unit_test(rare_words_and_keywords_are_salient),
        cmocka_unit_test(a_marker_that_is_a_piece_is_one_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
