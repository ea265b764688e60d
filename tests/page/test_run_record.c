/* What a report makes of a run's folder: rows, thinning, and where reward and quality part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/file.h"
#include "src/page/parting.h"
#include "src/page/run_read.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[] = "/tmp/regard-page-XXXXXX";

static void check(status s)
{
    if (s) fail_msg("%s", status_message(s));
}

static struct run_record *run_of(const char *metrics, int64_t rows)
{
    char path[256];
    struct run_record *run;
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    check(file_write(path, metrics, strlen(metrics)));
    check(run_record_read(folder, rows, &run));
    return run;
}

static double value(const struct run_record *run, const char *name, int64_t row)
{
    const struct run_column *column = run_column_find(run, name);
    if (!column) fail_msg("no %s", name);
    return column->value[row];
}

static void lines_of_a_step_are_one_row(void **state)
{
    (void)state;
    struct run_record *run = run_of("{\"step\":0,\"eval_bleu\":1}\n"
                                    "{\"step\":1,\"reward\":2,\"kl\":null}\n"
                                    "{\"step\":1,\"eval_bleu\":3}\n"
                                    "{\"step\":2,\"rew",
                                    10);
    assert_int_equal(run->rows, 2);
    assert_true(isnan(value(run, "reward", 0)));
    assert_true(value(run, "reward", 1) == 2);
    assert_true(value(run, "eval_bleu", 0) == 1 && value(run, "eval_bleu", 1) == 3);
    assert_null(run_column_find(run, "kl"));
    assert_int_equal(run->note_count, 1); /* no config.yaml: the half line is none */
    run_record_free(run);
}

static void lines_that_are_none_are_noted(void **state)
{
    (void)state;
    struct run_record *run = run_of("{\"step\":1,\"reward\":2}\nwhat\n{\"reward\":1}\n"
                                    "{\"step\":0,\"reward\":9}\n{\"step\":2,\"reward\":3}\n",
                                    10);
    assert_int_equal(run->rows, 2);
    assert_true(value(run, "reward", 0) == 2 && value(run, "reward", 1) == 3);
    assert_int_equal(run->note_count, 4);
    assert_non_null(strstr(run->notes[1], "metrics.jsonl:2"));
    assert_non_null(strstr(run->notes[2], "metrics.jsonl:3"));
    assert_non_null(strstr(run->notes[3], "metrics.jsonl:4"));
    run_record_free(run);
}

/* Five lines as two rows: three and two of them. */
static void thinned_rows_are_means_and_last_evaluations(void **state)
{
    (void)state;
    struct run_record *run =
        run_of("{\"step\":1,\"reward\":1,\"eval_bleu\":5,\"time_learn\":1}\n"
               "{\"step\":2,\"reward\":2,\"audit_alarm\":1,\"time_slowest\":1,\"time_learn\":2}\n"
               "{\"step\":3,\"reward\":6,\"audit_alarm\":0,\"time_slowest\":4}\n"
               "{\"step\":4,\"reward\":1,\"eval_bleu\":7}\n"
               "{\"step\":5,\"eval_bleu\":8,\"time_save\":3,\"time_save_max\":3}\n",
               2);
    assert_int_equal(run->rows, 2);
    assert_int_equal(run->lines, 3);
    assert_true(run->step[0] == 3 && run->step[1] == 5);
    assert_true(value(run, "reward", 0) == 3 && value(run, "reward", 1) == 1);
    assert_true(value(run, "eval_bleu", 0) == 5 && value(run, "eval_bleu", 1) == 8);
    assert_true(value(run, "audit_alarm", 0) == 1 && isnan(value(run, "audit_alarm", 1)));
    assert_true(value(run, "time_slowest", 0) == 4);
    /* Seconds add up, since a line leaves out a kind that took none. */
    assert_true(value(run, "time_learn", 0) == 3 && value(run, "time_learn", 1) == 0);
    assert_true(value(run, "time_save", 0) == 0 && value(run, "time_save", 1) == 3);
    assert_true(parting_by_audit(run) == 3);
    run_record_free(run);
}

/* Reward 1, 1, then 3, 2: higher from the second interval on; BLEU falls at step 2, where the
 * reward has no earlier interval to be higher than, rises at 4 and falls again at 6. */
