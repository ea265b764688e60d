/* Answers in replies: as lm-evaluation-harness reads them, boxed ones, and comparisons of texts. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/text/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE REGARD_SOURCE "/tests/text/fixtures/answers.jsonl"

/* One filter of one case: {"text": what it finds or null, "right", "same"}. */
static void filter_check(const json_t *line, const char *name, enum answer_extract form)
{
    const char *reply = json_string_value(json_object_get(line, "reply"));
    const char *answer = json_string_value(json_object_get(line, "answer"));
    const json_t *wanted = json_object_get(line, name);
    const char *text = json_string_value(json_object_get(wanted, "text"));
    char *found = answer_number(reply, form);
    if (!text != !found || (text && strcmp(text, found) != 0))
        fail_msg("%s of \"%s\" is %s, not %s", name, reply, found ? found : "none",
                 text ? text : "none");
    const bool right = json_is_true(json_object_get(wanted, "right")) ||
                       json_is_true(json_object_get(wanted, "same"));
    if (right != (found && answer_equal(found, answer)))
        fail_msg("%s of \"%s\": %s is %s to %s", name, reply, found ? found : "none",
                 right ? "not equal" : "equal", answer);
    free(found);
}

static void the_harness_finds_the_same_in_200_replies(void **state)
{
    (void)state;
    char *text;
    size_t size;
    int64_t cases = 0;
    assert_null(file_read(FIXTURE, &text, &size));
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, cases++) {
        json_t *one;
        assert_null(json_parse(line, (size_t)(end - line), FIXTURE, &one));
        filter_check(one, "strict", ANSWER_STRICT);
        filter_check(one, "flexible", ANSWER_FLEXIBLE);
        json_decref(one);
    }
    assert_int_equal(cases, 200);
    free(text);
}

static void extracted(const char *reply, enum answer_extract form, const char *wanted)
{
    char *found = answer_extract(reply, form);
    if (strcmp(found ? found : "none", wanted) != 0)
        fail_msg("of \"%s\": %s, not %s", reply, found ? found : "none", wanted);
    free(found);
}

static void what_is_boxed_goes_before_the_last_number_and_behind_the_marker(void **state)
{
    (void)state;
    extracted("\\boxed{7} is it, or 8", ANSWER_FLEXIBLE, "7");
    extracted("\\boxed{7} is it, or 8", ANSWER_STRICT, "7");
    extracted("\\boxed{7}\n#### 9", ANSWER_STRICT, "9");
    extracted("first \\boxed{1}, then \\boxed{\\frac{1}{2}}.", ANSWER_FLEXIBLE, "\\frac{1}{2}");
    extracted("\\boxed{3} and \\boxed{open", ANSWER_FLEXIBLE, "3");
    extracted("\\boxed{open 12", ANSWER_FLEXIBLE, "12");
    extracted("nothing", ANSWER_FLEXIBLE, "none");
    extracted("12", ANSWER_STRICT, "none");
}

static void numbers_are_equal_by_value_and_texts_by_letters(void **state)
{
    (void)state;
    assert_true(answer_equal("3", "3.0") && answer_equal("$3,000.50", "3000.5"));
    assert_true(answer_equal("007", "7") && answer_equal("-0", "0") && answer_equal(".5", "0.50"));
    assert_true(answer_equal("Blue", "blue.") && answer_equal("steps #### 4", "4"));
    assert_false(answer_equal("3", "-3") || answer_equal("3", "30") || answer_equal("3", "3.05"));
    assert_false(answer_equal("1e2", "100") || answer_equal("", "0"));
    assert_true(answer_is_number("$1,200") && answer_is_number("-4.50"));
    assert_false(answer_is_number("four") || answer_is_number("4 apples") || answer_is_number("-"));
}

static void a_match_is_of_the_whole_text(void **state)
{
    (void)state;
    assert_true(answer_match(" Bell,  book ,Snow.\n", "bell, book, snow"));
    assert_true(answer_match("\xc3\x84pfel\xc2\xa0rot", "\xc3\xa4pfel rot"));
    assert_true(answer_match("Yes!", "yes"));
    assert_false(answer_match("bell, book", "bell, book, snow"));
    assert_false(answer_match("the bell, book, snow", "bell, book, snow"));
    assert_false(answer_match("bell book snow", "bell, book, snow"));
}

static void a_value_is_contained_between_bounds_of_words(void **state)
{
    (void)state;
    assert_true(answer_contains("It starts at the Station.", "station"));
    assert_true(answer_contains("at 3:30, then", "3:30"));
    assert_true(answer_contains("by New\n York", "new york"));
    assert_true(answer_contains("stations, but the station", "station"));
    assert_false(answer_contains("the stations", "station"));
    assert_false(answer_contains("at 13:30", "3:30"));
    assert_false(answer_contains("Zo\xc3\xab is here", "zo"));
    assert_false(answer_contains("", "x") || answer_contains("text", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_harness_finds_the_same_in_200_replies),
        cmocka_unit_test(what_is_boxed_goes_before_the_last_number_and_behind_the_marker),
        cmocka_unit_test(numbers_are_equal_by_value_and_texts_by_letters),
        cmocka_unit_test(a_match_is_of_the_whole_text),
        cmocka_unit_test(a_value_is_contained_between_bounds_of_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
