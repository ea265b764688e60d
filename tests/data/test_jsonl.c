/* JSON Lines: what is taken, and what each mistake is called. */
#include "src/base/file.h"
#include "src/data/dialogue.h"
#include "tests/data/text_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static status read_text(const char *text, enum dataset_need need, struct dataset **out)
{
    char path[TEXT_FILE_PATH];
    text_file(text, path);
    status s = dataset_read(path, need, out);
    unlink(path);
    return s;
}

static void refused(const char *text, enum dataset_need need, const char *why)
{
    struct dataset *dataset = NULL;
    status s = read_text(text, need, &dataset);
    if (!s) fail_msg("taken: %s", text);
    if (!strstr(status_message(s), why))
        fail_msg("\"%s\" does not say \"%s\"", status_message(s), why);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_null(dataset);
    status_free(s);
}

#define USER "{\"role\":\"user\",\"content\":\"a\"}"
#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define REPLY "{\"role\":\"assistant\",\"content\":\"b\"}"
#define GOOD "{\"messages\":[" USER "," REPLY "]}\n"

static void mistakes_are_named_with_their_line(void **state)
{
    (void)state;
    refused("", DATASET_TRAIN, "no line");
    refused("\n \n", DATASET_TRAIN, "no line");
    refused(GOOD "{\"messages\":[}\n", DATASET_TRAIN, ":2:");
    refused(GOOD "\n{\"messages\":[]}\n", DATASET_TRAIN, ":3: \"messages\" is empty");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", DATASET_TRAIN, ":1:");
    refused("{\"messages\":[" REPLY "]}", DATASET_TRAIN, "starts with the user");
    refused("{\"messages\":[" USER "," USER "]}", DATASET_TRAIN, "message 2: two user");
    refused("{\"messages\":[" SYSTEM("x") "]}", DATASET_TRAIN, "a system message alone");
    refused("{\"messages\":[" SYSTEM("x") "," REPLY "]}", DATASET_TRAIN, "starts with the user");
    refused("{\"messages\":[" SYSTEM("x") "," SYSTEM("x") "," USER "]}", DATASET_TRAIN,
            "message 2 is the system's");
    refused("{\"messages\":[" USER "," SYSTEM("x") "," REPLY "]}", DATASET_TRAIN,
            "message 2 is the system's");
    refused("{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", DATASET_TRAIN,
            "unknown role \"tool\"");
    refused("{\"messages\":[{\"role\":\"user\"}]}", DATASET_TRAIN, "no \"content\"");
    refused("{\"messages\":[{\"content\":\"x\"}]}", DATASET_TRAIN, "no \"role\"");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":\" \"}]}", DATASET_TRAIN, "empty");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":3}]}", DATASET_TRAIN, "must be text");
    refused("[1]", DATASET_TRAIN, "a JSON list, not JSON Lines");
    refused("{}", DATASET_TRAIN, "no \"messages\"");
    refused("{\"messages\":[" USER "]}", DATASET_TRAIN, "ends in an assistant's");
    refused(GOOD, DATASET_GENERATE, "ends in a user's");
    refused(GOOD, DATASET_UPDATE, "no \"history_tokens\"");
}

static void integers_beyond_64_bits_and_a_byte_order_mark_are_read(void **state)
{
    (void)state;
    struct dataset *dataset;
    /* The digits in the text stay; those of a field that nobody reads may be too many. */
    assert_null(read_text("\xef\xbb\xbf{\"row\":18446744073709551615,\"messages\":["
                          "{\"role\":\"user\",\"content\":\"is \\\" 18446744073709551615?\"}," REPLY
                          "],\"id\":-9223372036854775808}\n" GOOD,
                          DATASET_TRAIN, &dataset));
    assert_int_equal(dataset->count, 2);
    assert_string_equal(dataset->dialogues[0].messages[0].content, "is \" 18446744073709551615?");
    assert_string_equal(dataset->dialogues[0].id, "-9223372036854775808");
    dataset_free(dataset);
    refused(GOOD "\xef\xbb\xbf" GOOD, DATASET_TRAIN, ":2: bad JSON: a byte order mark");
    refused("{\"id\":9223372036854775808}", DATASET_TRAIN, "beyond 64 bits");
    refused("{\"row\":1e999}", DATASET_TRAIN, "bad JSON");
}

