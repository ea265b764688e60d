/* The columns of a reply, by hand. */
#include "src/base/memory.h"
#include "src/fit/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static const struct message messages[] = {{ROLE_USER, (char *)"I want a red car. Red?", NULL},
                                          {ROLE_ASSISTANT, (char *)"A fast car?", NULL},
                                          {ROLE_USER, (char *)"Yes, a cheap one.", NULL}};
static const float logp[] = {-1, -3, -2}, entropy[] = {0.5f, 1, 1.5f};

static struct fit_reply reply_of(const char *text)
{
    return (struct fit_reply){messages, 3, text, logp, entropy, 3, NULL};
}

static void overlap_counts_words_pairs_and_signs(void **state)
{
    (void)state;
    const struct fit_reply reply = reply_of("A cheap car? A cheap café?");
    double out[OVERLAP_COLUMNS];
    overlap_columns(&reply, out);
    /* a cheap car a cheap café: all but café are in the history; of the prompt a and cheap, of the
     * last reply a and car.  Pairs: "a cheap" stands there, twice of five.  Repeated: a, cheap; the
     * pair "a cheap" once. */
    const double wanted[] = {5.0 / 6, 4.0 / 6, 3.0 / 6, 2.0 / 5, 2.0 / 5,
                             2.0 / 6, 1.0 / 5, 6,       26,      2};
    for (int i = 0; i < OVERLAP_COLUMNS; i++)
        if (fabs(out[i] - wanted[i]) > 1e-12) fail_msg("%d: %g, not %g", i, out[i], wanted[i]);
}

static void an_empty_reply_has_zeros(void **state)
{
    (void)state;
    const struct fit_reply reply = reply_of("");
    double out[OVERLAP_COLUMNS];
    struct word_bag bag;
    overlap_columns(&reply, out);
    for (int i = 0; i < OVERLAP_COLUMNS; i++) assert_true(out[i] == 0);
    bag_columns(&reply, &bag);
    assert_int_equal(bag.count, 0);
    word_bag_free(&bag);
}

static int64_t shared(const char *a, const char *b)
{
    const struct fit_reply one = reply_of(a), two = reply_of(b);
    struct word_bag left, right;
    int64_t count = 0;
    bag_columns(&one, &left);
    bag_columns(&two, &right);
    for (int64_t i = 0; i < left.count; i++) {
        assert_true(i == 0 || left.bucket[i] > left.bucket[i - 1]);
        for (int64_t j = 0; j < right.count; j++) count += left.bucket[i] == right.bucket[j];
    }
    word_bag_free(&left);
    word_bag_free(&right);
    return count;
}

static void bags_hold_words_and_pairs_as_they_are_and_by_place(void **state)
{
    (void)state;
    /* Two words, one pair; the same once more by place. */
    assert_int_equal(shared("cheap lorry", "Cheap lorry!"), 6);
    /* Without order: the words alone. */
    assert_int_equal(shared("cheap lorry", "lorry cheap"), 4);
    assert_int_equal(shared("blue lorry", "green bus"), 0);
    /* A word that is said twice counts once. */
    assert_int_equal(shared("lorry lorry lorry", "lorry lorry lorry"), 4);
}

static void words_of_the_history_stand_for_where_they_were_said_last(void **state)
{
    (void)state;
    /* "red" was said last two messages back, first as the fourth word there; in this history "bus"
     * stands in that place, and the two replies share what place says. */
    static const struct message other[] = {{ROLE_USER, (char *)"we need a bus now", NULL},
                                           {ROLE_ASSISTANT, (char *)"ok", NULL},
                                           {ROLE_USER, (char *)"go", NULL}};
    struct fit_reply red = reply_of("red"), bus = reply_of("bus");
    bus.messages = other;
    struct word_bag a, b;
    bag_columns(&red, &a);
    bag_columns(&bus, &b);
    assert_int_equal(a.count, 2);
    assert_int_equal(b.count, 2);
    int common = 0;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) common += a.bucket[i] == b.bucket[j];
    assert_int_equal(common, 1);
    word_bag_free(&a);
    word_bag_free(&b);
}

static const struct statistic rows[] = {
    {.name = "other", .per = PER_TOKEN},
    {.name = "peak", .per = PER_HEAD},
    {.name = "entropy", .per = PER_HEAD, .reduction = MEAN_OVER_TOKENS}};
static const struct statistic_table table = {rows, 3};

static void dense_columns_are_means_in_the_order_of_the_layout(void **state)
{
    (void)state;
    const struct statistic_sizes sizes = {.turns = 2, .layers = 1, .heads = 2};
    const struct fit_layout layout = fit_layout_of(&table, &sizes);
    struct statistics statistics;
    statistics_allocate(&statistics, &table, &sizes, 3);
    const float peak[] = {1, 10, 2, 20, 6, 30}, means[] = {7, 8};
    memcpy(statistics.array[1], peak, sizeof peak);
    memcpy(statistics.array[2], means, sizeof means);
    struct fit_reply reply = reply_of("yes");
    reply.statistics = &statistics;
    double dense[4 + LOGPROB_COLUMNS + OVERLAP_COLUMNS];
    struct word_bag bag;
    assert_int_equal(fit_layout_width(&layout), 18);
    assert_null(fit_columns(&layout, &reply, dense, &bag));
    /* logprob: mean, least, deviation, mean entropy. */
    const double wanted[] = {3, 20, 7, 8, -2, -3, sqrt(2.0 / 3), 1};
    static const char *const names[] = {"peak_0_0",          "peak_0_1",       "entropy_0_0",
                                        "entropy_0_1",       "logprob_mean",   "logprob_least",
                                        "logprob_deviation", "logprob_entropy"};
    for (int i = 0; i < 8; i++) {
        char name[64];
        fit_layout_name(&layout, i, name);
        assert_string_equal(name, names[i]);
        if (fabs(dense[i] - wanted[i]) > 1e-12) fail_msg("%s is %g", name, dense[i]);
    }
    word_bag_free(&bag);
    /* Another model's heads are refused. */
    struct fit_layout more = layout;
    more.heads = 3;
    double wide[6 + LOGPROB_COLUMNS + OVERLAP_COLUMNS];
    status s = fit_columns(&more, &reply, wide, &bag);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "1 layers x 3 heads"));
    status_free(s);
    statistics_free(&statistics);
}

static void sets_are_read_and_written_by_name(void **state)
{
    (void)state;
    unsigned sets;
    char text[64];
    assert_null(fit_sets_parse("words,attention", "x", &sets));
    fit_sets_text(sets, text);
    assert_string_equal(text, "attention,words");
    assert_null(fit_sets_parse("all", "x", &sets));
    assert_int_equal(sets, (1 << FIT_SETS) - 1);
    status s = fit_sets_parse("", "here", &sets);
    assert_string_equal(status_message(s), "here: no set of columns");
    status_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlap_counts_words_pairs_and_signs),
        cmocka_unit_test(an_empty_reply_has_zeros),
        cmocka_unit_test(bags_hold_words_and_pairs_as_they_are_and_by_place),
        cmocka_unit_test(words_of_the_history_stand_for_where_they_were_said_last),
        cmocka_unit_test(dense_columns_are_means_in_the_order_of_the_layout),
        cmocka_unit_test(sets_are_read_and_written_by_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
