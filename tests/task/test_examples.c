/* The examples of an epoch: every one once, a dialogue's turns side by side and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/task/examples.h"

#include <stdlib.h>
#include <string.h>

enum { DIALOGUES = 9, EXAMPLES = 21 };

static void an_epoch_keeps_dialogues_together(void **state)
{
    (void)state;
    struct example examples[EXAMPLES] = {0};
    struct example_list list = {.examples = examples, .count = EXAMPLES, .dialogues = DIALOGUES};
    int64_t orders[2][EXAMPLES];
    for (int64_t e = 0; e < EXAMPLES; e++) examples[e].dialogue = e * DIALOGUES / EXAMPLES;
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        const int64_t *order = orders[epoch];
        int changes = 0;
        bool seen[EXAMPLES] = {false};
        examples_order(&list, 5, epoch, orders[epoch]);
        for (int64_t i = 0; i < EXAMPLES; i++) {
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
            if (i == 0) continue;
            if (examples[order[i]].dialogue == examples[order[i - 1]].dialogue)
                assert_int_equal(order[i], order[i - 1] + 1);
            else
                changes++;
        }
        assert_int_equal(changes, DIALOGUES - 1);
    }
    assert_true(memcmp(orders[0], orders[1], sizeof orders[0]) != 0);
}

static void check_text(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                       const char *wanted)
{
    char *text;
    assert_null(tokenizer_decode(tokenizer, ids, count, true, &text));
    if (!strstr(text, wanted)) fail_msg("\"%s\" has no \"%s\"", text, wanted);
    free(text);
}

static void what_is_given_is_read_and_not_learned(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(125);
    struct dataset *data;
    struct example_list list;
    const struct history_options options = {.tokenizer = tokenizer,
                                            .user_marker = "user: ",
                                            .assistant_marker = "assistant: ",
                                            .max_tokens = 2048};
    assert_null(dataset_read("story:1:3", DATASET_TRAIN, &data));
    assert_null(examples_make(&options, data, ROLE_ASSISTANT, &list));
    assert_int_equal(list.count, 3);
    for (int64_t i = 0; i < list.count; i++) {
        const struct example *example = &list.examples[i];
        const struct dialogue *dialogue = &data->dialogues[i];
        assert_int_equal(example->dialogue, i);
        check_text(tokenizer, example->history, example->history_count,
                   dialogue->messages[5].content); /* the last worked answer */
        check_text(tokenizer, example->history, example->history_count,
                   dialogue->messages[6].content);
        check_text(tokenizer, example->reply, example->reply_count, dialogue->messages[7].content);
    }
    examples_free(&list);
    assert_null(examples_make(&options, data, ROLE_USER, &list));
    assert_int_equal(list.count, 0); /* the question opens the dialogue: nobody asked before it */
    examples_free(&list);
    dataset_free(data);
    tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_epoch_keeps_dialogues_together),
                                       cmocka_unit_test(what_is_given_is_read_and_not_learned)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
