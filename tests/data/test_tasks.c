/* The generated tasks: pure, as they are promised, with answers that hold. */
#include "src/base/data_name.h"
#include "src/data/dialogue.h"
#include "src/data/generators.h"
#include "src/text/answer.h"
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

static struct dataset *read_data(const char *name, enum dataset_need need)
{
    struct dataset *data;
    status s = dataset_read(name, need, &data);
    if (s) fail_msg("%s", status_message(s));
    return data;
}

static const char *question_of(const struct dialogue *dialogue)
{
    return dialogue->messages[dialogue_start(dialogue) - 1].content;
}
static const char *reply_of(const struct dialogue *dialogue)
{
    return dialogue->messages[dialogue->message_count - 1].content;
}

static char *kind_of(const struct dialogue *dialogue)
{
    char *kind;
    assert_null(dialogue_field(dialogue, "kind", &kind));
    assert_non_null(kind);
    return kind;
}

/* Reads a set and the same one dialogue at a time, and checks that the lines are the same. */
static void a_line_depends_on_seed_and_place_alone(void **state)
{
    (void)state;
    const char *names[] = {"reverse:%d:%d:%d",     "story:%d:%d:%d",    "slot:%d:%d:%d",
                           "reasoning:%d:%d:4:%d", "nested:%d:%d:4:%d", "synthetic:%d:%d:%d",
                           "speakers:%d:%d:%d"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char name[64];
        snprintf(name, sizeof name, names[n], 7, 12, 5);
        struct dataset *all = read_data(name, DATASET_TRAIN);
        assert_int_equal(all->count, 12);
        for (int i = 0; i < 12; i++) {
            snprintf(name, sizeof name, names[n], 7, 1, 5 + i);
            struct dataset *one = read_data(name, DATASET_SCORE);
            assert_string_equal(one->dialogues[0].json, all->dialogues[i].json);
            dataset_free(one);
        }
        snprintf(name, sizeof name, names[n], 8, 1, 5);
        struct dataset *other = read_data(name, DATASET_TRAIN);
        if (!strcmp(question_of(&other->dialogues[0]), question_of(&all->dialogues[0])))
            fail_msg("%s asks what seed 7 asks", name);
        dataset_free(other);
        dataset_free(all);
    }
}

static void what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    const char *names[] = {"reverse:1:20", "story:1:20", "slot:1:20", "reasoning:1:20:5"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char path[TEXT_FILE_PATH];
        struct dataset *made = read_data(names[n], DATASET_TRAIN), *again;
        dataset_file(made, path);
        again = read_data(path, DATASET_TRAIN);
        unlink(path);
        assert_int_equal(again->count, 20);
        for (int64_t i = 0; i < 20; i++) {
            const struct dialogue *a = &made->dialogues[i], *b = &again->dialogues[i];
            assert_string_equal(a->json, b->json);
            assert_string_equal(a->id, b->id);
            assert_string_equal(a->answer, b->answer);
            assert_int_equal(a->given, b->given);
            assert_int_equal(a->verify, b->verify);
        }
        dataset_free(made);
        dataset_free(again);
    }
}

