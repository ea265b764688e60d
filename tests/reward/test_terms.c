/* Coverage, focus, repetitions, the entropy floor and their sum, by hand (docs/reward.md, Terms).
 */
#include "tests/reward/reward_test.h"

#include "src/reward/ngrams.h"
#include "src/reward/terms.h"

static const float entropy[4] = {1.5f, 0.5f, 2.0f, 1.0f};   /* mean 1.25 */
static const float mass[4] = {0.25f, 0.5f, 0.125f, 0.125f}; /* mean 0.25 */
static const int32_t reply[4] = {7, 8, 7, 8};
static const int32_t history[6] = {1, 7, 8, 7, 9, 1};

/* The settings as the configuration gives them: its weights, and every term. */
static struct reward_settings settings_of(void)
{
    struct config c;
    memset(&c, 0, sizeof c);
    c.repetition.n = 2;
    c.floor.delta0 = 0.5;
    c.floor.kappa = 0.1;
    c.reward.alpha = 1;
    c.reward.beta = 0.5;
    c.reward.gamma = 1;
    c.reward.gamma_self = 3;
    return reward_settings_of(&c);
}

enum { COVERAGE, FOCUS, REP_HIST, REP_SELF };

static struct reward_turn turn_of(void)
{
    return (struct reward_turn){.key = {41, 2, 3, 0},
                                .entropy_floored = entropy,
                                .salient_mass = mass,
                                .visible = 10,
                                .salient = 2,
                                .reply = reply,
                                .reply_count = 4,
                                .history = history,
                                .history_count = 6};
}

struct values {
    double of[TERM_MAX];
};

static struct values compute(const struct reward_settings *c, const struct reward_turn *turn)
{
    struct values values;
    assert_done(reward_terms_compute(c, turn, values.of));
    return values;
}

static void the_three_forms_of_coverage(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    assert_close(compute(&c, &turn).of[COVERAGE], 0.25 / 2);
    c.coverage_form = COVERAGE_MASS;
    assert_close(compute(&c, &turn).of[COVERAGE], 0.25);
    c.coverage_form = COVERAGE_LIFT;
    assert_close(compute(&c, &turn).of[COVERAGE], 0.25 * 10 / 2);
}

static void lift_of_uniform_attention_is_one(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    const float uniform[4] = {0.25f, 0.25f, 0.25f, 0.25f};
    turn.salient_mass = uniform;
    turn.visible = 16;
    turn.salient = 4;
    c.coverage_form = COVERAGE_LIFT;
    assert_close(compute(&c, &turn).of[COVERAGE], 1);
}

static void focus_is_the_mean_entropy_negated_and_normalized_by_log_v(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    assert_close(compute(&c, &turn).of[FOCUS], -1.25);
    c.focus_form = FOCUS_NORMALIZED;
    assert_close(compute(&c, &turn).of[FOCUS], -1.25 / log(10));
}

static void normalized_focus_of_one_visible_token_divides_by_one(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    turn.visible = turn.salient = 1;
    c.focus_form = FOCUS_NORMALIZED;
    assert_close(compute(&c, &turn).of[FOCUS], -1.25);
}

static void repetitions_count_ngram_positions(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    /* 78 87 78: all in the history; two distinct of three. */
    assert_close(compute(&c, &turn).of[REP_HIST], 1);
    assert_close(compute(&c, &turn).of[REP_SELF], 1.0 / 3);
    c.repetition_n = 3; /* 787 878: the first is in the history */
    assert_close(compute(&c, &turn).of[REP_HIST], 0.5);
    assert_close(compute(&c, &turn).of[REP_SELF], 0);
    c.repetition_n = 4;
    assert_close(compute(&c, &turn).of[REP_HIST], 0);
}

static void a_reply_shorter_than_n_repeats_nothing(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    c.repetition_n = 5;
    assert_close(compute(&c, &turn).of[REP_HIST], 0);
    assert_close(compute(&c, &turn).of[REP_SELF], 0);
}

static void a_history_shorter_than_n_is_not_repeated(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    turn.history_count = 1;
    assert_close(compute(&c, &turn).of[REP_HIST], 0);
    turn.history_count = 0;
    assert_close(compute(&c, &turn).of[REP_HIST], 0);
}

static void an_empty_reply_or_nothing_visible_makes_all_terms_zero(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    turn.reply_count = 0;
    struct values values = compute(&c, &turn);
    for (int t = 0; t < TERM_MAX; t++) assert_close(values.of[t], 0);
    turn = turn_of();
    turn.visible = turn.salient = 0;
    values = compute(&c, &turn);
    for (int t = 0; t < TERM_MAX; t++) assert_close(values.of[t], 0);
}

