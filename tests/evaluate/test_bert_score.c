/* BERTScore against the package bert_score given the same states
 * (tools/reference/bert_score_cases.py); means and cosines by hand. */
#include "src/base/json.h"
#include "src/evaluate/bert_score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MOST_TOKENS = 16, MOST_WIDTH = 8 };

struct text {
    float rows[MOST_TOKENS * MOST_WIDTH];
    double weights[MOST_TOKENS];
    struct token_states states;
};

static int64_t text_read(const json_t *json, struct text *text)
{
    const json_t *rows = json_object_get(json, "states"),
                 *weights = json_object_get(json, "weights");
    const size_t count = json_array_size(rows), width = json_array_size(json_array_get(rows, 0));
    assert_in_range(count, 1, MOST_TOKENS);
    assert_in_range(width, 2, MOST_WIDTH);
    for (size_t t = 0; t < count; t++) {
        text->weights[t] = json_number_value(json_array_get(weights, t));
        for (size_t i = 0; i < width; i++)
            text->rows[t * width + i] =
                (float)json_number_value(json_array_get(json_array_get(rows, t), i));
    }
    text->states = (struct token_states){text->rows, text->weights, (int64_t)count};
    return (int64_t)width;
}

static void expect_near(double found, const json_t *one, const char *what, size_t index)
{
    double wanted;
    assert_null(json_get_number(one, "case", what, &wanted));
    if (fabs(found - wanted) <= 1e-12 * (1 + fabs(wanted))) return;
    print_error("%s of case %zu: %.15g, bert_score says %.15g\n", what, index, found, wanted);
    fail();
}

static void scores_equal_the_package(void **unused)
{
    (void)unused;
    json_t *fixture;
    assert_null(json_read(REGARD_SOURCE "/tests/evaluate/fixtures/bert_score.json", &fixture));
    const json_t *cases = json_object_get(fixture, "cases");
    assert_int_equal(json_array_size(cases), 200);
    size_t empty = 0;
    for (size_t c = 0; c < 200; c++) {
        struct text reply, reference;
        const json_t *one = json_array_get(cases, c);
        const int64_t width = text_read(json_object_get(one, "reply"), &reply);
        assert_int_equal(text_read(json_object_get(one, "reference"), &reference), width);
        const struct bert_score score = bert_score_of(&reply.states, &reference.states, width);
        expect_near(score.precision, one, "precision", c);
        expect_near(score.recall, one, "recall", c);
        expect_near(score.f1, one, "f1", c);
        empty += score.f1 == 0;
    }
    assert_in_range(empty, 2, 20); /* texts of special tokens alone are among them */
    json_decref(fixture);
}

static void a_text_is_like_itself_and_not_like_nothing(void **unused)
{
    (void)unused;
    const float rows[] = {1, 0, 0, 2, 0, 0};
    const double weights[] = {1, 1, 0};
    const struct token_states text = {rows, weights, 3}, nothing = {rows, weights, 0};
    struct bert_score score = bert_score_of(&text, &text, 2);
    assert_true(score.precision == 1 && score.recall == 1 && score.f1 == 1);
    score = bert_score_of(&text, &nothing, 2);
    assert_true(score.precision == 0 && score.recall == 0 && score.f1 == 0);
}

static void means_are_of_the_tokens_that_count(void **unused)
{
    (void)unused;
    const float rows[] = {1, 0, 3, 4, 100, 100};
    const double weights[] = {1, 1, 0}, none[] = {0, 0, 0};
    double mean[2], other[2] = {4, 4}, zero[2];
    token_states_mean(&(struct token_states){rows, weights, 3}, 2, mean);
    assert_true(mean[0] == 2 && mean[1] == 2);
    token_states_mean(&(struct token_states){rows, none, 3}, 2, zero);
    assert_true(zero[0] == 0 && zero[1] == 0);
    assert_true(fabs(vectors_cosine(mean, other, 2) - 1) < 1e-15);
    assert_true(vectors_cosine(mean, zero, 2) == 0);
    const double right[] = {1, 0}, up[] = {0, 3}, back[] = {-2, 0};
    assert_true(vectors_cosine(right, up, 2) == 0 && vectors_cosine(right, back, 2) == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores_equal_the_package),
                                       cmocka_unit_test(a_text_is_like_itself_and_not_like_nothing),
                                       cmocka_unit_test(means_are_of_the_tokens_that_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