static void for_generation_the_last_reply_is_left_out(void **state)
{
    (void)state;
    const char *names[] = {"reverse:1:2", "slot:1:2", "reasoning:1:2:1", "synthetic:1:2"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct dataset *whole = read_data(names[n], DATASET_TRAIN);
        struct dataset *open = read_data(names[n], DATASET_GENERATE);
        for (int64_t i = 0; i < 2; i++) {
            const struct dialogue *a = &whole->dialogues[i], *b = &open->dialogues[i];
            assert_int_equal(b->message_count, a->message_count - 1);
            assert_int_equal(b->messages[b->message_count - 1].role, ROLE_USER);
            assert_string_equal(b->json, a->json);
        }
        dataset_free(whole);
        dataset_free(open);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void no_list_comes_twice_before_all_came(void **state)
{
    (void)state;
    enum { ALL = TASK_REVERSE_LINES };
    char **answers = malloc(ALL * sizeof *answers);
    for (int i = 0; i < ALL; i++) {
        char line[2048];
        FILE *out = fmemopen(line, sizeof line, "w");
        assert_null(task_reverse(3, i, 0, out));
        fclose(out);
        answers[i] = strdup(strstr(line, "\"answer\":"));
    }
    qsort(answers, ALL, sizeof *answers, by_text);
    for (int i = 1; i < ALL; i++)
        if (!strcmp(answers[i], answers[i - 1])) fail_msg("%s comes twice", answers[i]);
    for (int i = 0; i < ALL; i++) free(answers[i]);
    free(answers);
}

static void lists_are_reversed_behind_the_same_three_examples(void **state)
{
    (void)state;
    struct dataset *data = read_data("reverse:1:200", DATASET_TRAIN);
    for (int64_t i = 0; i < data->count; i++) {
        const struct dialogue *dialogue = &data->dialogues[i];
        char words[3][16], reversed[64];
        assert_int_equal(dialogue->given, 6);
        assert_int_equal(dialogue->message_count, 8);
        for (int m = 0; m < 6; m++)
            assert_string_equal(dialogue->messages[m].content,
                                data->dialogues[0].messages[m].content);
        assert_int_equal(sscanf(question_of(dialogue), "Reverse the list: %15[a-z], %15[a-z], %15s",
                                words[0], words[1], words[2]),
                         3);
        snprintf(reversed, sizeof reversed, "%s, %s, %s", words[2], words[1], words[0]);
        assert_string_equal(reply_of(dialogue), reversed);
        assert_string_equal(dialogue->answer, reversed);
        assert_int_equal(dialogue->verify, VERIFY_MATCH);
    }
    dataset_free(data);
}

/* The value of "A sign B" in a text. */
static long calculated(const char *text)
{
    long a, b;
    char sign;
    if (sscanf(text, "%ld %c %ld", &a, &sign, &b) != 3) fail_msg("no expression: %s", text);
    return sign == '+' ? a + b : sign == '-' ? a - b : sign == '*' ? a * b : a / b;
}

static void stories_end_in_their_answer(void **state)
{
    (void)state;
    int64_t kinds[3] = {0};
    struct dataset *data = read_data("story:1:600", DATASET_TRAIN);
    for (int64_t i = 0; i < data->count; i++) {
        const struct dialogue *dialogue = &data->dialogues[i];
        char *kind = kind_of(dialogue), *found;
        const char sign = strchr(reply_of(dialogue), ' ')[1];
        assert_int_equal(sign, !strcmp(kind, "add") ? '+' : !strcmp(kind, "subtract") ? '-' : '*');
        kinds[sign == '+' ? 0 : sign == '-' ? 1 : 2]++;
        const long value = calculated(reply_of(dialogue));
        assert_true(value > 0 && value == atol(dialogue->answer));
        found = answer_extract(reply_of(dialogue), ANSWER_FLEXIBLE);
        assert_true(answer_equal(found, dialogue->answer));
        assert_int_equal(dialogue->verify, VERIFY_EXACT);
        assert_int_equal(dialogue->given, 6);
        free(found);
        free(kind);
    }
    for (int k = 0; k < 3; k++) assert_true(kinds[k] > 150); /* of 200 expected each */
    dataset_free(data);
}

static void a_slot_and_its_distractor_stand_in_the_question(void **state)
{
    (void)state;
    struct dataset *data = read_data("slot:1:300", DATASET_TRAIN);
    for (int64_t i = 0; i < data->count; i++) {
        const struct dialogue *dialogue = &data->dialogues[i];
        char *kind = kind_of(dialogue);
        assert_int_equal(dialogue->given, 0);
        assert_int_equal(dialogue->message_count, 2);
        assert_int_equal(dialogue->verify, VERIFY_CONTAINS);
        assert_true(answer_contains(question_of(dialogue), dialogue->answer));
        assert_false(answer_contains(dialogue->answer, dialogue->reject[0]));
        assert_null(dialogue->reject[1]);
        /* Another day, where the answer is a day or a time, is in no place of the question. */
        const bool day = !strcmp(kind, "day") || !strcmp(kind, "time");
        assert_int_equal(answer_contains(question_of(dialogue), dialogue->reject[0]), !day);
        free(kind);
    }
    dataset_free(data);
}

/* Every step is one equation that holds and goes on from the one before; the last gives the answer.
 */
static void check_problem(const struct dialogue *dialogue, int level)
{
    long before = 0;
    int64_t steps = 0;
    for (; dialogue->steps[steps]; steps++) {
        const char *step = dialogue->steps[steps];
        const char *equation = step + strcspn(step, "0123456789"), *equals = strchr(step, '=');
        const long result = atol(equals + 1);
        if (calculated(equation) != result) fail_msg("false: %s", step);
        if (steps && atol(equation) != before) fail_msg("%s does not go on from %ld", step, before);
        if (result < 2) fail_msg("too few: %s", step);
        const char *division = strchr(equation, '/');
        if (division && atol(equation) % atol(division + 1)) fail_msg("no whole number: %s", step);
        before = result;
    }
    static const int64_t wanted[] = {1, 2, 2, 3, 4};
    assert_int_equal(steps, wanted[level - 1]);
    assert_int_equal(before, atol(dialogue->answer));
    assert_null(strpbrk(dialogue->question, "{}"));
    char *found = answer_number(reply_of(dialogue), ANSWER_STRICT);
    assert_string_equal(found, dialogue->answer);
    free(found);
}

static void steps_of_problems_hold_and_lead_to_the_answer(void **state)
{
    (void)state;
    for (int level = 1; level <= REASONING_LEVELS; level++) {
        char name[64];
        const char *questions[1000];
        snprintf(name, sizeof name, "reasoning:1:1000:%d", level);
        struct dataset *data = read_data(name, DATASET_TRAIN);
        for (int64_t i = 0; i < data->count; i++) {
            check_problem(&data->dialogues[i], level);
            questions[i] = question_of(&data->dialogues[i]);
        }
        qsort(questions, 1000, sizeof *questions, by_text);
        int repeated = 0;
        for (int i = 1; i < 1000; i++) repeated += !strcmp(questions[i], questions[i - 1]);
        if (repeated > 10) fail_msg("level %d: %d of 1000 come again", level, repeated);
        dataset_free(data);
    }
}

/* The order that is asked for is that of the user who is named, and who gave the other one. */
static void what_a_speaker_ordered_is_told_by_name_alone(void **state)
{
    (void)state;
    struct dataset *data = read_data("speakers:3:400", DATASET_TRAIN);
    int64_t first = 0, own = 0;
    for (int64_t d = 0; d < data->count; d++) {
        const struct dialogue *one = &data->dialogues[d];
        const struct message *m = one->messages;
        assert_int_equal(one->message_count, 6);
        assert_string_not_equal(m[0].name, m[2].name);
        assert_null(m[1].name);
        const int asked = strstr(m[4].content, m[0].name) ? 0 : 2;
        assert_non_null(strstr(m[4].content, m[asked].name));
        assert_null(strstr(m[4].content, m[2 - asked].name));
        for (int k = 0; k < 2; k++) {
            assert_non_null(strstr(m[asked].content, one->slots[5][k]));
            assert_null(strstr(m[2 - asked].content, one->slots[5][k]));
            assert_non_null(strstr(m[5].content, one->slots[5][k]));
        }
        first += asked == 0;
        own += !strcmp(m[4].name, m[asked].name);
    }
    assert_true(first > 150 && first < 250 && own > 150 && own < 250);
    dataset_free(data);
}

/* Names change places in half of the dialogues of two; all that is said stays. */
static void permuted_names_change_places_within_a_dialogue(void **state)
{
    (void)state;
    struct dataset *data = read_data("speakers:3:400", DATASET_TRAIN);
    struct dataset *permuted = read_data("speakers:3:400", DATASET_TRAIN);
    struct dataset *again = read_data("speakers:3:400", DATASET_TRAIN);
    struct dataset *other = read_data("speakers:3:400", DATASET_TRAIN);
    assert_null(dataset_permute_names(permuted, 5));
    assert_null(dataset_permute_names(again, 5));
    assert_null(dataset_permute_names(other, 6));
    int64_t moved = 0, unlike = 0;
    for (int64_t d = 0; d < data->count; d++) {
        const struct message *a = data->dialogues[d].messages, *b = permuted->dialogues[d].messages;
        const bool change = strcmp(a[0].name, b[0].name) != 0;
        for (int m = 0; m < 6; m += 2) {
            assert_string_equal(a[m].content, b[m].content);
            const char *want = !change                         ? a[m].name
                               : !strcmp(a[m].name, a[0].name) ? a[2].name
                                                               : a[0].name;
            assert_string_equal(b[m].name, want);
            assert_string_equal(again->dialogues[d].messages[m].name, b[m].name);
        }
        moved += change;
        unlike += strcmp(other->dialogues[d].messages[0].name, b[0].name) != 0;
    }
    assert_true(moved > 150 && moved < 250 && unlike > 150 && unlike < 250);
    dataset_free(data);
    dataset_free(permuted);
    dataset_free(again);
    dataset_free(other);
    data = read_data("synthetic:1:3", DATASET_TRAIN);
    status s = dataset_permute_names(data, 5);
    assert_non_null(strstr(status_message(s), "synthetic:1:3: control: permuted_names needs"));
    status_free(s);
    dataset_free(data);
}

/* Without tags, and without what lies two deep, what `reasoning` says. */
static char *flat_text(const char *nested)
{
    char *flat = calloc(strlen(nested) + 1, 1), *to = flat;
    int depth = 0;
    assert_non_null(flat);
    for (const char *at = nested; *at;) {
        if (!strncmp(at, " <sub>", 6) && depth == 1) at++; /* the space before it, too */
        if (!strncmp(at, "<sub>", 5)) {
            depth++;
            at += 5;
        } else if (!strncmp(at, "</sub>", 6)) {
            depth--;
            at += 6;
        } else {
            if (depth < 2) *to++ = *at;
            at++;
        }
        if (depth < 0 || depth > 2) fail_msg("depth %d: %s", depth, nested);
    }
    assert_int_equal(depth, 0);
    return flat;
}

static void nested_problems_are_those_of_reasoning_with_sub_blocks(void **state)
{
    (void)state;
    int64_t sums = 0;
    for (int level = 1; level <= REASONING_LEVELS; level++) {
        char name[2][64];
        snprintf(name[0], sizeof name[0], "reasoning:4:200:%d:3", level);
        snprintf(name[1], sizeof name[1], "nested:4:200:%d:3", level);
        struct dataset *plain = read_data(name[0], DATASET_TRAIN);
        struct dataset *nested = read_data(name[1], DATASET_TRAIN);
        for (int64_t i = 0; i < plain->count; i++) {
            const struct dialogue *a = &plain->dialogues[i], *b = &nested->dialogues[i];
            char *flat = flat_text(reply_of(b));
            assert_string_equal(question_of(a), question_of(b));
            assert_string_equal(flat, reply_of(a));
            assert_string_equal(a->answer, b->answer);
            assert_non_null(strstr(reply_of(b), "<sub>"));
            sums += strstr(reply_of(b), "= 24 <sub>6 + 6 + 6 + 6 = 24</sub></sub>") != NULL;
            free(flat);
        }
        dataset_free(plain);
        dataset_free(nested);
    }
    assert_true(sums > 0);
}

static void mistakes_in_names_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *name, *why;
    } bad[] = {
        {"reverse:1", "reverse:SEED:COUNT or"},
        {"story:1:0", "COUNT from 1"},
        {"slot:x:2", "slot:SEED:COUNT or"},
        {"reverse:1:2:3:4", "reverse:SEED:COUNT or"},
        {"reverse:1:2:", "reverse:SEED:COUNT or"},
        {"reverse:", "reverse:SEED:COUNT or"},
        {"story:1:10000001", "1 to 10000000"},
        {"slot:99999999999999999999:2", "SEED"},
        {"reasoning:1:2", "reasoning:SEED:COUNT:LEVEL"},
        {"reasoning:1:2:0", "only 1 to 5"},
        {"reasoning:1:2:6", "only 1 to 5"},
        {"reasoning:1:2:1:0:7", "SEED:COUNT:LEVEL"},
        {"reverse:1:1:24360", "FIRST + COUNT is beyond 24360, the lines of a seed"},
        {"reverse:1:24361", "FIRST + COUNT is beyond 24360, the lines of a seed"},
        {"reverse:1:64:24297", "FIRST + COUNT is beyond 24360"},
        {"story:1:2:9223372036854775807", "the last place of a set"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dataset *data;
        status s = dataset_read(bad[i].name, DATASET_TRAIN, &data);
        if (!s) fail_msg("taken: %s", bad[i].name);
        if (!strstr(status_message(s), bad[i].why))
            fail_msg("\"%s\" does not say \"%s\"", status_message(s), bad[i].why);
        status_free(s);
    }
    struct dataset *data = read_data("reverse:1:64:24296", DATASET_TRAIN); /* the last ones */
    dataset_free(data);
    status s = dataset_read("story:1:2", DATASET_UPDATE, &data);
    assert_string_equal(status_message(s),
                        "story:1:2: an update wants token lines, which this is not");
    status_free(s);
}

static void every_name_has_a_generator_and_a_file_is_no_name(void **state)
{
    (void)state;
    for (int i = 0; data_names[i]; i++) {
        char name[64];
        struct generated set;
        snprintf(name, sizeof name, "%s:1:2:3", data_names[i]);
        assert_true(data_is_generated(name));
        assert_null(generated_parse(name, &set));
        assert_string_equal(set.generator->name, data_names[i]);
    }
    assert_false(data_is_generated("data/train.jsonl") || data_is_generated("reverse"));
    assert_false(data_is_generated("stories:1:2") || data_is_generated("x/story:1:2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_depends_on_seed_and_place_alone),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(for_generation_the_last_reply_is_left_out),
        cmocka_unit_test(no_list_comes_twice_before_all_came),
        cmocka_unit_test(lists_are_reversed_behind_the_same_three_examples),
        cmocka_unit_test(stories_end_in_their_answer),
        cmocka_unit_test(a_slot_and_its_distractor_stand_in_the_question),
        cmocka_unit_test(steps_of_problems_hold_and_lead_to_the_answer),
        cmocka_unit_test(what_a_speaker_ordered_is_told_by_name_alone),
        cmocka_unit_test(permuted_names_change_places_within_a_dialogue),
        cmocka_unit_test(nested_problems_are_those_of_reasoning_with_sub_blocks),
        cmocka_unit_test(mistakes_in_names_are_told),
        cmocka_unit_test(every_name_has_a_generator_and_a_file_is_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
