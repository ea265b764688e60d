/* The estimates of KL and how much one token may count (kl.clamp). */
#include "tests/reward/reward_test.h"

#include "src/reward/returns.h"

static void k3_is_at_most_the_clamp_and_reaches_it_at_both_bounds(void **state)
{
    (void)state;
    const double clamps[] = {1e-3, 1, 10, 1000};
    for (int i = 0; i < 4; i++) {
        const struct kl_bounds b = kl_bounds_of(KL_K3, clamps[i]);
        assert_true(b.low < 0 && b.high > 0);
        /* k1 to 1e-12; k3's slope there is at most 1 + clamp + |k1|. */
        const double tolerance = 1e-12 * (2 + clamps[i] + b.high);
        for (int upper = 0; upper < 2; upper++) {
            const double k1 = upper ? b.high : b.low, k3 = exp(-k1) - 1 + k1;
            if (!(k3 <= clamps[i] && k3 >= clamps[i] - tolerance))
                fail_msg("clamp %g: k3 is %.15g at %.15g", clamps[i], k3, k1);
        }
    }
}

static void within_the_bounds_nothing_changes_and_zero_is_no_bound(void **state)
{
    (void)state;
    const struct kl_bounds ten = kl_bounds_of(KL_K3, 10), none = kl_bounds_of(KL_K3, 0);
    const struct kl_bounds k1 = kl_bounds_of(KL_K1, 3);
    assert_true(kl_bounded(&ten, -2.6) == -2.6 && kl_bounded(&ten, 10.9) == 10.9);
    assert_true(kl_bounded(&ten, -2.7) == ten.low && kl_bounded(&ten, 11.1) == ten.high);
    assert_true(kl_bounded(&none, -700) == -700 && kl_bounded(&none, 700) == 700);
    assert_true(kl_bounded(&k1, -4) == -3 && kl_bounded(&k1, 4) == 3 && kl_bounded(&k1, 2) == 2);
    assert_true(isnan(kl_bounded(&ten, NAN)));
}

static void in_the_reward_one_token_costs_at_most_the_clamp(void **state)
{
    (void)state;
    const float logp[3] = {-12, -1, -1}, reference[3] = {0, -1.5f, -13}; /* k1: -12, 0.5, 12 */
    struct reward_settings c = {.kl_coef = 0.5, .kl_estimator = KL_K3};
    c.kl_bounds = kl_bounds_of(KL_K3, 10);
    assert_true(fabs(reward_kl(&c, logp, reference, 3) - 0.5 * (20 + exp(-0.5) - 1 + 0.5)) < 1e-9);
    c.kl_estimator = KL_K1;
    c.kl_bounds = kl_bounds_of(KL_K1, 10);
    assert_close(reward_kl(&c, logp, reference, 3), 0.5 * (-10 + 0.5 + 10));
    c.kl_bounds = kl_bounds_of(KL_K1, 0);
    assert_close(reward_kl(&c, logp, reference, 2), 0.5 * (-12 + 0.5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(k3_is_at_most_the_clamp_and_reaches_it_at_both_bounds),
        cmocka_unit_test(within_the_bounds_nothing_changes_and_zero_is_no_bound),
        cmocka_unit_test(in_the_reward_one_token_costs_at_most_the_clamp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
