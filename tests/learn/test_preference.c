/* Losses of reward models and what held-out pairs say, against the float64 oracle:
 * tests/golden/preferences.json, by tools/reference/preference_oracle.py (the file's form is
 * described there). */
#include "tests/reward/reward_test.h"

#include "src/base/json.h"
#include "src/learn/preference.h"

enum { MOST = 64 };

static json_t *fixture;

static int open_fixture(void **state)
{
    (void)state;
    assert_done(json_read(REGARD_SOURCE "/tests/golden/preferences.json", &fixture));
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    json_decref(fixture);
    return 0;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("no number \"%s\"", key);
    return json_number_value(value);
}

static double element(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static void losses_and_derivatives_are_the_oracles(void **state)
{
    const json_t *list = json_object_get(fixture, "losses"), *one;
    size_t i, terry = 0;
    (void)state;
    json_array_foreach(list, i, one)
    {
        const struct preference_settings settings = {number(one, "margin"), number(one, "center"),
                                                     number(one, "smoothing")};
        const double right = number(one, "right"), wrong = number(one, "wrong");
        const bool is_terry =
            !strcmp(json_string_value(json_object_get(one, "form")), "bradley_terry");
        const struct preference_loss saw = is_terry
                                               ? preference_bradley_terry(&settings, right, wrong)
                                               : preference_logistic(&settings, right, wrong);
        terry += is_terry;
        assert_close(saw.loss, number(one, "loss"));
        assert_close(saw.by_right, number(one, "by_right"));
        assert_close(saw.by_wrong, number(one, "by_wrong"));
    }
    assert_true(terry > 20 && i - terry > 10);
}

static void held_out_pairs_say_what_the_oracle_says(void **state)
{
    const json_t *list = json_object_get(fixture, "measures"), *one;
    size_t i, k;
    (void)state;
    json_array_foreach(list, i, one)
    {
        const json_t *given = json_object_get(one, "pairs"), *pair, *bin;
        struct preference_scores pairs[MOST];
        json_array_foreach(given, k, pair)
        {
            assert_true(k < MOST);
            pairs[k] =
                (struct preference_scores){element(pair, 0), element(pair, 1),
                                           (int64_t)element(pair, 2), (int64_t)element(pair, 3)};
        }
        const struct preference_metrics saw =
            preference_measure(pairs, (int64_t)k, json_is_true(json_object_get(one, "apart")));
        assert_int_equal(saw.pairs, k);
        assert_close(saw.accuracy, number(one, "accuracy"));
        assert_close(saw.nll, number(one, "nll"));
        assert_close(saw.ece, number(one, "ece"));
        assert_close(saw.length_correlation, number(one, "length_correlation"));
        assert_close(saw.longer_accuracy, number(one, "longer_accuracy"));
        assert_close(saw.score, number(one, "score"));
        assert_close(saw.score_deviation, number(one, "score_deviation"));
        json_array_foreach(json_object_get(one, "bins"), k, bin)
        {
            assert_true(k < PREFERENCE_BINS);
            assert_int_equal(saw.bins[k].count, element(bin, 0));
            assert_close(saw.bins[k].confidence, element(bin, 1));
            assert_close(saw.bins[k].accuracy, element(bin, 2));
        }
    }
    assert_int_equal(i, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_derivatives_are_the_oracles),
        cmocka_unit_test(held_out_pairs_say_what_the_oracle_says),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
