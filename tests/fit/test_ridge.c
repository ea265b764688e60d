/* Fits beside numpy's float64 (tools/reference/fit_ridge.py), and on planted columns. */
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/fit/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct fit_layout layout = {
    .statistic = {"entropy"}, .statistic_count = 1, .layers = 2, .heads = 2};

static double number(const json_t *list, int64_t index)
{
    return json_number_value(json_array_get(list, (size_t)index));
}

static json_t *fixture(struct fit_replies *replies, double **target)
{
    json_t *file;
    assert_null(json_read(REGARD_SOURCE "/tests/fit/ridge.json", &file));
    const json_t *of = json_object_get(file, "replies_of"), *bags = json_object_get(file, "bags");
    const int64_t histories = (int64_t)json_array_size(of), count = (int64_t)json_array_size(bags);
    const int64_t width = fit_layout_width(&layout);
    fit_replies_create(replies, &layout, count, histories);
    *target = memory_allocate((size_t)count * sizeof **target);
    for (int64_t h = 0; h < histories; h++) {
        replies->first[h + 1] = replies->first[h] + (int64_t)number(of, h);
        replies->dialogue[h] = (int64_t)number(json_object_get(file, "dialogue"), h);
    }
    for (int64_t i = 0; i < count; i++) {
        const json_t *dense = json_array_get(json_object_get(file, "dense"), (size_t)i);
        const json_t *bag = json_array_get(bags, (size_t)i);
        for (int64_t w = 0; w < width; w++) replies->dense[i * width + w] = number(dense, w);
        struct word_bag *words = &replies->words[i];
        words->count = (int64_t)json_array_size(bag);
        words->bucket = memory_allocate((size_t)words->count * sizeof *words->bucket);
        for (int64_t b = 0; b < words->count; b++) words->bucket[b] = (int32_t)number(bag, b);
        replies->length[i] = number(json_object_get(file, "length"), i);
        (*target)[i] = number(json_object_get(file, "target"), i);
    }
    return file;
}

static void close_to(double is, double wanted, const char *what, int64_t at)
{
    /* Two ways to the same numbers through solutions of a condition below 1e4. */
    if (!(fabs(is - wanted) <= 1e-9 * (1 + fabs(wanted))))
        fail_msg("%s %lld is %.15g, not %.15g", what, (long long)at, is, wanted);
}

static void correlations_strengths_and_scores_are_numpys(void **state)
{
    (void)state;
    struct fit_replies replies;
    double *target;
    json_t *file = fixture(&replies, &target);
    struct fit_problem problem;
    fit_problem_create(&replies, target, 1, &problem);
    const json_t *one, *cases = json_object_get(file, "cases");
    size_t c;
    assert_int_equal(json_array_size(cases), 4);
    json_array_foreach(cases, c, one)
    {
        unsigned sets;
        struct fit_validation validation;
        struct fit fit;
        assert_null(fit_sets_parse(json_string_value(json_object_get(one, "sets")), "case", &sets));
        assert_null(fit_validate(&problem, sets, 1, 1, &validation));
        const json_t *wanted = json_object_get(one, "correlation");
        assert_int_equal(json_array_size(wanted), problem.used);
        for (int64_t u = 0; u < problem.used; u++)
            close_to(validation.correlation[u], number(wanted, u), "correlation", u);
        assert_float_equal(validation.strength, json_number_value(json_object_get(one, "strength")),
                           0);
        assert_true(fit_final(&problem, &validation, 0, &fit));
        const int64_t width = fit_layout_width(&layout);
        for (int64_t i = 0; i < replies.count; i++) {
            /* numpy's has no weights for words of histories that teach nothing either. */
            const double score =
                fit_score(&fit, replies.dense + i * width, &replies.words[i], replies.length[i]);
            close_to(score, number(json_object_get(one, "score"), i), "score", i);
        }
        fit_free(&fit);
        fit_validation_free(&validation);
    }
    fit_problem_free(&problem);
    fit_replies_free(&replies);
    free(target);
    json_decref(file);
}

/* 60 histories of 8 replies of 30 dialogues, columns 0 to 3 as a test plants them. */
enum { HISTORIES = 60, EACH = 8 };

static double uniform(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / 0x1p24;
}

static void planted(struct fit_replies *replies, double *target)
{
    const int64_t width = fit_layout_width(&layout);
    uint32_t seed = 3;
    fit_replies_create(replies, &layout, HISTORIES * EACH, HISTORIES);
    for (int64_t h = 0; h < HISTORIES; h++) {
        replies->first[h + 1] = (h + 1) * EACH;
        replies->dialogue[h] = h / 2;
        const double own = uniform(&seed);
        for (int64_t i = h * EACH; i < (h + 1) * EACH; i++) {
            double *dense = replies->dense + i * width;
            replies->length[i] = 3 + floor(20 * uniform(&seed));
            target[i] = uniform(&seed) + replies->length[i] / 20;
            dense[0] = target[i];              /* attention: the target */
            dense[4] = uniform(&seed);         /* logprob: noise */
            dense[8] = replies->length[i] * 3; /* overlap: length, and the history's own */
            dense[9] = own;
            replies->words[i].bucket = memory_allocate(2 * sizeof(int32_t));
            replies->words[i].bucket[0] = (int32_t)(7 * h); /* words: the history's own */
            replies->words[i].count = 1;
        }
    }
}

