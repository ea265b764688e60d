/* Running divisors: plain, within histories, their order and their flat form. */
#include "tests/reward/reward_test.h"

#include "src/reward/running.h"

/* Terms have a name here and no more. */
static const struct term coverage = {"coverage", NULL}, focus = {"focus", NULL},
                         rep_hist = {"rep_hist", NULL}, rep_self = {"rep_self", NULL};
static const struct reward_settings four = {
    .terms = {{&coverage, 1}, {&focus, 1}, {&rep_hist, 1}, {&rep_self, 1}}, .term_count = 4};
enum { COVERAGE, FOCUS, REP_HIST, REP_SELF };

static void divide(const struct running_statistics *s, int scale, double out[TERM_MAX])
{
    struct reward_settings settings = four;
    settings.scale = scale;
    running_divisors(&settings, s, out);
}

static struct running_item item(int64_t dialogue, int32_t turn, int32_t candidate, double value)
{
    return (struct running_item){{dialogue, turn, candidate, 0}, {value, -value, 0.5, 2 * value}};
}

static void plain_divisors_are_population_deviations(void **state)
{
    (void)state;
    struct running_statistics s = {0};
    const struct running_item items[] = {item(0, 1, 0, 1), item(0, 1, 1, 2), item(1, 1, 0, 6)};
    assert_done(running_add(&four, &s, items, 3));
    double d[TERM_MAX];
    divide(&s, SCALE_RUNNING, d);
    double deviation = sqrt((4.0 + 1 + 9) / 3); /* mean 3 */
    assert_close(d[COVERAGE], deviation);
    assert_close(d[FOCUS], deviation);
    assert_close(d[REP_SELF], 2 * deviation);
    assert_close(d[REP_HIST], 1); /* does not vary: below 1e-8 */
}

static void within_divisors_see_only_what_varies_among_candidates(void **state)
{
    (void)state;
    struct running_statistics s = {0};
    /* Groups (1, 3) and (10, 10, 16) about their means: -1 1 times sqrt 2; -2 -2 4 times
     * sqrt(3/2).  Squares: 2 2; 6 6 24.  The lone candidate counts for nothing. */
    const struct running_item items[] = {item(0, 1, 0, 1),  item(0, 1, 1, 3),  item(0, 2, 0, 10),
                                         item(0, 2, 1, 10), item(0, 2, 2, 16), item(1, 1, 0, 99)};
    assert_done(running_add(&four, &s, items, 6));
    double d[TERM_MAX];
    divide(&s, SCALE_WITHIN, d);
    assert_close(d[COVERAGE], sqrt(40.0 / 5));
    assert_close(d[REP_HIST], 1);
    assert_close(s.within[0].count, 5);
    assert_close(s.plain[0].count, 6);
}

static void without_scaling_or_below_two_values_divisors_are_one(void **state)
{
    (void)state;
    struct running_statistics s = {0};
    double d[TERM_MAX];
    const struct running_item items[] = {item(0, 1, 0, 4), item(0, 2, 0, 9)};
    for (int scale = SCALE_NONE; scale <= SCALE_WITHIN; scale++) {
        divide(&s, scale, d);
        assert_close(d[COVERAGE], 1);
    }
    assert_done(running_add(&four, &s, items, 1));
    divide(&s, SCALE_RUNNING, d);
    assert_close(d[COVERAGE], 1);
    assert_done(running_add(&four, &s, items + 1, 1));
    divide(&s, SCALE_NONE, d);
    assert_close(d[COVERAGE], 1);
    divide(&s, SCALE_WITHIN, d);
    assert_close(d[COVERAGE], 1);
    divide(&s, SCALE_RUNNING, d);
    assert_close(d[COVERAGE], 2.5);
}

static void the_order_in_which_items_lie_changes_no_bit(void **state)
{
    (void)state;
    struct running_item items[24], turned[24];
    int64_t count = 0;
    for (int dialogue = 0; dialogue < 3; dialogue++)
        for (int turn = 1; turn <= 2; turn++)
            for (int candidate = 0; candidate < 4; candidate++, count++)
                items[count] = item(dialogue, turn, candidate, sin((double)count * 1.7) / 3);
    for (int64_t i = 0; i < count; i++) turned[i] = items[(i * 7 + 5) % count];
    struct running_statistics a = {0}, b = {0};
    assert_done(running_add(&four, &a, items, count));
    assert_done(running_add(&four, &b, turned, count));
    assert_memory_equal(&a, &b, sizeof a);
}

static void the_flat_form_brings_the_same_statistics_back(void **state)
{
    (void)state;
    struct running_statistics a = {0}, b = {0};
    const struct running_item items[] = {item(0, 1, 0, 1), item(0, 1, 1, 2), item(1, 1, 0, 6)};
    assert_done(running_add(&four, &a, items, 3));
    double flat[RUNNING_MAX];
    assert_int_equal(running_size(&four), 24);
    running_save(&four, &a, flat);
    assert_done(running_load(&four, &b, flat));
    assert_memory_equal(&a, &b, sizeof a);
    flat[2] = -1;
    assert_fails_with(running_load(&four, &b, flat), "coverage", "-1");
    flat[2] = NAN;
    assert_fails_with(running_load(&four, &b, flat), "coverage", "nan");
}

static void two_items_of_one_name_are_refused(void **state)
{
    (void)state;
    struct running_statistics s = {0};
    const struct running_item items[] = {item(5, 1, 0, 1), item(0, 1, 1, 2), item(5, 1, 0, 6)};
    assert_fails_with(running_add(&four, &s, items, 3), "dialogue 5, turn 1, candidate 0", "twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_divisors_are_population_deviations),
        cmocka_unit_test(within_divisors_see_only_what_varies_among_candidates),
        cmocka_unit_test(without_scaling_or_below_two_values_divisors_are_one),
        cmocka_unit_test(the_order_in_which_items_lie_changes_no_bit),
        cmocka_unit_test(the_flat_form_brings_the_same_statistics_back),
        cmocka_unit_test(two_items_of_one_name_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
