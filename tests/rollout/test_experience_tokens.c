/* What a dialogue's rollout computes, against what pairs would cost. */
#include "src/rollout/experience_tokens.h"

#include "tests/model/model_test.h"

static const struct reward_settings reward;
static const struct experience_format format = {&statistics_standard, &reward, 1, 1, {0}};

/* Turn `at`: these tokens, then a reply of `reply` tokens that begin at `first`. */
static void turn_fill(struct experience *one, int at, const int32_t *history, int32_t count,
                      const int32_t *cuts, int32_t cut_count, int32_t first, int32_t reply)
{
    struct experience_turn *turn = &one->turns[at];
    turn->cut_count = cut_count;
    experience_turn_allocate(&format, turn, count, reply, 1);
    memcpy(turn->history_tokens, history, (size_t)count * sizeof *history);
    if (cut_count) memcpy(turn->cuts, cuts, (size_t)cut_count * sizeof *cuts);
    for (int32_t i = 0; i < reply; i++) turn->reply_tokens[i] = first + i;
}

/* Two replies to a history of 5 tokens; the first, of 3, goes on with 4 more and is answered by 2
 * tokens twice, in the same words. */
static struct experience *dialogue_new(void)
{
    static const int32_t history[12] = {1, 2, 3, 4, 5, 20, 21, 22, 6, 7, 8, 9}, cuts[2] = {4, 7};
    struct experience *one = experience_create(&format, 1, 0, 4);
    turn_fill(one, 0, history, 5, NULL, 0, 20, 3);
    turn_fill(one, 1, history, 5, NULL, 0, 30, 4);
    turn_fill(one, 2, history, 12, cuts, 2, 40, 2);
    turn_fill(one, 3, history, 12, cuts, 2, 40, 2);
    return one;
}

static void a_causal_rollout_computes_a_history_once_and_no_reply_again(void **state)
{
    (void)state;
    struct experience *one = dialogue_new();
    struct experience_tokens tokens = {0};
    experience_tokens_add(one, true, &tokens);
    assert_int_equal(tokens.pairs, 8 + 9 + 14 + 14 - 4);
    /* 1 to 4; 5, 20, 21 and 5, 30, 31, 32 as replies' rows; 22, 6, 7, 8; 9, 40 twice. */
    assert_int_equal(tokens.computed, 4 + 3 + 4 + 4 + 2 + 2);
    experience_tokens_add(one, true, &tokens);
    assert_int_equal(tokens.computed, 2 * 19);
    experience_destroy(one);
}

static void an_encoder_reads_equal_histories_once(void **state)
{
    (void)state;
    struct experience *one = dialogue_new();
    struct experience_tokens tokens = {0};
    experience_tokens_add(one, false, &tokens);
    assert_int_equal(tokens.pairs, 45);
    assert_int_equal(tokens.computed, 5 + 12 + 3 + 4 + 2 + 2);
    experience_destroy(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_causal_rollout_computes_a_history_once_and_no_reply_again),
        cmocka_unit_test(an_encoder_reads_equal_histories_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
