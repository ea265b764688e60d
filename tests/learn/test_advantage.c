/* Advantages, critic targets and their metrics, by hand. */
#include "tests/reward/reward_test.h"

#include "src/learn/advantage.h"
#include "src/reward/returns.h"

static struct learn_settings settings_of(int kind)
{
    return (struct learn_settings){
        .advantage = kind, .gae_lambda = 0.8, .reward = {.discount = 0.5}};
}

/* Two candidates over two turns of one dialogue: rewards 1 3 / 2 -1, values 0.5 0.5 / 1 2. */
static void fill(struct advantage_item items[4])
{
    const struct advantage_item four[4] = {
        {.key = {0, 1, 0, 0}, .reward = 1, .return_ = 2, .value = 0.5},
        {.key = {0, 1, 1, 0}, .reward = 3, .return_ = 2.5, .value = 0.5, .chosen = true},
        {.key = {0, 2, 0, 0}, .reward = 2, .return_ = 2, .value = 1, .chosen = true},
        {.key = {0, 2, 1, 0}, .reward = -1, .return_ = -1, .value = 2},
    };
    memcpy(items, four, sizeof four);
}

static void turn_advantage_is_return_less_value(void **state)
{
    (void)state;
    struct learn_settings c = settings_of(ADVANTAGE_TURN);
    struct advantage_item items[4];
    fill(items);
    assert_done(advantage_compute(&c, items, 4));
    const double wanted[4] = {1.5, 2, 1, -3};
    for (int i = 0; i < 4; i++) assert_close(items[i].advantage, wanted[i]);
}

static void whitening_takes_mean_and_population_deviation_of_the_batch(void **state)
{
    (void)state;
    struct learn_settings c = settings_of(ADVANTAGE_TURN);
    c.whiten = true;
    struct advantage_item items[4];
    fill(items);
    assert_done(advantage_compute(&c, items, 4));
    const double raw[4] = {1.5, 2, 1, -3}, mean = 0.375;
    double deviation = sqrt((2.25 + 4 + 1 + 9) / 4 - mean * mean);
    for (int i = 0; i < 4; i++)
        assert_close(items[i].advantage, (raw[i] - mean) / (deviation + 1e-8));
}

static void gae_of_each_follows_the_candidate(void **state)
{
    (void)state;
    struct learn_settings c = settings_of(ADVANTAGE_GAE);
    c.reward.lambda[0] = 1;
    c.reward.lambda[1] = 2;
    c.reward.lambda_count = 2;
    struct advantage_item items[4];
    fill(items);
    assert_done(advantage_compute(&c, items, 4));
    assert_close(items[2].advantage, 4 - 1);
    assert_close(items[3].advantage, -2 - 2);
    assert_close(items[0].advantage, 1 + 0.5 * 1 - 0.5 + 0.4 * 3);
    assert_close(items[1].advantage, 3 + 0.5 * 2 - 0.5 + 0.4 * -4);
}

static void gae_of_best_follows_the_chosen_candidate(void **state)
{
    (void)state;
    struct learn_settings c = settings_of(ADVANTAGE_GAE);
    c.reward.continue_best = true;
    struct advantage_item items[4];
    fill(items);
    assert_done(advantage_compute(&c, items, 4));
    assert_close(items[2].advantage, 1);
    assert_close(items[3].advantage, -3);
    assert_close(items[0].advantage, 1 + 0.5 * 1 - 0.5 + 0.4 * 1);
    assert_close(items[1].advantage, 3 + 0.5 * 1 - 0.5 + 0.4 * 1);
}

static void gae_in_single_turn_ends_with_every_turn(void **state)
{
    (void)state;
    struct learn_settings c = settings_of(ADVANTAGE_GAE);
    c.reward.single_turn = true;
    struct advantage_item items[4];
    fill(items);
    assert_done(advantage_compute(&c, items, 4));
    const double wanted[4] = {0.5, 2.5, 1, -3};
    for (int i = 0; i < 4; i++) assert_close(items[i].advantage, wanted[i]);
}

/* A group of three, rewards 1 2 6 (mean 3), and a candidate alone. */
static void fill_group(struct advantage_item items[4])
{
    const struct advantage_item four[4] = {{.key = {0, 1, 0, 0}, .reward = 1},
                                           {.key = {0, 1, 1, 0}, .reward = 2},
                                           {.key = {0, 1, 2, 0}, .reward = 6},
                                           {.key = {1, 1, 0, 0}, .reward = 50}};
    memcpy(items, four, sizeof four);
}