static double mean_of(const double *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i] / (double)count;
    return sum;
}

static void a_fit_finds_the_target_and_nothing_in_noise_length_or_the_history(void **state)
{
    (void)state;
    struct fit_replies replies;
    double target[HISTORIES * EACH], score[FIT_SETS];
    planted(&replies, target);
    struct fit_problem problem;
    fit_problem_create(&replies, target, 1, &problem);
    assert_int_equal(problem.used, HISTORIES);
    for (int set = 0; set < FIT_SETS; set++) {
        struct fit_validation validation;
        assert_null(fit_validate(&problem, 1u << set, 1, 2, &validation));
        score[set] = mean_of(validation.correlation, problem.used);
        /* Its curve is there for all sizes: 48 histories lie outside of a fold. */
        for (int point = 0; point < FIT_CURVE; point++) assert_non_null(validation.curve[point]);
        if (set == FIT_ATTENTION) {
            /* From five labelled histories on a target is found, never with shuffled labels: 7
             * shuffles of a single column agree with it or its opposite. */
            assert_true(mean_of(validation.curve[0], problem.used) > 0.85);
            double null = 0;
            for (int n = 0; n < FIT_NULLS; n++) null += validation.null[n] / FIT_NULLS;
            assert_true(null < 0.6);
        }
        fit_validation_free(&validation);
    }
    /* A target's ranks are nearly linear in it. */
    assert_true(score[FIT_ATTENTION] > 0.85);
    /* The deviation of a mean over 60 histories with 5 directions each: 1/sqrt(300) = 0.06. */
    assert_true(fabs(score[FIT_LOGPROB]) < 0.2);
    assert_float_equal(score[FIT_OVERLAP], 0, 0);
    assert_float_equal(score[FIT_WORDS], 0, 0);
    fit_problem_free(&problem);
    fit_replies_free(&replies);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    struct fit_replies replies;
    double target[HISTORIES * EACH];
    planted(&replies, target);
    struct fit_problem problem;
    fit_problem_create(&replies, target, 1, &problem);
    struct fit_validation one, three;
    assert_null(fit_validate(&problem, 3, 1, 1, &one));
    assert_null(fit_validate(&problem, 3, 1, 3, &three));
    assert_memory_equal(one.correlation, three.correlation, HISTORIES * sizeof(double));
    assert_memory_equal(one.score, three.score, HISTORIES * EACH * sizeof(double));
    assert_memory_equal(one.null, three.null, sizeof one.null);
    for (int point = 0; point < FIT_CURVE; point++)
        assert_memory_equal(one.curve[point], three.curve[point], HISTORIES * sizeof(double));
    fit_validation_free(&one);
    fit_validation_free(&three);
    fit_problem_free(&problem);
    fit_replies_free(&replies);
}

static void a_label_that_length_explains_is_none(void **state)
{
    (void)state;
    struct fit_replies replies;
    double target[HISTORIES * EACH];
    planted(&replies, target);
    /* Ranks of lengths in even steps are linear in them: nothing is left to be learned, and a
     * correlation of 0 would be of rounding. */
    for (int64_t h = 0; h < HISTORIES / 2; h++)
        for (int64_t i = h * EACH; i < (h + 1) * EACH; i++) {
            replies.length[i] = 3 + 2 * (double)(i % EACH);
            target[i] = 10 - replies.length[i];
        }
    struct fit_problem problem;
    fit_problem_create(&replies, target, 1, &problem);
    assert_int_equal(problem.used, HISTORIES - HISTORIES / 2);
    assert_int_equal(problem.history[0], HISTORIES / 2);
    fit_problem_free(&problem);
    fit_replies_free(&replies);
}

static void too_few_dialogues_are_refused(void **state)
{
    (void)state;
    struct fit_replies replies;
    double target[HISTORIES * EACH];
    planted(&replies, target);
    /* Of all but eight dialogues the replies are alike. */
    for (int64_t i = 16 * EACH; i < HISTORIES * EACH; i++) target[i] = 1;
    struct fit_problem problem;
    struct fit_validation validation;
    fit_problem_create(&replies, target, 1, &problem);
    status s = fit_validate(&problem, 1, 1, 1, &validation);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "only 8 dialogues"));
    status_free(s);
    fit_validation_free(&validation);
    fit_problem_free(&problem);
    fit_replies_free(&replies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlations_strengths_and_scores_are_numpys),
        cmocka_unit_test(a_fit_finds_the_target_and_nothing_in_noise_length_or_the_history),
        cmocka_unit_test(a_label_that_length_explains_is_none),
        cmocka_unit_test(threads_change_no_bit), cmocka_unit_test(too_few_dialogues_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
