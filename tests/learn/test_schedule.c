/* Learning rates at the edges of warm-up and decay. */
#include "tests/reward/reward_test.h"

#include "src/learn/schedule.h"

static void constant_rates_rise_over_the_warm_up_and_stay(void **state)
{
    (void)state;
    assert_close(schedule_rate(SCHEDULE_CONSTANT, 8, 4, 0, 10), 2);
    assert_close(schedule_rate(SCHEDULE_CONSTANT, 8, 4, 3, 10), 8);
    assert_close(schedule_rate(SCHEDULE_CONSTANT, 8, 4, 9, 10), 8);
    assert_close(schedule_rate(SCHEDULE_CONSTANT, 8, 0, 0, 10), 8);
}

static void cosine_rates_fall_from_the_end_of_the_warm_up(void **state)
{
    (void)state;
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 2, 1, 10), 8);
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 2, 2, 10), 8);
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 2, 6, 10), 4);
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 2, 4, 10), 4 * (1 + sqrt(0.5)));
    assert_true(schedule_rate(SCHEDULE_COSINE, 8, 2, 9, 10) > 0);
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 2, 10, 10), 0);
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 2, 99, 10), 0);
}

static void a_warm_up_longer_than_the_run_never_decays(void **state)
{
    (void)state;
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 16, 7, 10), 4);
    assert_close(schedule_rate(SCHEDULE_COSINE, 8, 10, 10, 10), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_rates_rise_over_the_warm_up_and_stay),
        cmocka_unit_test(cosine_rates_fall_from_the_end_of_the_warm_up),
        cmocka_unit_test(a_warm_up_longer_than_the_run_never_decays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