static void assert_group(int form, bool whiten, const double wanted[4])
{
    struct learn_settings c = settings_of(ADVANTAGE_GROUP);
    c.group_form = form;
    c.whiten = whiten;
    struct advantage_item items[4];
    fill_group(items);
    assert_done(advantage_compute(&c, items, 4));
    for (int i = 0; i < 4; i++) assert_close(items[i].advantage, wanted[i]);
}

static void group_baselines_are_the_others_all_or_all_over_deviation(void **state)
{
    (void)state;
    const double rloo[4] = {1 - 4, 2 - 3.5, 6 - 1.5, 0}, mean[4] = {-2, -1, 3, 0};
    double d = sqrt(14.0 / 3) + 1e-6, grpo[4] = {-2 / d, -1 / d, 3 / d, 0};
    assert_group(GROUP_RLOO, false, rloo);
    assert_group(GROUP_MEAN, false, mean);
    assert_group(GROUP_GRPO, false, grpo);
}

/* The one alone too; whitened, over the root of their mean square, nothing taken off. */
static void without_a_baseline_the_reward_is_the_advantage(void **state)
{
    (void)state;
    const double r = sqrt((1 + 4 + 36 + 2500) / 4.0) + 1e-8;
    const double plain[4] = {1, 2, 6, 50}, whitened[4] = {1 / r, 2 / r, 6 / r, 50 / r};
    assert_group(GROUP_NONE, false, plain);
    assert_group(GROUP_NONE, true, whitened);
}

static void whitened_groups_are_divided_by_the_root_mean_square_grpo_is_not(void **state)
{
    (void)state;
    double r = sqrt((9 + 2.25 + 20.25 + 0) / 4) + 1e-8, m = sqrt(14.0 / 4) + 1e-8;
    const double rloo[4] = {-3 / r, -1.5 / r, 4.5 / r, 0}, mean[4] = {-2 / m, -1 / m, 3 / m, 0};
    double d = sqrt(14.0 / 3) + 1e-6, grpo[4] = {-2 / d, -1 / d, 3 / d, 0};
    assert_group(GROUP_RLOO, true, rloo);
    assert_group(GROUP_MEAN, true, mean);
    assert_group(GROUP_GRPO, true, grpo);
}

/* The group above, with the third candidate's 6 in two spans: both get its advantage. */
static void a_groups_baseline_is_of_whole_replies(void **state)
{
    (void)state;
    const double rloo[3] = {1 - 4, 2 - 3.5, 6 - 1.5}, mean[3] = {-2, -1, 3};
    for (int form = GROUP_RLOO; form <= GROUP_MEAN; form++) {
        struct learn_settings c = settings_of(ADVANTAGE_GROUP);
        c.group_form = form;
        struct advantage_item items[5] = {{.key = {0, 1, 0, 0}, .reward = 1},
                                          {.key = {0, 1, 1, 0}, .reward = 2},
                                          {.key = {0, 1, 2, 0}, .reward = 5},
                                          {.key = {0, 1, 2, 1}, .reward = 1},
                                          {.key = {1, 1, 0, 0}, .reward = 50}};
        assert_done(advantage_compute(&c, items, 5));
        const double *wanted = form == GROUP_RLOO ? rloo : mean;
        for (int i = 0; i < 3; i++) assert_close(items[i].advantage, wanted[i]);
        assert_close(items[3].advantage, wanted[2]);
        assert_close(items[4].advantage, 0);
    }
}

static void rewards_that_are_all_equal_give_no_advantage(void **state)
{
    (void)state;
    for (int form = GROUP_RLOO; form <= GROUP_GRPO; form++) {
        struct learn_settings c = settings_of(ADVANTAGE_GROUP);
        c.group_form = form;
        c.whiten = true;
        struct advantage_item items[4];
        fill_group(items);
        for (int i = 0; i < 4; i++) items[i].reward = 0.5;
        assert_done(advantage_compute(&c, items, 4));
        for (int i = 0; i < 4; i++) assert_close(items[i].advantage, 0);
    }
}

static void the_critic_learns_every_return_or_the_best_of_the_turn(void **state)
{
    (void)state;
    struct learn_settings c = settings_of(ADVANTAGE_TURN);
    struct advantage_item items[4];
    fill(items);
    assert_done(advantage_compute(&c, items, 4));
    const double all[4] = {2, 2.5, 2, -1}, best[4] = {2.5, 2.5, 2, 2};
    for (int i = 0; i < 4; i++) assert_close(items[i].target, all[i]);
    c.critic_target = CRITIC_TARGET_BEST;
    assert_done(advantage_compute(&c, items, 4));
    for (int i = 0; i < 4; i++) assert_close(items[i].target, best[i]);
}

