/* Sources of reward: the set that a run opens, its columns, its controls, and what it refuses. */
#include "tests/reward/reward_test.h"

#include "src/reward/terms.h"
#include "src/source/source.h"

enum { REPLIES = 4000 };

static struct config config_of(const char *sources)
{
    struct config config;
    char assignment[256];
    config_defaults(&config);
    snprintf(assignment, sizeof assignment, "reward.sources=%s", sources);
    assert_done(config_set(&config, assignment));
    return config;
}

static struct source_set *set_of(const struct config *config)
{
    const struct source_settings settings = source_settings_of(config);
    const struct reward_settings reward = reward_settings_of(config);
    struct source_set *set;
    assert_done(sources_open(&settings, &reward, &set));
    return set;
}

static void columns_are_attentions_terms_and_one_a_source_in_the_tables_order(void **state)
{
    (void)state;
    const struct config config = config_of("random:0.25,attention:2,constant");
    const struct reward_settings reward = reward_settings_of(&config);
    const char *const names[] = {"coverage", "focus", "rep_hist", "rep_self", "constant", "random"};
    const double weights[] = {2, 1, -2, -0.0, 1, 0.25};
    assert_int_equal(reward.term_count, 6);
    for (int t = 0; t < 6; t++) {
        assert_string_equal(reward_term_name(&reward, t), names[t]);
        assert_close(reward.terms[t].weight, weights[t]);
        assert_int_equal(reward_term_given(&reward, t), t >= 4);
    }
    const struct config plain = config_of("\"\"");
    assert_int_equal(reward_settings_of(&plain).term_count, 4);
    struct source_set *set = set_of(&plain);
    assert_int_equal(sources_count(set), 0);
    sources_close(set);
}

static void given_terms_stay_as_they_are_and_others_are_computed(void **state)
{
    (void)state;
    const struct config config = config_of("attention,constant:3");
    const struct reward_settings reward = reward_settings_of(&config);
    double value[TERM_MAX] = {[0] = 9, [4] = 0.5, [5] = 9};
    const struct reward_turn empty = {.key = {1, 1, 0, 0}};
    assert_done(reward_terms_compute(&reward, &empty, value));
    assert_close(value[0], 0);
    assert_close(value[4], 0.5);
    assert_close(value[5], 0);
    assert_close(reward_combine(&reward, value, NULL, 0), 1.5);
    value[4] = INFINITY;
    assert_fails_with(reward_terms_compute(&reward, &empty, value), "dialogue 1, turn 1",
                      "constant is not finite");
}

static void random_is_a_fair_coin_of_the_replys_key_and_the_seed_alone(void **state)
{
    (void)state;
    struct config config = config_of("constant,random");
    static struct source_reply replies[REPLIES];
    static double terms[REPLIES][TERM_MAX], again[REPLIES][TERM_MAX];
    for (int i = 0; i < REPLIES; i++) replies[i].key = (struct turn_key){i / 40, i % 5, i % 8, 0};
    struct source_set *set = set_of(&config);
    assert_done(sources_compute(set, replies, REPLIES, terms));
    double ones = 0, with_constant = 0;
    for (int i = 0; i < REPLIES; i++) {
        assert_close(terms[i][0], 1);
        assert_true(terms[i][1] == 0 || terms[i][1] == 1);
        ones += terms[i][1];
        assert_done(sources_compute(set, &replies[i], 1, again));
        with_constant += again[0][1] == terms[i][1];
    }
    assert_int_equal((int)with_constant, REPLIES);                    /* alone or beside others */
    assert_in_range((int)ones, REPLIES / 2 - 130, REPLIES / 2 + 130); /* four deviations */
    sources_close(set);
    config.seed++;
    set = set_of(&config);
    assert_done(sources_compute(set, replies, REPLIES, again));
    double same = 0;
    for (int i = 0; i < REPLIES; i++) same += again[i][1] == terms[i][1];
    assert_in_range((int)same, REPLIES / 2 - 130, REPLIES / 2 + 130);
    sources_close(set);
}

static void the_time_of_each_source_is_told_once(void **state)
{
    (void)state;
    const struct config config = config_of("attention,random");
    static struct source_reply replies[REPLIES];
    static double terms[REPLIES][TERM_MAX];
    double milliseconds[TERM_MAX] = {0};
    struct source_set *set = set_of(&config);
    assert_done(sources_compute(set, replies, REPLIES, terms));
    sources_take_milliseconds(set, milliseconds);
    assert_true(milliseconds[4] > 0);
    assert_close(milliseconds[0], 0);
    milliseconds[4] = 0;
    sources_take_milliseconds(set, milliseconds);
    assert_close(milliseconds[4], 0);
    sources_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_attentions_terms_and_one_a_source_in_the_tables_order),
        cmocka_unit_test(given_terms_stay_as_they_are_and_others_are_computed),
        cmocka_unit_test(random_is_a_fair_coin_of_the_replys_key_and_the_seed_alone),
        cmocka_unit_test(the_time_of_each_source_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
