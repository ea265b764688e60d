/* Steps, answers and equations of reasoning, by hand. */
#include "src/evaluate/reasoning_metrics.h"
#include "src/text/equations.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void equations_are_found_and_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t count, hold;
    } cases[] = {
        {"Ada then has 6 - 2 = 4 rings.", 1, 1},
        {"Ada then has 6 - 2 = 3 rings.", 1, 0},
        {"2 + 3 * 4 = 14\n(2 + 3) * 4 = 20\n2 + 3 * 4 = 20", 3, 2},
        {"type 60 words *60 minutes = 3600 words, 10800/3600 = 3 hours", 2, 2},
        {"$1,200.50 + $10 = $1210.50", 1, 1},
        {"3 x 4 = 12, 3 \xc3\x97 4 = 12, 12 \xc3\xb7 4 = 3, 5 \xe2\x88\x92 7 = -2", 4, 4},
        {"48/2 = <<48/2=24>>24", 1, 1}, /* the annotation alone has two sides */
        {"2 + 3 = 5 + 4 = 9", 2, 1},    /* 2 + 3 is not 5 + 4 */
        {"1 / 3 = 0.33, 1 / 3 = 0.34, 2 / 3 = 0.67", 3, 2},
        {"7 / 2 = 3, 1 / 0 = 0", 2, 0},
        {"20% * 50 = 10", 1, 1},
        {"x = 5, so 5 = 5; there are 5 apples and 3 pears = 8", 0, 0}, /* nothing is computed */
        {"4 + = 4, (4 + 1 = 5, = 4 + 1, 4 + 1 =", 1, 1},               /* 4 + 1 = 5 behind the ( */
        {"", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct equations found = text_equations(cases[i].text);
        if (found.count != cases[i].count || found.hold != cases[i].hold)
            fail_msg("%s: %d equations, %d hold", cases[i].text, (int)found.count, (int)found.hold);
    }
}

static void near_to(double saw, double want)
{
    if (fabs(saw - want) > 1e-12) fail_msg("%.12g, not %.12g", saw, want);
}

static double share(const struct reasoning_sums *sums, enum reasoning_metric metric)
{
    const struct reasoning_share share = reasoning_share(sums, metric);
    return share.whole ? (double)share.part / (double)share.whole : (double)NAN;
}

static void steps_and_answers_are_added_over_replies(void **state)
{
    (void)state;
    const struct dialogue seven = {.answer = (char *)"7", .message_count = 2},
                          untold = {.message_count = 2};
    const char *gold = "Ada has 2 + 3 = 5.\nAda has 5 + 2 = 7.\n#### 7";
    struct reasoning_sums sums = {0};
    assert_true(isnan(share(&sums, REASONING_EXACT_STRICT)));
    assert_true(isnan(share(&sums, REASONING_PRECISION)));
    assert_true(isnan(share(&sums, REASONING_EQUATIONS)));
    /* Case, spaces and the full stop are nothing; a step that is said twice matches once. */
    reasoning_add(&sums, &seven, 1, gold,
                  "ada has 2 + 3 =  5\nada has 2 + 3 = 5\n\n#### 7\nno step", "#### ");
    assert_int_equal(sums.steps, 2);
    assert_int_equal(sums.matching, 1);
    near_to(share(&sums, REASONING_PRECISION), 1.0 / 2);
    near_to(share(&sums, REASONING_RECALL), 1.0 / 2);
    near_to(share(&sums, REASONING_EXACT_STRICT), 1);
    near_to(share(&sums, REASONING_EXACT_FLEXIBLE), 1);
    /* Without the marker the last number answers the flexible form alone. */
    reasoning_add(&sums, &seven, 1, gold, "Ada has 5 + 2 = 7.", "#### ");
    near_to(share(&sums, REASONING_EXACT_STRICT), 1.0 / 2);
    near_to(share(&sums, REASONING_EXACT_FLEXIBLE), 1);
    near_to(share(&sums, REASONING_PRECISION), 2.0 / 3);
    near_to(share(&sums, REASONING_RECALL), 2.0 / 4);
    /* A line without "answer": the gold reply's. */
    reasoning_add(&sums, &untold, 1, gold, "Ada has 5 + 2 = 8.\n#### 8", "#### ");
    near_to(share(&sums, REASONING_EXACT_FLEXIBLE), 2.0 / 3);
    near_to(share(&sums, REASONING_EQUATIONS), 3.0 / 4);
    /* The marker is cot.answer_marker. */
    struct reasoning_sums other = {0};
    reasoning_add(&other, &seven, 1, "2 + 5 = 7\nSo: 7", "2 + 5 = 7\nso it is\nSo: 7", "\nSo: ");
    assert_int_equal(other.steps, 2);
    assert_int_equal(other.gold_steps, 1);
    assert_int_equal(other.matching, 1);
    /* A tokenizer without newlines makes one line of all: what stands before the marker is a step,
     * what stands behind it is none. */
    struct reasoning_sums flat = {0};
    reasoning_add(&flat, &seven, 1, "2 + 5 = 7.\n#### 7", "2 + 5 = 7. #### 7 or\n8", "#### ");
    assert_int_equal(flat.steps, 1);
    assert_int_equal(flat.matching, 1);
    reasoning_add(&flat, &seven, 1, "2 + 5 = 7.\n#### 7", "#### 7", "#### ");
    assert_int_equal(flat.steps, 1);
    assert_int_equal(flat.gold_steps, 2);
}

static void the_lines_answer_is_of_its_last_message(void **state)
{
    (void)state;
    const struct dialogue line = {.answer = (char *)"7", .message_count = 4};
    struct reasoning_sums sums = {0};
    reasoning_add(&sums, &line, 1, "#### 5", "#### 5", "#### ");
    assert_int_equal(sums.strict, 1);
    reasoning_add(&sums, &line, 1, "#### 5", "#### 7", "#### ");
    assert_int_equal(sums.strict, 1);
    reasoning_add(&sums, &line, 3, "#### 5", "#### 7", "#### ");
    assert_int_equal(sums.strict, 2);
    /* A reply that says no number has no answer, unless it is the last. */
    reasoning_add(&sums, &line, 1, "Well.", "#### 7", "#### ");
    assert_int_equal(sums.replies, 3);
    reasoning_add(&sums, &line, 3, "Well.", "#### 7", "#### ");
    assert_int_equal(sums.replies, 4);
    assert_int_equal(sums.strict, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equations_are_found_and_checked),
        cmocka_unit_test(steps_and_answers_are_added_over_replies),
        cmocka_unit_test(the_lines_answer_is_of_its_last_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