static void parts_where_reward_rose_and_quality_fell(void **state)
{
    (void)state;
    struct run_record *run =
        run_of("{\"step\":0,\"eval_bleu\":5,\"eval_perplexity\":2,\"eval_reward\":1}\n"
               "{\"step\":1,\"reward\":1}\n"
               "{\"step\":2,\"reward\":1}\n{\"step\":2,\"eval_bleu\":4,\"eval_perplexity\":2}\n"
               "{\"step\":4,\"reward\":3}\n{\"step\":4,\"eval_bleu\":6,\"eval_perplexity\":3}\n"
               "{\"step\":6,\"reward\":2}\n{\"step\":6,\"eval_bleu\":4,\"eval_perplexity\":1}\n",
               10);
    assert_true(parting_by_metric(run, "eval_bleu") == 6);
    assert_true(parting_by_metric(run, "eval_perplexity") == 4);
    assert_true(isnan(parting_by_metric(run, "eval_rouge_l")));
    assert_true(isnan(parting_by_audit(run)));
    assert_string_equal(parting_quality(run), "eval_bleu");
    assert_false(parting_is_quality(run, "eval_reward"));
    run_record_free(run);
}

/* The fall is 1; the error of the difference 0.5 at step 4 (hypot of 0.3 and 0.4), 0.32 at 6. */
static void a_fall_within_two_errors_is_none(void **state)
{
    (void)state;
    struct run_record *run =
        run_of("{\"step\":0,\"eval_bleu\":5,\"eval_bleu_error\":0.3}\n"
               "{\"step\":2,\"reward\":1}\n{\"step\":2,\"eval_bleu\":5,\"eval_bleu_error\":0.1}\n"
               "{\"step\":4,\"reward\":3}\n{\"step\":4,\"eval_bleu\":4,\"eval_bleu_error\":0.4}\n"
               "{\"step\":6,\"reward\":2}\n{\"step\":6,\"eval_bleu\":4,\"eval_bleu_error\":0.1}\n",
               10);
    assert_true(parting_by_metric(run, "eval_bleu") == 6);
    assert_false(parting_is_quality(run, "eval_bleu_error"));
    run_record_free(run);
}

/* The fall is 1 and its paired error 0.2 at step 6, though the two errors give 0.57; at 4 it is
 * 0.6. */
static void a_paired_error_counts_before_two(void **state)
{
    (void)state;
    struct run_record *run = run_of(
        "{\"step\":0,\"eval_rouge_l\":5,\"eval_rouge_l_error\":0.4}\n"
        "{\"step\":2,\"reward\":1}\n{\"step\":2,\"eval_rouge_l\":5,\"eval_rouge_l_error\":0.4,"
        "\"eval_rouge_l_change\":0,\"eval_rouge_l_change_error\":0.1}\n"
        "{\"step\":4,\"reward\":3}\n{\"step\":4,\"eval_rouge_l\":4,\"eval_rouge_l_error\":0.1,"
        "\"eval_rouge_l_change\":-1,\"eval_rouge_l_change_error\":0.6}\n"
        "{\"step\":6,\"reward\":2}\n{\"step\":6,\"eval_rouge_l\":4,\"eval_rouge_l_error\":0.4,"
        "\"eval_rouge_l_change\":-1,\"eval_rouge_l_change_error\":0.2}\n",
        10);
    assert_true(parting_by_metric(run, "eval_rouge_l") == 6);
    assert_false(parting_is_quality(run, "eval_rouge_l_change"));
    run_record_free(run);
}

static void audits_and_terms(void **state)
{
    (void)state;
    struct run_record *run =
        run_of("{\"step\":1,\"reward\":1,\"rouge\":1,\"rouge_scaled\":1}\n"
               "{\"step\":2,\"audit_alarm\":0,\"eval_rouge\":1}\n{\"step\":4,\"audit_alarm\":1}\n"
               "{\"step\":6,\"audit_alarm\":1}\n",
               10);
    assert_true(parting_by_audit(run) == 4);
    assert_false(parting_is_quality(run, "eval_rouge")); /* it is the reward itself */
    assert_null(parting_quality(run));
    run_record_free(run);
}

