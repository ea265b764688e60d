/* Returns, turn weights and KL in the reward, by hand. */
#include "tests/reward/reward_test.h"

#include "src/reward/returns.h"

static struct reward_settings settings_of(void)
{
    return (struct reward_settings){
        .discount = 0.5, .lambda = {1, 2}, .lambda_count = 2, .kl_bounds = {-INFINITY, INFINITY}};
}

static void the_last_turn_weight_goes_on_and_none_means_one(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    assert_close(turn_lambda(&c, 1), 1);
    assert_close(turn_lambda(&c, 2), 2);
    assert_close(turn_lambda(&c, 7), 2);
    c.lambda_count = 0;
    assert_close(turn_lambda(&c, 7), 1);
}

static void each_candidate_is_a_dialogue_of_its_own(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    /* Candidate 1 ends after turn 2; dialogue 4 is another one. */
    struct return_item items[] = {
        {{3, 3, 0, 0}, 5, false, 0, false, 0},  {{3, 1, 0, 0}, 1, false, 0, false, 0},
        {{3, 1, 1, 0}, 10, false, 0, false, 0}, {{3, 2, 0, 0}, 3, false, 0, false, 0},
        {{3, 2, 1, 0}, 4, false, 0, false, 0},  {{4, 1, 0, 0}, 7, false, 0, false, 0},
    };
    assert_done(returns_compute(&c, items, 6));
    assert_close(items[0].result, 10);           /* 2 * 5 */
    assert_close(items[3].result, 6 + 0.5 * 10); /* 2 * 3 + ... */
    assert_close(items[1].result, 1 + 0.5 * 11);
    assert_close(items[4].result, 8);
    assert_close(items[2].result, 10 + 0.5 * 8);
    assert_close(items[5].result, 7);
}

static void with_best_all_candidates_share_what_followed_the_chosen_one(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    c.continue_best = true;
    struct return_item items[] = {
        {{3, 1, 0, 0}, 1, false, 0, false, 0},
        {{3, 1, 1, 0}, 2, true, 0, false, 0},
        {{3, 2, 0, 0}, 6, true, 0, false, 0},
        {{3, 2, 1, 0}, 5, false, 0, false, 0},
    };
    assert_done(returns_compute(&c, items, 4));
    assert_close(items[2].result, 12);
    assert_close(items[3].result, 10);
    assert_close(items[0].result, 1 + 0.5 * 12);
    assert_close(items[1].result, 2 + 0.5 * 12);
}

static void with_best_a_turn_without_one_chosen_candidate_is_refused(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    c.continue_best = true;
    struct return_item items[] = {{{3, 1, 0, 0}, 1, true, 0, false, 0},
                                  {{3, 2, 0, 0}, 6, false, 0, false, 0},
                                  {{3, 2, 1, 0}, 5, false, 0, false, 0}};
    assert_fails_with(returns_compute(&c, items, 3), "dialogue 3, turn 2", "0 candidates");
    items[1].chosen = items[2].chosen = true;
    assert_fails_with(returns_compute(&c, items, 3), "dialogue 3, turn 2", "2 candidates");
}

static void a_turn_that_is_missing_is_refused(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct return_item items[] = {{{3, 1, 0, 0}, 1, true, 0, false, 0},
                                  {{3, 3, 0, 0}, 6, false, 0, false, 0}};
    assert_fails_with(returns_compute(&c, items, 2), "dialogue 3", "turn 1 is followed by turn 3");
}

static void in_single_turn_the_return_is_the_reward(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    c.single_turn = true;
    struct return_item items[] = {{{3, 1, 0, 0}, 1.5, false, 0, false, 0},
                                  {{3, 2, 0, 0}, 6, false, 0, false, 0}};
    assert_done(returns_compute(&c, items, 2));
    assert_close(items[0].result, 1.5);
    assert_close(items[1].result, 6);
}

static void kl_in_the_reward_sums_over_tokens(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    const float logp[2] = {-1.0f, -2.5f}, reference[2] = {-1.5f, -2.25f}; /* k1: 0.5, -0.25 */
    c.kl_coef = 0.2;
    c.kl_estimator = KL_K1;
    assert_close(reward_kl(&c, logp, reference, 2), 0.2 * 0.25);
    c.kl_estimator = KL_K3;
    assert_close(reward_kl(&c, logp, reference, 2),
                 0.2 * (exp(-0.5) - 1 + 0.5 + exp(0.25) - 1 - 0.25));
    assert_close(reward_kl(&c, logp, reference, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_turn_weight_goes_on_and_none_means_one),
        cmocka_unit_test(each_candidate_is_a_dialogue_of_its_own),
        cmocka_unit_test(with_best_all_candidates_share_what_followed_the_chosen_one),
        cmocka_unit_test(with_best_a_turn_without_one_chosen_candidate_is_refused),
        cmocka_unit_test(a_turn_that_is_missing_is_refused),
        cmocka_unit_test(in_single_turn_the_return_is_the_reward),
        cmocka_unit_test(kl_in_the_reward_sums_over_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
