/* Pairs of replies to learn from: which wrong reply a dialogue's true one is held against, which
 * pairs are kept, and the sequence that is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/task/reward_examples.h"
#include "src/task/reward_sequence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIALOGUES = 24, DRAWS = 4000 };

/* Dialogues of two turns; every second one is about taxis. */
static struct reward_examples examples_new(struct tokenizer *tokenizer, bool services)
{
    const struct history_options options = {.tokenizer = tokenizer,
                                            .user_marker = "user: ",
                                            .assistant_marker = "assistant: ",
                                            .max_tokens = 400};
    char path[] = "/tmp/regard-examples-XXXXXX";
    FILE *out = fdopen(mkstemp(path), "w");
    struct dataset *data;
    struct reward_examples examples;
    for (int d = 0; d < DIALOGUES; d++) {
        fputc('{', out);
        if (services) fprintf(out, "\"service\":\"%s\",", d % 2 ? "taxi" : "train");
        fprintf(out,
                "\"messages\":[{\"role\":\"user\",\"content\":\"a%d\"},"
                "{\"role\":\"assistant\",\"content\":\"r%d-1\"},"
                "{\"role\":\"user\",\"content\":\"b%d\"},"
                "{\"role\":\"assistant\",\"content\":\"r%d-2\"}]}\n",
                d, d, d, d);
    }
    fclose(out);
    assert_null(dataset_read(path, DATASET_TRAIN, &data));
    unlink(path);
    assert_null(reward_examples_of_dialogues(&options, data, &examples));
    dataset_free(data);
    assert_int_equal(examples.count, 2 * DIALOGUES);
    return examples;
}

/* The dialogue that a reply is from. */
static int64_t origin(const struct reward_examples *examples, struct reward_reply reply)
{
    for (int64_t i = 0; i < examples->count; i++)
        if (examples->list[i].right.tokens == reply.tokens) return examples->list[i].dialogue;
    fail_msg("a reply of no example");
    return -1;
}

static void a_wrong_reply_is_of_another_dialogue_half_of_the_same_service(void **state)
{
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    struct reward_examples examples = examples_new(tokenizer, true);
    int same = 0, apart = 0;
    (void)state;
    for (int64_t place = 0; place < DRAWS; place++) {
        const int64_t index = place % examples.count;
        const struct reward_reply reply = reward_examples_wrong(&examples, 7, index, place, false);
        const int64_t from = origin(&examples, reply), to = examples.list[index].dialogue;
        assert_int_not_equal(from, to);
        same += from % 2 == to % 2;
        apart += origin(&examples, reward_examples_wrong(&examples, 7, index, place, true)) != from;
        assert_ptr_equal(reward_examples_wrong(&examples, 7, index, place, false).tokens,
                         reply.tokens);
    }
    /* 1/2 by wish and half of what else there is but the own dialogue, 11 of 23: 0.739, with a
     * deviation of 0.007 over 4000 draws. */
    if (abs(same - DRAWS * 739 / 1000) > DRAWS * 3 / 100) fail_msg("%d of %d", same, DRAWS);
    assert_true(apart > DRAWS * 9 / 10);
    reward_examples_free(&examples);
    tokenizer_close(tokenizer);
}

static void without_services_all_other_dialogues_are_drawn_from(void **state)
{
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    struct reward_examples examples = examples_new(tokenizer, false);
    int same = 0;
    bool seen[DIALOGUES] = {false};
    (void)state;
    assert_int_equal(examples.services, 0);
    for (int64_t place = 0; place < DRAWS; place++) {
        const int64_t from =
            origin(&examples, reward_examples_wrong(&examples, 7, 0, place, false));
        assert_int_not_equal(from, 0);
        same += from % 2 == 0;
        seen[from] = true;
    }
    for (int d = 1; d < DIALOGUES; d++) assert_true(seen[d]);
    if (abs(same - DRAWS * 11 / 23) > DRAWS * 3 / 100) fail_msg("%d of %d", same, DRAWS);
    reward_examples_free(&examples);
    tokenizer_close(tokenizer);
}

static void the_first_pairs_in_prompt_order_are_kept(void **state)
{
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    struct reward_examples all = examples_new(tokenizer, true),
                           some = examples_new(tokenizer, true);
    (void)state;
    reward_examples_keep(&some, 3, 10);
    assert_int_equal(some.count, 10);
    for (int64_t i = 0; i < 10; i++) {
        const struct reward_example *wanted = &all.list[prompt_order(3, 0, i, all.count)];
        bool found = false;
        for (int64_t k = 0; k < 10; k++)
            found |= some.list[k].right.count == wanted->right.count &&
                     !memcmp(some.list[k].right.tokens, wanted->right.tokens,
                             (size_t)wanted->right.count * sizeof(int32_t));
        assert_true(found);
    }
    assert_int_equal(some.service_begin[some.services], 10);
    reward_examples_keep(&some, 3, 0);
    assert_int_equal(some.count, 10);
    reward_examples_free(&all);
    reward_examples_free(&some);
    tokenizer_close(tokenizer);
}