static void the_order_in_which_items_lie_changes_no_bit(void **state)
{
    (void)state;
    for (int kind = ADVANTAGE_TURN; kind <= ADVANTAGE_GROUP; kind++) {
        struct learn_settings c = settings_of(kind);
        c.whiten = true;
        struct advantage_item items[30], turned[30];
        memset(items, 0, sizeof items);
        for (int i = 0; i < 30; i++) {
            items[i].key = (struct turn_key){i / 10, 1 + i / 5 % 2, i % 5, 0};
            items[i].reward = sin(i * 1.3);
            items[i].return_ = sin(i * 2.1);
            items[i].value = sin(i * 0.7);
        }
        for (int i = 0; i < 30; i++) turned[i] = items[(i * 7 + 4) % 30];
        assert_done(advantage_compute(&c, items, 30));
        assert_done(advantage_compute(&c, turned, 30));
        for (int i = 0; i < 30; i++) {
            double other = turned[i].advantage;
            assert_memory_equal(&items[(i * 7 + 4) % 30].advantage, &other, sizeof other);
        }
        double a, b;
        assert_done(critic_explained_variance(items, 30, &a));
        assert_done(critic_explained_variance(turned, 30, &b));
        assert_memory_equal(&a, &b, sizeof a);
    }
}

static void explained_variance_is_one_for_a_perfect_critic_and_zero_for_a_constant(void **state)
{
    (void)state;
    struct advantage_item items[4];
    fill(items);
    double share;
    for (int i = 0; i < 4; i++) items[i].target = items[i].value = i * i;
    assert_done(critic_explained_variance(items, 4, &share));
    assert_close(share, 1);
    for (int i = 0; i < 4; i++) items[i].value = 7;
    assert_done(critic_explained_variance(items, 4, &share));
    assert_close(share, 0);
    for (int i = 0; i < 4; i++) items[i].value = i * i / 2.0;
    assert_done(critic_explained_variance(items, 4, &share));
    assert_close(share, 0.75);
    for (int i = 0; i < 4; i++) items[i].target = 3;
    assert_done(critic_explained_variance(items, 4, &share));
    assert_close(share, 0);
}

static void the_share_within_histories_is_of_squares(void **state)
{
    (void)state;
    /* Groups (0, 2) and (4, 6): within 4, about the mean 3: 9 + 1 + 1 + 9. */
    const struct running_item items[4] = {{{0, 1, 0, 0}, {0, 1, 0, 5}},
                                          {{0, 1, 1, 0}, {2, 2, 0, 5}},
                                          {{0, 2, 0, 0}, {4, 1, 0, 6}},
                                          {{0, 2, 1, 0}, {6, 2, 0, 6}}};
    double share[4];
    for (size_t t = 0; t < 4; t++)
        assert_done(share_within(items, sizeof *items,
                                 offsetof(struct running_item, value) + t * sizeof(double), 4,
                                 &share[t]));
    assert_close(share[0], 0.2);
    assert_close(share[1], 1);
    assert_close(share[2], 0);
    assert_close(share[3], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turn_advantage_is_return_less_value),
        cmocka_unit_test(whitening_takes_mean_and_population_deviation_of_the_batch),
        cmocka_unit_test(gae_of_each_follows_the_candidate),
        cmocka_unit_test(gae_of_best_follows_the_chosen_candidate),
        cmocka_unit_test(gae_in_single_turn_ends_with_every_turn),
        cmocka_unit_test(group_baselines_are_the_others_all_or_all_over_deviation),
        cmocka_unit_test(without_a_baseline_the_reward_is_the_advantage),
        cmocka_unit_test(whitened_groups_are_divided_by_the_root_mean_square_grpo_is_not),
        cmocka_unit_test(a_groups_baseline_is_of_whole_replies),
        cmocka_unit_test(rewards_that_are_all_equal_give_no_advantage),
        cmocka_unit_test(the_critic_learns_every_return_or_the_best_of_the_turn),
        cmocka_unit_test(the_order_in_which_items_lie_changes_no_bit),
        cmocka_unit_test(explained_variance_is_one_for_a_perfect_critic_and_zero_for_a_constant),
        cmocka_unit_test(the_share_within_histories_is_of_squares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
