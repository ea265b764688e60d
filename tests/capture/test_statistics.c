/* The table of statistics: names, sizes, encodings, and the means that metrics are made of. */
#include "src/capture/statistics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static void names_are_distinct_and_fit_into_a_message(void **state)
{
    (void)state;
    for (int i = 0; i < statistics_standard.count; i++) {
        const char *name = statistics_standard.rows[i].name;
        assert_true(strlen(name) < STATISTICS_NAME_MAX);
        for (int k = 0; k < i; k++) assert_string_not_equal(name, statistics_standard.rows[k].name);
    }
}

static void weight_codes_come_back_and_stay_within_a_32nd_of_an_octave(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++)
        assert_int_equal(statistic_log8(statistic_from_log8((uint8_t)code)), code);
    /* Half a step of 1/16 octave: 2^(1/32) - 1 = 2.2%; the margin is float rounding's. */
    for (float w = 1.0f; w > 3e-5f; w *= 0.97f) {
        float back = statistic_from_log8(statistic_log8(w));
        if (fabsf(back / w - 1.0f) > 0.0221f)
            fail_msg("%g came back as %g", (double)w, (double)back);
    }
}

static const struct statistic rows[] = {
    {.name = "share", .per = PER_TOKEN, .metric = "share"},
    {.name = "turns", .per = PER_TURN, .metric = "turn_back"},
    {.name = "unseen", .per = PER_POSITION},
    {.name = "heads", .per = PER_HEAD, .reduction = MEAN_OVER_TOKENS, .metric = "head"}};
static const struct statistic_table table = {rows, 4};

static void columns_are_named_by_turns_back_and_by_layer_and_head(void **state)
{
    (void)state;
    const struct statistic_sizes sizes = {.turns = 3, .layers = 2, .heads = 2};
    static const char *const want[] = {"share",    "turn_back_0", "turn_back_1", "turn_back_2",
                                       "head_0_0", "head_0_1",    "head_1_0",    "head_1_1"};
    assert_int_equal(statistics_columns(&table, &sizes), 8);
    for (int c = 0; c < 8; c++) {
        char name[64];
        statistics_column_name(&table, &sizes, c, name);
        assert_string_equal(name, want[c]);
    }
}

static void means_are_over_tokens_and_turns_count_back_from_the_last(void **state)
{
    (void)state;
    const struct statistic_sizes own = {.turns = 2, .layers = 2, .heads = 2},
                                 all = {.turns = 3, .layers = 2, .heads = 2};
    struct statistics s;
    double value[8];
    statistics_allocate(&s, &table, &own, 2);
    assert_int_equal(statistics_numbers(&s, 1), 4);
    assert_int_equal(statistics_numbers(&s, 2), 2 * STATISTICS_TOP);
    assert_int_equal(statistics_numbers(&s, 3), 4);
    const float share[] = {1, 2}, turns[] = {0.25f, 0.75f, 0.5f, 0.5f}, heads[] = {1, 2, 3, 4};
    memcpy(s.array[0], share, sizeof share);
    memcpy(s.array[1], turns, sizeof turns);
    memcpy(s.array[3], heads, sizeof heads);
    statistics_means(&s, &all, value);
    const double want[] = {1.5, 0.625, 0.375, NAN, 1, 2, 3, 4};
    for (int c = 0; c < 8; c++)
        if (!(value[c] == want[c] || (isnan(value[c]) && isnan(want[c]))))
            fail_msg("column %d is %g, not %g", c, value[c], want[c]);
    statistics_free(&s);
    /* A reply without tokens: 0, and no turn that it looks back to. */
    statistics_allocate(&s, &table, &own, 0);
    statistics_means(&s, &all, value);
    assert_true(value[0] == 0 && isnan(value[1]) && isnan(value[3]) && value[4] == 0);
    statistics_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_distinct_and_fit_into_a_message),
        cmocka_unit_test(weight_codes_come_back_and_stay_within_a_32nd_of_an_octave),
        cmocka_unit_test(columns_are_named_by_turns_back_and_by_layer_and_head),
        cmocka_unit_test(means_are_over_tokens_and_turns_count_back_from_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
