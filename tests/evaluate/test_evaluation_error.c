/* Errors of held-out metrics and of their changes, beside figures worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/config.h"
#include "src/base/memory.h"
#include "src/evaluate/evaluation_error.h"
#include "src/evaluate/evaluation_first.h"
#include "src/evaluate/evaluation_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* An evaluation's parts as the run's first. */
static struct evaluation_first first_of(void)
{
    struct evaluation_first first = {0};
    evaluation_first_take(&first, 0, &evaluation, "");
    return first;
}

/* Lengths 1 to 6, then each 1 longer but the last, 4 longer: changes 1, 1, 1, 1, 1, 4, whose mean
 * is 1.5 and deviation sqrt(7.5 / 5), over sqrt(6).  As if independent it would be about 1.2. */
static void paired_values_give_the_error_of_their_changes(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_LENGTH);
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, d + 1, 1);
    struct evaluation_first first = first_of();
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, d + (d < 5 ? 2 : 5), 1);
    const struct evaluation_change change = evaluation_change(&first, &evaluation, &settings, m);
    assert_true(fabs(change.value - 1.5) < 1e-12);
    assert_true(fabs(change.error - sqrt(7.5 / 5 / 6)) < 1e-12);
    evaluation_first_free(&first);
}

/* Counts 1 and 3 by turns, sums 2: r = 1, apart 1 and -1; then sums of twice the counts: r = 2,
 * none apart.  What is left is the error of before. */
static void changes_of_counts_that_differ(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_ROUGE_L);
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, 2, d % 2 ? 3 : 1);
    struct evaluation_first first = first_of();
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, d % 2 ? 6 : 2, d % 2 ? 3 : 1);
    const struct evaluation_change change = evaluation_change(&first, &evaluation, &settings, m);
    assert_true(fabs(change.value - 1) < 1e-12);
    assert_true(fabs(change.error - sqrt(6. / 5 * 6) / 12) < 1e-12);
    evaluation_first_free(&first);
}

/* Log-probabilities d + 1 less each, all by log 2 more: both halves are d apart, times 2 and 1 of
 * the same value, so the error of the change is that of one. */
static void changes_of_perplexities(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_PERPLEXITY);
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, -(d + 1), 1);
    struct evaluation_first first = first_of();
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, -(d + 1) - log(2), 1);
    const struct evaluation_change change = evaluation_change(&first, &evaluation, &settings, m);
    assert_true(fabs(change.value - exp(3.5)) < 1e-9);
    assert_true(fabs(change.error - exp(3.5) * sqrt(3.5 / 6)) < 1e-9);
    evaluation_first_free(&first);
}

static void changes_of_few_dialogues_have_none(void **state)
{
    (void)state;
    const int64_t m = metric(EVAL_SLOTS);
    for (int d = 0; d < 5; d++) part_set(m, d, d, 1);
    struct evaluation_first first = first_of();
    part_set(m, 0, 0, 0);
    assert_true(isnan(evaluation_change(&first, &evaluation, &settings, m).error));
    evaluation_first_free(&first);
}

/* What is written down reads back bit for bit; a damaged file is told. */
static void the_first_evaluation_comes_back(void **state)
{
    (void)state;
    static char line[] = "{}";
    struct dialogue dialogues[DIALOGUES];
    memset(dialogues, 0, sizeof dialogues);
    for (int d = 0; d < DIALOGUES; d++) dialogues[d].json = line;
    const struct dataset data = {.dialogues = dialogues, .count = DIALOGUES};
    const struct evaluators by = {.generator = NULL};
    const int64_t m = metric(EVAL_LENGTH);
    for (int d = 0; d < DIALOGUES; d++) part_set(m, d, (d + 1) / 3., 2);
    char path[] = "/tmp/regard-first-XXXXXX", lines[SHA256_HEX];
    assert_true(close(mkstemp(path)) == 0);
    assert_null(evaluation_write(path, 7, &settings, &by, &evaluation, &data));
    struct evaluation_first first = {0};
    assert_null(evaluation_first_read(path, &settings, &first));
    assert_null(evaluation_lines(&data, DIALOGUES, lines));
    assert_true(first.there && first.step == 7 && first.dialogues == DIALOGUES);
    assert_string_equal(first.lines, lines);
    for (int d = 0; d < DIALOGUES; d++)
        assert_memory_equal(first.parts[d][m], evaluation.parts[d][m], 2 * sizeof(double));
    evaluation_first_free(&first);
    static const char cut[] = "{\"step\": 7, \"by_dialogue\": {\"lines_sha256\": \"0\", "
                              "\"metrics\": [\"rouge_l\"], \"rows\": [[1]]}}";
    assert_null(file_write(path, cut, strlen(cut)));
    status s = evaluation_first_read(path, &settings, &first);
    assert_non_null(s);
    assert_false(first.there);
    status_free(s);
    unlink(path);
    assert_null(evaluation_first_read(path, &settings, &first));
    assert_false(first.there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_counts_give_the_error_of_a_mean),
        cmocka_unit_test(counts_that_differ_weigh),
        cmocka_unit_test(perplexity_by_its_derivative),
        cmocka_unit_test(few_dialogues_and_no_parts_have_none),
        cmocka_unit_test(paired_values_give_the_error_of_their_changes),
        cmocka_unit_test(changes_of_counts_that_differ),
        cmocka_unit_test(changes_of_perplexities),
        cmocka_unit_test(changes_of_few_dialogues_have_none),
        cmocka_unit_test(the_first_evaluation_comes_back),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
