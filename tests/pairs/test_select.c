/* Pairs by hand: beyond the margin, the widest first, no ties, nobody twice, nothing blank. */
#include "src/pairs/select.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(const struct pair *found, int64_t count, const struct pair *wanted, int64_t all)
{
    assert_int_equal(count, all);
    for (int64_t i = 0; i < all; i++) {
        assert_int_equal(found[i].chosen, wanted[i].chosen);
        assert_int_equal(found[i].rejected, wanted[i].rejected);
    }
}
#define EXPECT(found, count, ...)                                                                  \
    expect(found, count, (const struct pair[]){__VA_ARGS__},                                       \
           sizeof((const struct pair[]){__VA_ARGS__}) / sizeof(struct pair))

static void the_widest_come_first(void **state)
{
    (void)state;
    char *texts[] = {"a", "b", "c", "d"};
    const double scores[] = {0.5, 0.25, 1, 0.25};
    struct pair out[16];
    /* c over b and d (0.75), c over a (0.5), a over b and d (0.25) */
    EXPECT(out, pairs_of_scores(texts, scores, 4, 0, 16, out), {2, 1}, {2, 3}, {2, 0}, {0, 1},
           {0, 3});
    EXPECT(out, pairs_of_scores(texts, scores, 4, 0.25, 16, out), {2, 1}, {2, 3}, {2, 0});
    EXPECT(out, pairs_of_scores(texts, scores, 4, 0, 2, out), {2, 1}, {2, 3});
    assert_int_equal(pairs_of_scores(texts, scores, 4, 0.75, 16, out), 0);
}

static void equal_scores_and_texts_make_no_pair(void **state)
{
    (void)state;
    char *texts[] = {"a", "a", " \n", "b", ""};
    const double level[] = {0.5, 0.5, 0.5, 0.5, 0.5}, scores[] = {1, 0, 0, 0.5, 0};
    struct pair out[25];
    assert_int_equal(pairs_of_scores(texts, level, 5, 0, 25, out), 0);
    /* the second "a" and the blank replies take no part */
    EXPECT(out, pairs_of_scores(texts, scores, 5, 0, 25, out), {0, 3});
    assert_int_equal(pairs_of_scores(texts, scores, 1, 0, 25, out), 0);
}

static void the_data_s_reply_is_over_sampled_ones_in_their_order(void **state)
{
    (void)state;
    char *texts[] = {"a", "gold", "", "b", "a", "c"};
    const double likeness[] = {0.75, 1, 0, 0.25, 0.75, 0};
    struct pair out[6];
    EXPECT(out, pairs_of_gold(texts, likeness, 6, 0, 6, out), {PAIR_GOLD, 0}, {PAIR_GOLD, 3},
           {PAIR_GOLD, 5});
    EXPECT(out, pairs_of_gold(texts, likeness, 6, 0.25, 6, out), {PAIR_GOLD, 3}, {PAIR_GOLD, 5});
    EXPECT(out, pairs_of_gold(texts, likeness, 6, 0, 1, out), {PAIR_GOLD, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_widest_come_first),
        cmocka_unit_test(equal_scores_and_texts_make_no_pair),
        cmocka_unit_test(the_data_s_reply_is_over_sampled_ones_in_their_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