static void no_salient_token_makes_coverage_alone_zero(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    turn.salient = 0;
    for (int form = COVERAGE_PAPER; form <= COVERAGE_LIFT; form++) {
        c.coverage_form = form;
        assert_close(compute(&c, &turn).of[COVERAGE], 0);
    }
    assert_close(compute(&c, &turn).of[FOCUS], -1.25);
    assert_close(compute(&c, &turn).of[REP_HIST], 1);
}

static void a_term_that_is_not_finite_is_named_with_its_dialogue_and_turn(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    struct reward_turn turn = turn_of();
    double values[TERM_MAX];
    const float bad[4] = {1, NAN, 1, 1};
    turn.entropy_floored = bad;
    assert_fails_with(reward_terms_compute(&c, &turn, values), "dialogue 41, turn 2", "focus");
    turn = turn_of();
    const float infinite[4] = {1, INFINITY, 1, 1};
    turn.salient_mass = infinite;
    assert_fails_with(reward_terms_compute(&c, &turn, values), "dialogue 41, turn 2", "coverage");
}

static void the_floor_grows_with_the_turn_and_stops_at_log_v(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    assert_close(reward_floor(&c, 1, 100), 0.5);
    assert_close(reward_floor(&c, 4, 100), 0.8);
    assert_close(reward_floor(&c, 4, 2), log(2));
    assert_close(reward_floor(&c, 4, 1), 0);
    assert_close(reward_floor(&c, 4, 0), 0);
    c.floor_form = FLOOR_NONE;
    assert_close(reward_floor(&c, 4, 100), 0);
}

static void the_reward_weighs_terms_over_their_divisors(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    const double values[TERM_MAX] = {0.2, -3, 0.5, 0.25};
    const double divisors[TERM_MAX] = {0.1, 2, 0.25, 0.5};
    assert_close(reward_combine(&c, values, NULL, 9), 0.2 - 1.5 - 0.5 - 0.75);
    assert_close(reward_combine(&c, values, divisors, 9), 2 - 0.75 - 2 - 1.5);
}

static void under_the_length_control_only_the_length_counts_unscaled(void **state)
{
    (void)state;
    struct reward_settings c = settings_of();
    const double values[TERM_MAX] = {0.2, -3, 0.5, 0.25};
    const double divisors[TERM_MAX] = {9, 9, 9, 9};
    c.length_only = true;
    assert_close(reward_combine(&c, values, divisors, 16), -0.25);
}

/* Many n-grams in a small set: every probe chain is walked, and ids, not hashes, decide. */
static void ngrams_are_told_apart_by_their_ids(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    static int32_t ids[COUNT];
    for (int i = 0; i < COUNT; i++) ids[i] = (i * 7919) % 61 - 30;
    struct ngram_set *set;
    assert_done(ngram_set_create(2, COUNT, &set));
    int distinct = 0, wanted = 0;
    for (int i = 0; i + 1 < COUNT; i++) {
        int seen = 0;
        for (int j = 0; j < i && !seen; j++) seen = memcmp(ids + j, ids + i, 8) == 0;
        wanted += !seen;
        distinct += ngram_set_add(set, ids + i);
        assert_true(ngram_set_contains(set, ids + i));
    }
    ngram_set_free(set);
    assert_int_equal(distinct, wanted);
    struct ngram_set *none;
    assert_fails_with(ngram_set_create(0, 4, &none), "n >= 1", "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_of_coverage),
        cmocka_unit_test(lift_of_uniform_attention_is_one),
        cmocka_unit_test(focus_is_the_mean_entropy_negated_and_normalized_by_log_v),
        cmocka_unit_test(normalized_focus_of_one_visible_token_divides_by_one),
        cmocka_unit_test(repetitions_count_ngram_positions),
        cmocka_unit_test(a_reply_shorter_than_n_repeats_nothing),
        cmocka_unit_test(a_history_shorter_than_n_is_not_repeated),
        cmocka_unit_test(an_empty_reply_or_nothing_visible_makes_all_terms_zero),
        cmocka_unit_test(no_salient_token_makes_coverage_alone_zero),
        cmocka_unit_test(a_term_that_is_not_finite_is_named_with_its_dialogue_and_turn),
        cmocka_unit_test(the_floor_grows_with_the_turn_and_stops_at_log_v),
        cmocka_unit_test(the_reward_weighs_terms_over_their_divisors),
        cmocka_unit_test(under_the_length_control_only_the_length_counts_unscaled),
        cmocka_unit_test(ngrams_are_told_apart_by_their_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