static void token_lines_are_checked(void **state)
{
    (void)state;
    refused("{\"history_tokens\":[1]}", DATASET_TRAIN, "training wants");
    refused("{\"history_tokens\":[1]}", DATASET_SCORE, "no \"reply_tokens\"");
    refused("{\"history_tokens\":[]}", DATASET_GENERATE, "empty");
    refused("{\"history_tokens\":[-1]}", DATASET_GENERATE, "[0] is not a token id");
    refused("{\"history_tokens\":[1.5]}", DATASET_GENERATE, "not a token id");
    refused("{\"history_tokens\":[1,2],\"salient\":[1]}", DATASET_GENERATE, "each of the 2");
    refused("{\"history_tokens\":[1],\"salient\":[2]}", DATASET_GENERATE, "0 or 1");
    refused("{\"history_tokens\":[1,2],\"marker\":[1]}", DATASET_GENERATE, "each of the 2");
    refused("{\"history_tokens\":[1,2,3,4],\"cuts\":[1,1]}", DATASET_GENERATE, "\"cuts\"[1]");
    refused("{\"history_tokens\":[1,2,3,4],\"cuts\":[0]}", DATASET_GENERATE, "\"cuts\"[0]");
    refused("{\"history_tokens\":[1,2,3,4],\"cuts\":[3]}", DATASET_GENERATE,
            "below the last token");
    refused("{\"history_tokens\":[1],\"reply_tokens\":[4,5],\"logp\":[-1],\"advantage\":1}",
            DATASET_UPDATE, "each of the 2");
    refused("{\"history_tokens\":[1],\"reply_tokens\":[4],\"logp\":[-1]}", DATASET_UPDATE,
            "advantage");
}

static void a_token_line_keeps_its_id_and_numbers(void **state)
{
    (void)state;
    struct dataset *dataset;
    status s = read_text("{\"id\":\"a\\\"b\",\"history_tokens\":[7,1],\"reply_tokens\":[],"
                         "\"salient\":[1,0],\"marker\":[0,1],\"cuts\":[],\"turn\":3,\"more\":{}}\n"
                         "{\"id\":12,\"history_tokens\":[7],\"reply_tokens\":[4]}",
                         DATASET_SCORE, &dataset);
    assert_null(s);
    assert_int_equal(dataset->count, 2);
    const struct dialogue *line = dataset->dialogues;
    assert_string_equal(line->id, "\"a\\\"b\"");
    assert_int_equal(line->reply_count, 0);
    assert_int_equal(line->turn, 3);
    assert_int_equal(line->salient[0], 1);
    assert_int_equal(line->marker[1], 1);
    assert_int_equal(line->cut_count, 0);
    assert_null(line[1].marker);
    assert_string_equal(line[1].id, "12");
    assert_int_equal(line[1].turn, 1);
    assert_null(line[1].salient);
    dataset_free(dataset);
}

static void update_lines_hold_behaviour_and_advantage(void **state)
{
    (void)state;
    struct dataset *dataset;
    assert_null(read_text("{\"history_tokens\":[7,1],\"reply_tokens\":[4,1],\"logp\":[-0.5,-2],"
                          "\"advantage\":-1}",
                          DATASET_UPDATE, &dataset));
    assert_true(dataset->dialogues[0].logp[0] == -0.5f);
    assert_true(dataset->dialogues[0].has_advantage && dataset->dialogues[0].advantage == -1);
    dataset_free(dataset);
}

