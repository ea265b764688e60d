/* A term of this test's own goes the whole way of a reward: values, running statistics and their
 * flat form, the sum, errors.  Nothing but the settings that are passed knows of it. */
#include "tests/reward/reward_test.h"

#include "src/reward/running.h"
#include "src/reward/terms.h"

/* Share of the reply's tokens that are even. */
static status even_tokens(const struct reward_settings *settings, const struct reward_turn *turn,
                          double *value)
{
    (void)settings;
    *value = 0;
    for (int64_t i = 0; i < turn->reply_count; i++) *value += turn->reply[i] % 2 == 0;
    *value /= (double)turn->reply_count;
    return NULL;
}
static const struct term even = {"even_tokens", even_tokens};

static status no_number(const struct reward_settings *settings, const struct reward_turn *turn,
                        double *value)
{
    (void)settings;
    (void)turn;
    *value = NAN;
    return NULL;
}
static const struct term broken = {"broken", no_number};

enum { EVEN = 4 }; /* behind the four of src/reward */

static const float entropy[4] = {1, 2, 3, 2}, mass[4] = {0.5f, 0.25f, 0.25f, 0};
static const int32_t reply[4] = {2, 3, 4, 6}, history[3] = {8, 9, 1};
static const struct reward_turn turn = {.key = {5, 1, 2, 0},
                                        .entropy_floored = entropy,
                                        .salient_mass = mass,
                                        .visible = 3,
                                        .salient = 1,
                                        .reply = reply,
                                        .reply_count = 4,
                                        .history = history,
                                        .history_count = 3};

static struct reward_settings settings_of(const struct term *own, double weight)
{
    struct config config;
    config_defaults(&config);
    struct reward_settings settings = reward_settings_of(&config);
    assert_done(reward_settings_add(&settings, own, weight));
    return settings;
}

static void an_own_term_is_computed_and_summed_behind_the_others(void **state)
{
    (void)state;
    const struct reward_settings with = settings_of(&even, 3);
    double value[TERM_MAX];
    assert_done(reward_terms_compute(&with, &turn, value));
    assert_string_equal(reward_term_name(&with, EVEN), "even_tokens");
    assert_close(value[EVEN], 0.75);
    assert_close(value[0], 0.25); /* the others are as they were */
    assert_close(value[1], -2);
    assert_close(value[EVEN + 1], 0);
    struct reward_settings without = with;
    without.term_count--;
    assert_close(reward_combine(&with, value, NULL, 4) - reward_combine(&without, value, NULL, 4),
                 3 * 0.75);
    const double divisors[TERM_MAX] = {1, 1, 1, 1, 0.5};
    assert_close(reward_combine(&with, value, divisors, 4) -
                     reward_combine(&without, value, divisors, 4),
                 3 * 0.75 / 0.5);
}

static void an_own_terms_statistics_go_through_the_flat_form(void **state)
{
    (void)state;
    struct reward_settings settings = settings_of(&even, 1);
    settings.scale = SCALE_RUNNING;
    struct running_statistics s = {0}, back = {0};
    const struct running_item items[] = {{{0, 1, 0, 0}, {1, 2, 3, 4, 1}},
                                         {{0, 1, 1, 0}, {1, 2, 3, 4, 2}},
                                         {{1, 1, 0, 0}, {1, 2, 3, 4, 6}}};
    double flat[RUNNING_MAX], divisors[TERM_MAX];
    assert_done(running_add(&settings, &s, items, 3));
    assert_int_equal(running_size(&settings), 2 * 5 * 3);
    running_save(&settings, &s, flat);
    assert_done(running_load(&settings, &back, flat));
    assert_memory_equal(&s, &back, sizeof s);
    running_divisors(&settings, &back, divisors);
    assert_close(divisors[EVEN], sqrt((4.0 + 1 + 9) / 3)); /* about the mean 3 */
    flat[RUNNING_TERM_SIZE * EVEN + 2] = -1;
    assert_fails_with(running_load(&settings, &back, flat), "even_tokens", "-1");
}

static void an_own_term_that_is_not_finite_is_named(void **state)
{
    (void)state;
    const struct reward_settings settings = settings_of(&broken, 1);
    double value[TERM_MAX];
    assert_fails_with(reward_terms_compute(&settings, &turn, value), "dialogue 5, turn 1",
                      "the term broken");
}

static void more_terms_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct reward_settings settings = settings_of(&even, 1);
    while (settings.term_count < TERM_MAX) assert_done(reward_settings_add(&settings, &even, 1));
    char most[16];
    snprintf(most, sizeof most, "%d", (int)TERM_MAX);
    assert_fails_with(reward_settings_add(&settings, &broken, 1), "broken", most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_own_term_is_computed_and_summed_behind_the_others),
        cmocka_unit_test(an_own_terms_statistics_go_through_the_flat_form),
        cmocka_unit_test(an_own_term_that_is_not_finite_is_named),
        cmocka_unit_test(more_terms_than_there_is_room_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
