/* Errors of held-out metrics, beside figures worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/config.h"
#include "src/evaluate/evaluation_error.h"

#include <math.h>
#include <stdlib.h>

enum { DIALOGUES = 6 };

static struct evaluate_settings settings;
static struct evaluation evaluation;

static int64_t metric(int of_reply)
{
    return evaluation_first(&settings, GROUP_REPLY) + of_reply;
}

static void part_set(int64_t m, int d, double sum, double count)
{
    evaluation.parts[d][m][0] = sum;
    evaluation.parts[d][m][1] = count;
}

static int open_all(void **state)
{
    (void)state;
    static struct config config;
    config_defaults(&config);
    settings = evaluate_settings_of(&config);
    evaluation = (struct evaluation){.dialogues = DIALOGUES,
                                     .parts = calloc(DIALOGUES, sizeof *evaluation.parts)};
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    evaluation_free(&evaluation);
    return 0;
}

/* One reply a dialogue, of lengths 1 to 6: their deviation is sqrt(3.5), over sqrt(6). */
static void equal_counts_give_the_error_of_a_mean(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_LENGTH);
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, d + 1, 1);
    assert_true(fabs(evaluation_error(&evaluation, &settings, m) - sqrt(3.5 / 6)) < 1e-12);
}

/* Counts 1 and 3 by turns: r = 12 / 12 = 1; each dialogue is 1 away from r times its count. */
static void counts_that_differ_weigh(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_ROUGE_L);
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, 2, d % 2 ? 3 : 1);
    assert_true(fabs(evaluation_error(&evaluation, &settings, m) - sqrt(6. / 5 * 6) / 12) < 1e-12);
}

/* exp(-r): its error is that of r times the value. */
static void perplexity_by_its_derivative(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_PERPLEXITY);
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, -(d + 1), 1);
    evaluation.value[m] = exp(3.5);
    assert_true(fabs(evaluation_error(&evaluation, &settings, m) - exp(3.5) * sqrt(3.5 / 6)) <
                1e-9);
}

static void few_dialogues_and_no_parts_have_none(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_SLOTS);
    for (int d = 0; d < 4; d++) part_set(m, d, d, 1);
    assert_true(isnan(evaluation_error(&evaluation, &settings, m)));
    assert_true(isnan(evaluation_error(&evaluation, &settings, metric(EVAL_BLEU))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_counts_give_the_error_of_a_mean),
        cmocka_unit_test(counts_that_differ_weigh),
        cmocka_unit_test(perplexity_by_its_derivative),
        cmocka_unit_test(few_dialogues_and_no_parts_have_none),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
