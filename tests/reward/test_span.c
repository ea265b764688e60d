/* Credit within a reply: spans to tokens, returns over spans. */
#include "tests/reward/reward_test.h"

#include "src/reward/returns.h"
#include "src/reward/span.h"

static void every_token_gets_the_value_of_its_span(void **state)
{
    (void)state;
    const struct span spans[] = {{0, 2, 1.5}, {2, 2, 9}, {2, 5, -0.25}};
    float values[5];
    assert_done(spans_expand(spans, 3, 5, values));
    const float wanted[5] = {1.5f, 1.5f, -0.25f, -0.25f, -0.25f};
    assert_memory_equal(values, wanted, sizeof wanted);
    assert_done(spans_expand(NULL, 0, 0, values));
}

static void spans_that_do_not_cover_the_reply_are_refused(void **state)
{
    (void)state;
    float values[5];
    const struct span gap[] = {{0, 2, 1}, {3, 5, 1}}, overlap[] = {{0, 3, 1}, {2, 5, 1}};
    const struct span shorter[] = {{0, 4, 1}}, longer[] = {{0, 6, 1}};
    assert_fails_with(spans_expand(gap, 2, 5, values), "[3, 5)", "due at 2");
    assert_fails_with(spans_expand(overlap, 2, 5, values), "[2, 5)", "due at 3");
    assert_fails_with(spans_expand(shorter, 1, 5, values), "5 tokens", "end at 4");
    assert_fails_with(spans_expand(longer, 1, 5, values), "[0, 6)", "5 tokens");
}

/* Two turns of two candidates; in turn 1 candidate 0 has two spans, in turn 2 candidate 1. */
static void fill(struct return_item items[6])
{
    const struct return_item six[6] = {
        {.key = {3, 1, 0, 0}, .reward = 1},
        {.key = {3, 1, 0, 1}, .reward = 2},
        {.key = {3, 1, 1, 0}, .reward = 3, .chosen = true},
        {.key = {3, 2, 0, 0}, .reward = 4},
        {.key = {3, 2, 1, 0}, .reward = 5, .chosen = true},
        {.key = {3, 2, 1, 1}, .reward = 6, .chosen = true},
    };
    memcpy(items, six, sizeof six);
}

static void a_span_is_followed_by_the_next_one_and_the_last_by_the_next_turn(void **state)
{
    (void)state;
    struct reward_settings c = {.discount = 0.5, .lambda = {1, 2}, .lambda_count = 2};
    struct return_item items[6];
    fill(items);
    assert_done(returns_compute(&c, items, 6));
    assert_close(items[5].result, 12);
    assert_close(items[4].result, 10 + 0.5 * 12);
    assert_close(items[3].result, 8);
    assert_close(items[2].result, 3 + 0.5 * 16);
    assert_close(items[1].result, 2 + 0.5 * 8);
    assert_close(items[0].result, 1 + 0.5 * 6);
}

static void with_best_the_last_span_is_followed_by_the_chosen_replys_first(void **state)
{
    (void)state;
    struct reward_settings c = {.discount = 0.5, .continue_best = true};
    struct return_item items[6];
    fill(items);
    assert_done(returns_compute(&c, items, 6));
    assert_close(items[4].result, 5 + 0.5 * 6);
    assert_close(items[1].result, 2 + 0.5 * 8);
    assert_close(items[0].result, 1 + 0.5 * 6);
    assert_close(items[2].result, 3 + 0.5 * 8);
}

static void in_single_turn_only_spans_of_one_reply_follow_each_other(void **state)
{
    (void)state;
    struct reward_settings c = {.discount = 0.5, .single_turn = true};
    struct return_item items[6];
    fill(items);
    assert_done(returns_compute(&c, items, 6));
    assert_close(items[0].result, 1 + 0.5 * 2);
    assert_close(items[1].result, 2);
    assert_close(items[2].result, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_gets_the_value_of_its_span),
        cmocka_unit_test(spans_that_do_not_cover_the_reply_are_refused),
        cmocka_unit_test(a_span_is_followed_by_the_next_one_and_the_last_by_the_next_turn),
        cmocka_unit_test(with_best_the_last_span_is_followed_by_the_chosen_replys_first),
        cmocka_unit_test(in_single_turn_only_spans_of_one_reply_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