static void what_was_written_reads_back_the_same(void **state)
{
    (void)state;
    struct dataset *dataset, *again;
    char path[TEXT_FILE_PATH];
    assert_null(dataset_read("synthetic:3:20:5", DATASET_TRAIN, &dataset));
    dataset_file(dataset, path);
    assert_null(dataset_read(path, DATASET_TRAIN, &again));
    unlink(path);
    assert_int_equal(again->count, 20);
    for (int64_t i = 0; i < 20; i++) {
        const struct dialogue *a = &dataset->dialogues[i], *b = &again->dialogues[i];
        assert_string_equal(a->id, b->id);
        assert_int_equal(a->message_count, b->message_count);
        for (int64_t m = 0; m < a->message_count; m++) {
            assert_string_equal(a->messages[m].content, b->messages[m].content);
            assert_true((a->slots[m] != NULL) == (b->slots && b->slots[m]));
            for (int k = 0; a->slots[m] && a->slots[m][k]; k++)
                assert_string_equal(a->slots[m][k], b->slots[m][k]);
        }
    }
    dataset_free(dataset);
    dataset_free(again);
}

static void a_system_message_stands_first_and_may_be_empty(void **state)
{
    (void)state;
    struct dataset *dataset, *again;
    char path[TEXT_FILE_PATH];
    assert_null(read_text("{\"messages\":[" SYSTEM("Be brief.") "," USER "," REPLY "]}\n"
                                                                "{\"messages\":[" SYSTEM(
                                                                    "") "," USER "," REPLY "]}\n",
                          DATASET_TRAIN, &dataset));
    dataset_file(dataset, path);
    assert_null(dataset_read(path, DATASET_SCORE, &again));
    unlink(path);
    for (int64_t i = 0; i < 2; i++) {
        const struct dialogue *dialogue = &again->dialogues[i];
        assert_int_equal(dialogue->message_count, 3);
        assert_int_equal(dialogue->messages[0].role, ROLE_SYSTEM);
        assert_int_equal(dialogue->messages[1].role, ROLE_USER);
        assert_int_equal(dialogue->messages[2].role, ROLE_ASSISTANT);
        assert_string_equal(dialogue->messages[0].content, i ? "" : "Be brief.");
    }
    dataset_free(dataset);
    dataset_free(again);
    assert_null(read_text("{\"messages\":[" SYSTEM("x") "," USER "]}", DATASET_GENERATE, &dataset));
    dataset_free(dataset);
}

static void a_bad_synthetic_name_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {"synthetic:",    "synthetic:1",       "synthetic:1:0", "synthetic:1:2:",
                         "synthetic:x:2", "synthetic:1:2:3:4", "synthetic:1:-2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dataset *dataset;
        status s = dataset_read(bad[i], DATASET_TRAIN, &dataset);
        if (!s) fail_msg("taken: %s", bad[i]);
        status_free(s);
    }
}

static void prompt_order_is_a_permutation_that_changes_with_the_epoch(void **state)
{
    (void)state;
    const int64_t counts[] = {1, 2, 3, 5, 64, 1000};
    for (size_t c = 0; c < 6; c++) {
        const int64_t count = counts[c];
        char *seen = calloc((size_t)count, 1);
        int64_t moved = 0;
        for (int64_t i = 0; i < count; i++) {
            const int64_t at = prompt_order(7, 2, i, count);
            assert_true(at >= 0 && at < count && !seen[at]);
            seen[at] = 1;
            moved += at != prompt_order(7, 3, i, count);
            assert_int_equal(at, prompt_order(7, 2, i, count));
        }
        if (count == 1000 && moved < 900) fail_msg("only %d of 1000 moved", (int)moved);
        free(seen);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(integers_beyond_64_bits_and_a_byte_order_mark_are_read),
        cmocka_unit_test(token_lines_are_checked),
        cmocka_unit_test(a_token_line_keeps_its_id_and_numbers),
        cmocka_unit_test(update_lines_hold_behaviour_and_advantage),
        cmocka_unit_test(what_was_written_reads_back_the_same),
        cmocka_unit_test(a_system_message_stands_first_and_may_be_empty),
        cmocka_unit_test(a_bad_synthetic_name_is_refused),
        cmocka_unit_test(prompt_order_is_a_permutation_that_changes_with_the_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
