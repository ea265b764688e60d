/* Messages of the user that history.max_tokens has no room for: what cannot be asked is left out
 * and counted, what fits to the last token stays. */
#include "src/task/examples.h"
#include "src/task/overlong.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A byte a token: a prompt is its text, "u:" and the end token, 12 at most. */
static struct history_options byte_options(struct tokenizer *tokenizer)
{
    return (struct history_options){
        .tokenizer = tokenizer, .user_marker = "u:", .assistant_marker = "a:", .max_tokens = 12};
}

static struct dataset *dataset_of(const char *text)
{
    struct dataset *data;
    char path[] = "/tmp/regard-overlong-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    assert_null(dataset_read(path, DATASET_TRAIN, &data));
    unlink(path);
    return data;
}

#define SAYS(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"
#define TURN(user, reply) SAYS("user", user) "," SAYS("assistant", reply)
#define LINE(turns) "{\"messages\":[" turns "]}\n"

/* Lines 2 and 4 are too long, the last in its second turn; line 3 has nine characters of two bytes.
 */
static const char lines[] = LINE(TURN("123456789", "yes")) LINE(TURN("1234567890", "yes"))
    LINE(TURN("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "yes"))
        LINE(TURN("a", "b") "," TURN("12345678901", "c") "," TURN("d", "e"));

static void dialogues_that_cannot_be_asked_are_left_out(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct history_options options = byte_options(tokenizer);
    struct dataset *data = dataset_of(lines);
    struct overlong overlong;
    /* The fourth line's second message is not asked for where a dialogue has one turn. */
    assert_null(dataset_drop_overlong(&options, data, 1, &overlong));
    assert_int_equal(overlong.dialogues, 1);
    assert_int_equal(overlong.first_line, 2);
    assert_int_equal(data->count, 3);
    assert_int_equal(data->dialogues[1].line, 3);
    assert_null(dataset_drop_overlong(&options, data, 2, &overlong));
    assert_int_equal(overlong.dialogues, 1);
    assert_int_equal(overlong.first_line, 4);
    assert_int_equal(data->count, 2);
    assert_null(dataset_drop_overlong(&options, data, 9, &overlong));
    assert_int_equal(overlong.dialogues, 0);
    dataset_free(data);
    tokenizer_close(tokenizer);
}

static void a_data_set_without_any_that_fits_is_refused(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct history_options options = byte_options(tokenizer);
    struct dataset *data = dataset_of(LINE(TURN("1234567890", "yes")));
    struct overlong overlong;
    status s = dataset_drop_overlong(&options, data, 1, &overlong);
    assert_non_null(s);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "history.max_tokens (12)"));
    status_free(s);
    assert_int_equal(data->count, 1);
    dataset_free(data);
    tokenizer_close(tokenizer);
}

static void training_examples_leave_out_the_turns_alone(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct history_options options = byte_options(tokenizer);
    struct dataset *data = dataset_of(lines);
    struct example_list list;
    assert_null(examples_make(&options, data, ROLE_ASSISTANT, &list));
    assert_int_equal(list.count, 4); /* of lines 1 and 3; the first and the last turn of line 4 */
    assert_int_equal(list.overlong, 2);
    assert_int_equal(list.overlong_line, 2);
    assert_int_equal(list.examples[0].history_count, 12);
    assert_int_equal(list.examples[0].reply_count, 4);
    assert_int_equal(list.examples[3].reply[0], 3 + 'e');
    examples_free(&list);
    dataset_free(data);
    tokenizer_close(tokenizer);
}

static void a_message_that_is_given_may_be_cut(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    const struct history_options options = byte_options(tokenizer);
    struct dataset *data = dataset_of("{\"messages\":[" TURN("123456789012", "x") "," TURN(
        "short", "y") "],\"given\":2}\n" LINE(TURN("short", "y")));
    struct overlong overlong;
    assert_null(dataset_drop_overlong(&options, data, 1, &overlong));
    assert_int_equal(overlong.dialogues, 0);
    dataset_free(data);
    data = dataset_of("{\"messages\":[" TURN("short", "x") "," TURN(
        "123456789012", "y") "],\"given\":2}\n" LINE(TURN("short", "y")));
    assert_null(dataset_drop_overlong(&options, data, 1, &overlong));
    assert_int_equal(overlong.dialogues, 1);
    assert_int_equal(overlong.first_line, 1);
    dataset_free(data);
    tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_is_given_may_be_cut),
        cmocka_unit_test(dialogues_that_cannot_be_asked_are_left_out),
        cmocka_unit_test(a_data_set_without_any_that_fits_is_refused),
        cmocka_unit_test(training_examples_leave_out_the_turns_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
