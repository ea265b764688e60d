/* Figures and verdicts of planted sources. */
#include "src/base/memory.h"
#include "src/probe/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIALOGUES = 100, HISTORIES = 200, EACH = 8, COUNT = HISTORIES * EACH };

static int64_t first[HISTORIES + 1], dialogue[HISTORIES];
static double length[COUNT], metric[COUNT], noise[COUNT], own[COUNT];
static const struct probe_replies replies = {COUNT, HISTORIES, first, dialogue, length};
static struct bootstrap bootstrap;

static double uniform(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / 0x1p24;
}

/* A metric that half follows length, histories of differing level. */
static int setup(void **state)
{
    (void)state;
    uint32_t seed = 11;
    for (int64_t h = 0; h < HISTORIES; h++) {
        first[h + 1] = (h + 1) * EACH;
        dialogue[h] = h / 2;
        const double level = 5 * uniform(&seed);
        for (int64_t i = first[h]; i < first[h + 1]; i++) {
            length[i] = 2 + floor(30 * uniform(&seed));
            noise[i] = uniform(&seed);
            metric[i] = level + uniform(&seed) + length[i] / 30;
            own[i] = level;
        }
    }
    bootstrap_create(&bootstrap, DIALOGUES, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bootstrap_free(&bootstrap);
    return 0;
}

static enum verdict verdict(const double *value, struct source_figures *source,
                            struct pair_figures *pair)
{
    *source = source_figures(&replies, &bootstrap, value);
    *pair = pair_figures(&replies, &bootstrap, value, metric, NULL);
    return verdict_of(source, pair, false);
}

static void the_metric_itself_is_told_and_its_best_is_the_greatest(void **state)
{
    (void)state;
    struct source_figures source;
    struct pair_figures pair;
    assert_int_equal(verdict(metric, &source, &pair), VERDICT_ITSELF);
    assert_float_equal(pair.correlation.value, 1, 1e-12);
    assert_float_equal(pair.without_length.value, 1, 1e-9);
    assert_float_equal(pair.pairs_right.value, 1, 0);
    assert_int_equal(pair.distinct, HISTORIES);
    double best = 0, random = 0;
    for (int64_t h = 0; h < HISTORIES; h++) {
        double most = -INFINITY;
        for (int64_t i = first[h]; i < first[h + 1]; i++) {
            most = fmax(most, metric[i]);
            random += metric[i] / COUNT;
        }
        best += most / HISTORIES;
    }
    assert_float_equal(pair.best.value, best, 1e-9);
    assert_float_equal(pair.random.value, random, 1e-9);
    assert_true(fabs(pair.gain.value - (best - random)) < 1e-9);
    /* Levels up to 5 apart, values within a history about 0.4: a share of some percent. */
    assert_true(source.within.value > 0.02 && source.within.value < 0.15);
    assert_string_equal(verdict_scale(&source), "reward.scale: within, advantage: group");
}

static void a_source_that_follows_the_metric_beyond_length_teaches(void **state)
{
    (void)state;
    struct source_figures source;
    struct pair_figures pair;
    double value[COUNT];
    for (int64_t i = 0; i < COUNT; i++) value[i] = metric[i] - own[i] + noise[i];
    assert_int_equal(verdict(value, &source, &pair), VERDICT_TEACHES);
    for (int64_t i = 0; i < COUNT; i++) value[i] = -value[i];
    assert_int_equal(verdict(value, &source, &pair), VERDICT_AGAINST);
}

static void noise_teaches_nothing(void **state)
{
    (void)state;
    struct source_figures source;
    struct pair_figures pair;
    assert_int_equal(verdict(noise, &source, &pair), VERDICT_NOTHING);
    assert_true(fabs(pair.correlation.value) < 4 * pair.correlation.error);
    /* The error of a mean of 200 correlations of 8 ranks: 1/sqrt(7)/sqrt(200) = 0.027. */
    assert_float_equal(pair.correlation.error, 0.027, 0.006);
    assert_true(source.within.value > 0.8);
}

static void length_is_told_though_it_correlates(void **state)
{
    (void)state;
    struct source_figures source;
    struct pair_figures pair;
    assert_int_equal(verdict(length, &source, &pair), VERDICT_LENGTH);
    assert_float_equal(source.length.value, 1, 1e-12);
    assert_true(pair.correlation.value > 10 * pair.correlation.error);
    /* And so is what is length and noise. */
    double value[COUNT];
    for (int64_t i = 0; i < COUNT; i++) value[i] = length[i] + 20 * noise[i];
    assert_int_equal(verdict(value, &source, &pair), VERDICT_LENGTH);
}

static void what_belongs_to_the_history_alone_is_told(void **state)
{
    (void)state;
    struct source_figures source;
    struct pair_figures pair;
    assert_int_equal(verdict(own, &source, &pair), VERDICT_SAME);
    assert_float_equal(source.within.value, 0, 1e-12);
    assert_int_equal(source.varied, 0);
    assert_float_equal(pair.gain.value, 0, 1e-9);
    /* A constant has no variance to lie anywhere. */
    double value[COUNT];
    for (int64_t i = 0; i < COUNT; i++) value[i] = 0.1;
    assert_int_equal(verdict(value, &source, &pair), VERDICT_SAME);
    assert_true(isnan(source.within.value));
}

static void a_metric_without_outcomes_gives_no_verdict(void **state)
{
    (void)state;
    double same[COUNT] = {0};
    for (int64_t i = 4 * EACH; i < COUNT; i++) same[i] = i < 6 * EACH ? NAN : 1;
    for (int64_t h = 0; h < 4; h++) same[h * EACH] = 1;
    const struct source_figures source = source_figures(&replies, &bootstrap, noise);
    const struct pair_figures pair = pair_figures(&replies, &bootstrap, noise, same, NULL);
    assert_int_equal(pair.distinct, 4);
    assert_int_equal(pair.dialogues, 2);
    assert_int_equal(verdict_of(&source, &pair, false), VERDICT_FEW);
    /* Of 198 histories with the metric 194 are all right, 4 have one right reply of 8. */
    assert_float_equal(pair.random.value, (194 + 4.0 / 8) / 198, 1e-12);
}

static void four_dialogues_are_too_few_and_the_same_in_all_is_unknown(void **state)
{
    (void)state;
    enum { TURNS = 10, N = 50 * 4 };
    static const double x[] = {1, 3, 2, 4}, y[] = {2, 1, 3, 4};
    int64_t begin[51], of[50];
    double value[N], target[N], long_[N];
    for (int64_t h = 0; h < 50; h++) {
        begin[h] = h * 4;
        begin[h + 1] = (h + 1) * 4;
        of[h] = h / TURNS;
        for (int64_t i = 0; i < 4; i++) {
            value[h * 4 + i] = x[i];
            target[h * 4 + i] = y[i];
            long_[h * 4 + i] = 5;
        }
    }
    /* Histories enough, all of one dialogue: an error of 0 is no certainty. */
    for (int dialogues = 1; dialogues <= 5; dialogues++) {
        const struct probe_replies some = {dialogues * TURNS * 4, dialogues * TURNS, begin, of,
                                           long_};
        struct bootstrap drawn;
        bootstrap_create(&drawn, dialogues, 1);
        const struct source_figures source = source_figures(&some, &drawn, value);
        const struct pair_figures pair = pair_figures(&some, &drawn, value, target, NULL);
        assert_int_equal(pair.dialogues, dialogues);
        assert_int_equal(verdict_of(&source, &pair, false),
                         dialogues < 5 ? VERDICT_FEW : VERDICT_UNKNOWN);
        bootstrap_free(&drawn);
    }
}

static void few_pairs_in_order_are_not_the_metric_itself_nor_is_a_control(void **state)
{
    (void)state;
    /* Two replies a history: a coin orders 5 such pairs once in 32 times. */
    enum { N = 30 };
    int64_t begin[N + 1], of[N];
    double value[2 * N], target[2 * N], long_[2 * N];
    for (int64_t h = 0; h <= N; h++) begin[h] = 2 * h;
    for (int64_t i = 0; i < 2 * N; i++) {
        of[i / 2] = i / 2;
        value[i] = (double)((i * 7) % 11);
        target[i] = i % 2 ? value[i] > value[i - 1] : value[i] > (double)((i * 7 + 7) % 11);
        long_[i] = 5;
    }
    for (int64_t histories = 5; histories <= N; histories += 5) {
        const struct probe_replies some = {2 * histories, histories, begin, of, long_};
        struct bootstrap drawn;
        bootstrap_create(&drawn, histories, 1);
        const struct source_figures source = source_figures(&some, &drawn, value);
        const struct pair_figures pair = pair_figures(&some, &drawn, value, target, NULL);
        assert_int_equal(pair.pairs, histories);
        assert_float_equal(pair.pairs_right.value, 1, 0);
        assert_int_equal(verdict_of(&source, &pair, false),
                         histories < 30 ? VERDICT_UNKNOWN : VERDICT_ITSELF);
        assert_int_equal(verdict_of(&source, &pair, true), VERDICT_UNKNOWN);
        bootstrap_free(&drawn);
    }
}

static void lengths_that_explain_all_do_not_make_every_source_length(void **state)
{
    (void)state;
    /* Three replies a history: nothing is left beside length and its square. */
    enum { N = 60 };
    int64_t begin[21], of[20];
    double value[N], target[N], long_[N];
    uint32_t seed = 3;
    for (int64_t h = 0; h < 20; h++) {
        begin[h] = h * 3;
        begin[h + 1] = (h + 1) * 3;
        of[h] = h;
        for (int64_t i = h * 3; i < h * 3 + 3; i++) {
            target[i] = uniform(&seed);
            value[i] = target[i] + 0.5 * uniform(&seed);
            long_[i] = 3 + (double)((i * 7) % 11);
        }
    }
    const struct probe_replies three = {N, 20, begin, of, long_};
    struct bootstrap drawn;
    bootstrap_create(&drawn, 20, 1);
    const struct source_figures source = source_figures(&three, &drawn, value);
    const struct pair_figures pair = pair_figures(&three, &drawn, value, target, NULL);
    assert_true(pair.correlation.value > 3 * pair.correlation.error);
    assert_true(isnan(pair.without_length.value));
    assert_int_equal(verdict_of(&source, &pair, false), VERDICT_UNKNOWN);
    bootstrap_free(&drawn);
}

static void some_histories_alone_are_those_of_the_list(void **state)
{
    (void)state;
    bool only[HISTORIES] = {[3] = true, [9] = true};
    const struct pair_figures pair = pair_figures(&replies, &bootstrap, metric, metric, only);
    assert_int_equal(pair.distinct, 2);
    double random = 0;
    for (int64_t i = 0; i < EACH; i++)
        random += (metric[3 * EACH + i] + metric[9 * EACH + i]) / (2 * EACH);
    assert_float_equal(pair.random.value, random, 1e-12);
}

static void standardised_values_have_mean_0_in_a_history_and_deviation_1_within(void **state)
{
    (void)state;
    double value[COUNT], squares = 0;
    within_standardised(&replies, metric, metric, value);
    for (int64_t h = 0; h < HISTORIES; h++) {
        double sum = 0;
        for (int64_t i = first[h]; i < first[h + 1]; i++) {
            sum += value[i];
            squares += value[i] * value[i];
        }
        assert_float_equal(sum, 0, 1e-10);
    }
    assert_float_equal(squares / (COUNT - HISTORIES), 1, 1e-10);
    /* Histories without the metric enter in nothing: the others' values are as if they were not
     * there. */
    double some[COUNT];
    for (int64_t i = 0; i < COUNT; i++) some[i] = i < first[HISTORIES / 2] ? metric[i] : NAN;
    within_standardised(&replies, metric, some, value);
    squares = 0;
    for (int64_t i = 0; i < first[HISTORIES / 2]; i++) squares += value[i] * value[i];
    assert_float_equal(squares / (double)(COUNT - HISTORIES) * 2, 1, 1e-10);
    assert_true(isnan(value[COUNT - 1]));
}

static double second(const double *total)
{
    return total[1];
}

static void an_error_is_that_of_the_dialogues_mean(void **state)
{
    (void)state;
    double sums[DIALOGUES * 2];
    uint32_t seed = 5;
    for (int64_t d = 0; d < DIALOGUES; d++) {
        sums[d * 2] = uniform(&seed);
        sums[d * 2 + 1] = 1;
    }
    double mean = 0, square = 0;
    for (int64_t d = 0; d < DIALOGUES; d++) mean += sums[d * 2] / DIALOGUES;
    for (int64_t d = 0; d < DIALOGUES; d++)
        square += (sums[d * 2] - mean) * (sums[d * 2] - mean) / DIALOGUES;
    const struct figure figure = bootstrap_figure(&bootstrap, sums, 2, figure_ratio);
    assert_float_equal(figure.value, mean, 1e-12);
    /* 1000 resamples know an error to 1/sqrt(2000) = 2.2% of it: four such. */
    assert_float_equal(figure.error, sqrt(square / DIALOGUES), 0.09 * sqrt(square / DIALOGUES));
    /* Every resample draws as many dialogues as there are. */
    assert_float_equal(bootstrap_figure(&bootstrap, sums, 2, second).error, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_metric_itself_is_told_and_its_best_is_the_greatest),
        cmocka_unit_test(a_source_that_follows_the_metric_beyond_length_teaches),
        cmocka_unit_test(noise_teaches_nothing),
        cmocka_unit_test(length_is_told_though_it_correlates),
        cmocka_unit_test(what_belongs_to_the_history_alone_is_told),
        cmocka_unit_test(a_metric_without_outcomes_gives_no_verdict),
        cmocka_unit_test(four_dialogues_are_too_few_and_the_same_in_all_is_unknown),
        cmocka_unit_test(few_pairs_in_order_are_not_the_metric_itself_nor_is_a_control),
        cmocka_unit_test(lengths_that_explain_all_do_not_make_every_source_length),
        cmocka_unit_test(some_histories_alone_are_those_of_the_list),
        cmocka_unit_test(standardised_values_have_mean_0_in_a_history_and_deviation_1_within),
        cmocka_unit_test(an_error_is_that_of_the_dialogues_mean)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
