/* Times of ranks as metrics and words, against sums by hand. */
#include "src/report/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A learner and two actors, the second slow. */
static const double seconds[3 * TIME_KINDS] = {
    [TIME_LEARN] = 3,
    [TIME_WAIT_EXPERIENCE] = 4.98,
    [TIME_OTHER] = 0.02,
    [TIME_KINDS + TIME_GENERATE] = 4,
    [TIME_KINDS + TIME_WAIT_WEIGHTS] = 3,
    [TIME_KINDS + TIME_WAIT_SLOWEST] = 1,
    [2 * TIME_KINDS + TIME_GENERATE] = 5,
    [2 * TIME_KINDS + TIME_WAIT_WEIGHTS] = 3,
};

static void means_greatest_and_slowest_are_right(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        double value;
    } wanted[] = {{"time_generate", 3},
                  {"time_generate_max", 5},
                  {"time_learn", 1},
                  {"time_learn_max", 3},
                  {"time_wait_weights", 2},
                  {"time_wait_weights_max", 3},
                  {"time_wait_experience", 1.66},
                  {"time_wait_experience_max", 4.98},
                  {"time_wait_slowest", 1. / 3},
                  {"time_wait_slowest_max", 1},
                  {"time_other", 0.02 / 3},
                  {"time_other_max", 0.02},
                  {"time_slowest", 2}};
    struct metric_list list = {.count = 0};
    times_measure(seconds, 3, &list);
    assert_int_equal(list.count, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_string_equal(list.list[i].name, wanted[i].name);
        assert_float_equal(list.list[i].value, wanted[i].value, 0.5e-6);
    }
}

static void one_rank_has_no_slowest(void **unused)
{
    (void)unused;
    struct metric_list list = {.count = 0};
    char text[200];
    times_measure(seconds, 1, &list);
    assert_string_equal(list.list[list.count - 1].name, "time_other_max");
    times_text(seconds, 1, TIME_KINDS, text, sizeof text);
    assert_string_equal(text, "wait_experience 62%, learn 38%");
}

static void ranks_are_listed_by_kind(void **unused)
{
    (void)unused;
    char *text = times_by_rank(seconds, 3);
    assert_string_equal(text, "{\"generate\":[0.000000,4.000000,5.000000],"
                              "\"learn\":[3.000000,0.000000,0.000000],"
                              "\"wait_weights\":[0.000000,3.000000,3.000000],"
                              "\"wait_experience\":[4.980000,0.000000,0.000000],"
                              "\"wait_slowest\":[0.000000,1.000000,0.000000],"
                              "\"other\":[0.020000,0.000000,0.000000]}");
    free(text);
    double *many = calloc((TIMES_RANKS_LISTED + 1) * TIME_KINDS, sizeof *many);
    assert_null(times_by_rank(many, TIMES_RANKS_LISTED + 1));
    text = times_by_rank(many, TIMES_RANKS_LISTED);
    assert_string_equal(text, "{}");
    free(text);
    free(many);
}

static void words_name_the_greatest_first_and_who_waited_least(void **unused)
{
    (void)unused;
    char text[200], cut[20];
    times_text(seconds, 3, TIME_KINDS, text, sizeof text);
    assert_string_equal(text, "generate 38%, wait_weights 25%, wait_experience 21%, learn 12%, "
                              "wait_slowest 4%");
    times_text(seconds, 3, 2, text, sizeof text);
    assert_string_equal(text, "generate 38%, wait_weights 25%");
    times_slowest_text(seconds, 3, "hostb", text, sizeof text);
    assert_string_equal(text, "; rank 2 (hostb) waited least, 38%");
    times_slowest_text(seconds, 1, "here", text, sizeof text);
    assert_string_equal(text, "");
    /* One that waits for two thirds of its time is not what the other waits for. */
    static const double idle[2 * TIME_KINDS] = {
        [TIME_LEARN] = 1, [TIME_WAIT_SLOWEST] = 2, [TIME_KINDS + TIME_WAIT_SLOWEST] = 3};
    times_slowest_text(idle, 2, "here", text, sizeof text);
    assert_string_equal(text, "");
    times_text(seconds, 3, TIME_KINDS, cut, sizeof cut);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    assert_memory_equal(cut, "generate 38%, wait_weights", sizeof cut - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_greatest_and_slowest_are_right),
        cmocka_unit_test(one_rank_has_no_slowest),
        cmocka_unit_test(ranks_are_listed_by_kind),
        cmocka_unit_test(words_name_the_greatest_first_and_who_waited_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