static void seconds_of_ranks_add_up(void **state)
{
    (void)state;
    struct run_record *run =
        run_of("{\"step\":1,\"time_by_rank\":{\"learn\":[1,2]}}\n"
               "{\"step\":2,\"time_by_rank\":{\"learn\":[3,0.5],\"send\":[1,1]}}\n",
               10);
    const json_t *learn = json_object_get(run->by_rank, "learn");
    assert_true(json_real_value(json_array_get(learn, 0)) == 4);
    assert_true(json_real_value(json_array_get(learn, 1)) == 2.5);
    assert_int_equal(json_array_size(json_object_get(run->by_rank, "send")), 2);
    run_record_free(run);
}

/* NULL: it has no such key. */
static const char *value_of(const struct setting_list *settings, const char *key)
{
    for (int64_t i = 0; i < settings->count; i++)
        if (!strcmp(settings->list[i].key, key)) return settings->list[i].value;
    return NULL;
}

static void settings_of_any_version_are_read(void **state)
{
    (void)state;
    static const char text[] = "seed: 1\npolicy:\n  lr: 1.0e-4\n  none: \"\"\nlist: [1, 2]\n"
                               "unknown: {deep: {er: x}}\n";
    struct setting_list settings;
    check(settings_read("it", text, strlen(text), &settings));
    assert_int_equal(settings.count, 5);
    assert_string_equal(value_of(&settings, "policy.lr"), "1.0e-4");
    assert_string_equal(value_of(&settings, "policy.none"), "");
    assert_string_equal(value_of(&settings, "list"), "[1, 2]");
    assert_string_equal(value_of(&settings, "unknown.deep.er"), "x");
    settings_free(&settings);
    status s = settings_read("it", "a: [", 4, &settings);
    assert_int_equal(status_code(s), STATUS_INPUT);
    status_free(s);
}

static void names_tell_runs_apart(void **state)
{
    (void)state;
    struct run_record a = {.path = strdup("/x/one/run")}, b = {.path = strdup("/x/two/run")},
                      c = {.path = strdup("three")};
    struct run_record *const runs[] = {&a, &b, &c};
    run_records_name(runs, 3);
    assert_string_equal(a.name, "one/run");
    assert_string_equal(b.name, "two/run");
    assert_string_equal(c.name, "three");
    for (int i = 0; i < 3; i++) {
        free(runs[i]->path);
        free(runs[i]->name);
    }
}

/* Eight levels of ten aliases each are 10^8 settings in half a kilobyte. */
static void aliases_do_not_multiply(void **state)
{
    (void)state;
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof text, "l0: &l0 {k: 1}\n");
    for (int level = 1; level < 8; level++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "l%d: &l%d {", level, level);
        for (int i = 0; i < 10; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%sk%d: *l%d", i ? ", " : "",
                                     i, level - 1);
        used += (size_t)snprintf(text + used, sizeof text - used, "}\n");
    }
    struct setting_list settings;
    status s = settings_read("config.yaml", text, used, &settings);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "more than 20000 settings"));
    assert_int_equal(settings.count, 0);
    status_free(s);
    check(settings_read("config.yaml", "a: &a {b: 1}\nc: *a\n", 19, &settings));
    assert_int_equal(settings.count, 2);
    assert_string_equal(value_of(&settings, "c.b"), "1");
    settings_free(&settings);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aliases_do_not_multiply),
        cmocka_unit_test(lines_of_a_step_are_one_row),
        cmocka_unit_test(lines_that_are_none_are_noted),
        cmocka_unit_test(thinned_rows_are_means_and_last_evaluations),
        cmocka_unit_test(parts_where_reward_rose_and_quality_fell),
        cmocka_unit_test(a_fall_within_two_errors_is_none),
        cmocka_unit_test(a_paired_error_counts_before_two),
        cmocka_unit_test(audits_and_terms),
        cmocka_unit_test(seconds_of_ranks_add_up),
        cmocka_unit_test(settings_of_any_version_are_read),
        cmocka_unit_test(names_tell_runs_apart),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    status_free(directory_remove(folder));
    return failed;
}
