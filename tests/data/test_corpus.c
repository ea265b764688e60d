/* The built-in corpus: pure, varied, with slots that gold replies carry; its simulated user. */
#include "src/data/corpus.h"
#include "src/data/simulator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIALOGUES = 20000 };

static int by_value(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *all_text(const struct dialogue *dialogue)
{
    char *text = calloc(1, 8192);
    for (int64_t i = 0; i < dialogue->message_count; i++) {
        strcat(text, dialogue->messages[i].content);
        strcat(text, "\n");
    }
    return text;
}

static void nearly_all_dialogues_of_a_seed_are_distinct(void **state)
{
    (void)state;
    char **texts = malloc(DIALOGUES * sizeof *texts);
    for (int64_t i = 0; i < DIALOGUES; i++) {
        struct dialogue dialogue;
        assert_null(corpus_dialogue(11, i, &dialogue));
        texts[i] = all_text(&dialogue);
        dialogue_clear(&dialogue);
    }
    qsort(texts, DIALOGUES, sizeof *texts, by_value);
    int64_t distinct = 1;
    for (int64_t i = 1; i < DIALOGUES; i++) distinct += strcmp(texts[i], texts[i - 1]) != 0;
    for (int64_t i = 0; i < DIALOGUES; i++) free(texts[i]);
    free(texts);
    /* "tens of thousands of distinct dialogues from a seed" */
    if (distinct < DIALOGUES * 99 / 100) fail_msg("only %d distinct", (int)distinct);
}

static void dialogues_have_three_to_five_turns_and_carry_slots(void **state)
{
    (void)state;
    int64_t with_slots = 0, later = 0, of_turns[6] = {0};
    for (int64_t i = 0; i < 2000; i++) {
        struct dialogue dialogue;
        assert_null(corpus_dialogue(1, i, &dialogue));
        const int64_t turns = dialogue.message_count / 2;
        assert_true(turns >= 3 && turns <= 5 && dialogue.message_count % 2 == 0);
        of_turns[turns]++;
        for (int64_t m = 1; m < dialogue.message_count; m += 2) {
            char **slots = dialogue.slots[m];
            later += m > 1;
            with_slots += slots != NULL;
            for (int k = 0; slots && slots[k]; k++) {
                bool said = false; /* by the user in an earlier turn */
                for (int64_t u = 0; u < m - 1; u += 2)
                    said = said || strstr(dialogue.messages[u].content, slots[k]);
                if (!said) fail_msg("%s was not said before", slots[k]);
            }
            assert_true(!slots || slot_carry_over(slots, dialogue.messages[m].content) == 1);
            assert_null(strchr(dialogue.messages[m].content, '{'));
        }
        dialogue_clear(&dialogue);
    }
    assert_true(of_turns[3] > 200 && of_turns[4] > 200 && of_turns[5] > 100);
    if (with_slots < later * 95 / 100)
        fail_msg("%d of %d later replies carry a slot", (int)with_slots, (int)later);
}

static void the_same_index_gives_the_same_dialogue_and_another_seed_another(void **state)
{
    (void)state;
    int same = 0;
    for (int64_t i = 0; i < 50; i++) {
        struct dialogue a, b, c;
        assert_null(corpus_dialogue(1, i, &a));
        assert_null(corpus_dialogue(1, i, &b));
        assert_null(corpus_dialogue(2, i, &c));
        char *texts[] = {all_text(&a), all_text(&b), all_text(&c)};
        assert_string_equal(texts[0], texts[1]);
        same += strcmp(texts[0], texts[2]) == 0;
        for (int k = 0; k < 3; k++) free(texts[k]);
        dialogue_clear(&a);
        dialogue_clear(&b);
        dialogue_clear(&c);
    }
    assert_int_equal(same, 0);
}

static void carry_over_counts_whole_words_without_case(void **state)
{
    (void)state;
    char *slots[] = {"A47", "Anna", "Rome", "Friday", NULL};
    assert_true(slot_carry_over(slots, "ANNA, order A477 goes to Rome on friday.") == 0.75);
    char *none[] = {NULL};
    assert_true(slot_carry_over(none, "x") == -1);
    assert_true(slot_carry_over(NULL, "x") == -1);
}

/* Plays the scenario's user against a given reply; history holds the gold opening. */
static char *answer_to(int64_t index, const char *reply, int64_t turn)
{
    struct dialogue dialogue;
    assert_null(corpus_dialogue(5, index, &dialogue));
    struct message history[] = {dialogue.messages[0], {ROLE_ASSISTANT, (char *)reply, NULL}};
    char *said, *again;
    assert_null(simulator_reply(&dialogue, history, 2, turn, &said));
    assert_null(simulator_reply(&dialogue, history, 2, turn, &again));
    if (said) assert_string_equal(said, again);
    free(again);
    dialogue_clear(&dialogue);
    return said;
}

static void the_user_gives_what_is_asked_complains_when_ignored_and_ends(void **state)
{
    (void)state;
    const char *days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                          "Friday", "Saturday", "Sunday"};
    for (int64_t i = 0; i < 40; i++) {
        char *said = answer_to(i, "Good. Which day suits you?", 1);
        bool day = false;
        for (int k = 0; k < 7; k++) day = day || strstr(said, days[k]);
        if (!day) fail_msg("no day in \"%s\"", said);
        free(said);
        said = answer_to(i, "Bananas are yellow.", 1);
        if (!strstr(said, "answer") && !strstr(said, "help") && !strstr(said, "listen"))
            fail_msg("no complaint: \"%s\"", said);
        free(said);
        assert_null(answer_to(i, "Bananas are yellow.", 5));
    }
}

static void against_gold_replies_the_user_says_what_the_gold_user_says_in_slots(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 200; i++) {
        struct dialogue dialogue;
        assert_null(corpus_dialogue(5, i, &dialogue));
        const int64_t turns = dialogue.message_count / 2;
        for (int64_t turn = 1; turn <= turns; turn++) {
            char *said;
            assert_null(simulator_reply(&dialogue, dialogue.messages, 2 * turn, turn, &said));
            if (turn == turns)
                assert_null(said);
            else
                assert_non_null(said);
            free(said);
        }
        dialogue_clear(&dialogue);
    }
}

static void a_dialogue_that_is_not_ours_has_no_simulated_user(void **state)
{
    (void)state;
    struct dialogue foreign = {.id = "\"abc\""};
    char *said;
    status s = simulator_reply(&foreign, NULL, 0, 1, &said);
    assert_int_equal(status_code(s), STATUS_INPUT);
    status_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearly_all_dialogues_of_a_seed_are_distinct),
        cmocka_unit_test(dialogues_have_three_to_five_turns_and_carry_slots),
        cmocka_unit_test(the_same_index_gives_the_same_dialogue_and_another_seed_another),
        cmocka_unit_test(carry_over_counts_whole_words_without_case),
        cmocka_unit_test(the_user_gives_what_is_asked_complains_when_ignored_and_ends),
        cmocka_unit_test(against_gold_replies_the_user_says_what_the_gold_user_says_in_slots),
        cmocka_unit_test(a_dialogue_that_is_not_ours_has_no_simulated_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
