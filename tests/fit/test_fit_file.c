/* fit.json comes back as it was, and what is wrong in one is named. */
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/fit/fit_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 4 + LOGPROB_COLUMNS + OVERLAP_COLUMNS };

static char path[] = "/tmp/regard_fit_XXXXXX";

static double numbers[3][WIDTH];
static int32_t buckets[] = {3, 77, 65535};
static double bucket_weights[] = {0.1, -1.0 / 3, 2e-9};

/* A fit on attention and words; its arrays are not owned. */
static struct fit example(void)
{
    struct fit fit = {
        .layout = {.statistic = {"entropy"}, .statistic_count = 1, .layers = 2, .heads = 2},
        .sets = 1u << FIT_ATTENTION | 1u << FIT_WORDS,
        .mean = numbers[0],
        .deviation = numbers[1],
        .weight = numbers[2],
        .bucket = buckets,
        .bucket_weight = bucket_weights,
        .bucket_count = 3,
        .length = {0.25, -1e-3},
        .offset = 0.7,
        .strength = 16,
        .histories = 20,
        .replies = 160};
    for (int w = 0; w < 4; w++) {
        numbers[0][w] = 1.0 / (w + 3);
        numbers[1][w] = 0.1 * (w + 1);
        numbers[2][w] = w - 1.7;
    }
    return fit;
}

static void example_write(void)
{
    const struct fit fit = example();
    const struct fit_about about = {"rouge_l", "data \"x\".jsonl", "model", true};
    json_t *held_out = json_pack("{s:f}", "correlation", 0.25);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fit_write(out, &fit, &about, held_out);
    assert_int_equal(fclose(out), 0);
    json_decref(held_out);
}

static void a_fit_comes_back_and_scores_the_same(void **state)
{
    (void)state;
    example_write();
    const struct fit wanted = example();
    struct fit fit;
    struct fit_about about;
    assert_null(fit_read(path, &fit, &about));
    assert_string_equal(about.target, "rouge_l");
    assert_string_equal(about.data, "data \"x\".jsonl");
    assert_true(about.shuffled);
    double dense[WIDTH];
    for (int w = 0; w < WIDTH; w++) dense[w] = 0.3 * w;
    int32_t held[] = {2, 3, 65535};
    const struct word_bag bag = {held, 3};
    const double score = fit_score(&fit, dense, &bag, 9);
    assert_true(score == fit_score(&wanted, dense, &bag, 9));
    /* By hand: two of three buckets, lengths 9 and 81, four columns. */
    double by_hand = 0.1 + 2e-9 - 0.25 * 9 + 1e-3 * 81 - 0.7;
    for (int w = 0; w < 4; w++) by_hand += (w - 1.7) * (0.3 * w - 1.0 / (w + 3)) / (0.1 * (w + 1));
    assert_float_equal(score, by_hand, 1e-12);
    fit_free(&fit);
}

static void refused(const char *what, const char *with, const char *wanted)
{
    char *text;
    size_t size;
    example_write();
    assert_null(file_read(path, &text, &size));
    char *at = strstr(text, what);
    assert_non_null(at);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "%.*s%s%s", (int)(at - text), text, with, at + strlen(what));
    assert_int_equal(fclose(out), 0);
    free(text);
    struct fit fit;
    struct fit_about about;
    status s = fit_read(path, &fit, &about);
    if (!s) fail_msg("%s in place of %s was taken", with, what);
    if (!strstr(status_message(s), wanted))
        fail_msg("\"%s\" does not say \"%s\"", status_message(s), wanted);
    assert_non_null(strstr(status_message(s), path));
    status_free(s);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refused("regard fit 1", "regard fit 9", "the format is");
    refused("attention,words", "attention,wurds", "\"wurds\" is no set of columns");
    refused("entropy_1_0", "entropy_1_2", "columns[2] is entropy_1_2, not entropy_1_0");
    refused("\"deviation\": 0.1", "\"deviation\": 0", "without a deviation");
    refused("\"layers\": 2", "\"layers\": 3", "columns has 4 values, not 6");
    refused("65536", "1024", "1024 buckets");
    refused("77", "3", "bucket[1] does not ascend");
    refused("65535", "65536", "bucket[2] does not ascend");
    refused("[0.25,", "[", "length has 1 values, not 2");
    refused("\"shuffled\": true", "\"shuffled\": 1", "shuffled is not true or false");
    refused("{\n", "[\n", "");
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static int setup(void **state)
{
    (void)state;
    const int file = mkstemp(path);
    return file < 0 ? -1 : close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_fit_comes_back_and_scores_the_same),
                                       cmocka_unit_test(what_is_wrong_is_named)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