static void what_is_too_long_goes_and_is_not_drawn(void **state)
{
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    struct reward_examples examples = examples_new(tokenizer, true);
    int64_t line, longest = 0, cuts = 0;
    (void)state;
    /* A first turn's sequence: "user: a0", the end, "r0-1", the end; those of two digits are
     * longer. */
    assert_int_equal(reward_examples_drop_longer(&examples, 14, &line), 2 * DIALOGUES - 10);
    assert_int_equal(line, 1);
    assert_int_equal(examples.count, 10);
    reward_examples_limits(&examples, &longest, &cuts);
    assert_int_equal(longest, 14);
    assert_int_equal(cuts, 1);
    for (int64_t place = 0; place < 100; place++)
        assert_true(reward_examples_wrong(&examples, 1, 0, place, false).count <= 5);
    reward_examples_free(&examples);
    tokenizer_close(tokenizer);
}

/* Of those on the list alone. */
static void only(struct reward_examples *examples, const int64_t *places, int64_t count)
{
    struct reward_example kept[2 * DIALOGUES];
    for (int64_t i = 0; i < count; i++) kept[i] = examples->list[places[i]];
    memcpy(examples->list, kept, (size_t)count * sizeof *kept);
    examples->count = count;
    examples->services = 0;
}

static void where_others_are_few_they_are_found_or_missed_by_name(void **state)
{
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    /* Two turns of one dialogue and a third of another, many times the first: draws alone would
     * take the own dialogue's. */
    int64_t places[2 * DIALOGUES];
    struct reward_examples examples = examples_new(tokenizer, false), all = examples;
    (void)state;
    all.list = memcpy(malloc((size_t)all.count * sizeof *all.list), all.list,
                      (size_t)all.count * sizeof *all.list);
    for (int i = 0; i < 2 * DIALOGUES; i++) places[i] = i % 2;
    places[2 * DIALOGUES - 1] = 2;
    only(&examples, places, 2 * DIALOGUES);
    assert_null(reward_examples_check(&examples, "data"));
    for (int64_t place = 0; place < 2000; place++)
        assert_ptr_equal(reward_examples_wrong(&examples, 7, 0, place, false).tokens,
                         all.list[2].right.tokens);
    /* Of one dialogue alone, and of two with the same reply. */
    only(&examples, (const int64_t[]){0, 1}, 2);
    status s = reward_examples_check(&examples, "data");
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "data: rm.objective: on_topic: no other dialogue has "
                                              "another reply than line 1's"));
    status_free(s);
    memcpy(examples.list, all.list, (size_t)all.count * sizeof *all.list);
    only(&examples, (const int64_t[]){0, 2, 4}, 3);
    assert_null(reward_examples_check(&examples, "data"));
    for (int i = 1; i < 3; i++) examples.list[i].right = examples.list[0].right;
    s = reward_examples_check(&examples, "data");
    assert_non_null(s);
    status_free(s);
    free(examples.list);
    examples.list = all.list;
    examples.count = all.count;
    reward_examples_free(&examples);
    tokenizer_close(tokenizer);
}

static void a_sequence_is_history_reply_and_end_cut_between_them(void **state)
{
    const int32_t history[] = {5, 6, 7, 8}, reply[] = {9, 1}, cuts[] = {2};
    const int32_t wanted[] = {5, 6, 7, 8, 9, 1, 3};
    struct reward_sequence sequence;
    (void)state;
    reward_sequence_make(history, 4, cuts, 1, reply, 2, 3, &sequence);
    assert_int_equal(sequence.count, 7);
    assert_memory_equal(sequence.tokens, wanted, sizeof wanted);
    assert_int_equal(sequence.cut_count, 2);
    assert_int_equal(sequence.cuts[0], 2);
    assert_int_equal(sequence.cuts[1], 4);
    reward_sequence_free(&sequence);
    reward_sequence_make(history, 4, NULL, 0, reply, 1, -1, &sequence);
    assert_int_equal(sequence.count, 5);
    assert_int_equal(sequence.cut_count, 0); /* the last token is no segment's */
    reward_sequence_free(&sequence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_reply_is_of_another_dialogue_half_of_the_same_service),
        cmocka_unit_test(without_services_all_other_dialogues_are_drawn_from),
        cmocka_unit_test(the_first_pairs_in_prompt_order_are_kept),
        cmocka_unit_test(what_is_too_long_goes_and_is_not_drawn),
        cmocka_unit_test(where_others_are_few_they_are_found_or_missed_by_name),
        cmocka_unit_test(a_sequence_is_history_reply_and_end_cut_between_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
