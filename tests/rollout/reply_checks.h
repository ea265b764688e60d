/* Replies whose bits must be equal. */
#ifndef REGARD_TESTS_ROLLOUT_REPLY_CHECKS_H
#define REGARD_TESTS_ROLLOUT_REPLY_CHECKS_H

#include "src/rollout/reply.h"
#include "tests/model/model_test.h"

static MODEL_TEST_UNUSED void check_integers(const int32_t *saw, const int32_t *want, int64_t count,
                                             const char *what, int row)
{
    for (int64_t i = 0; i < count; i++)
        if (saw[i] != want[i])
            fail_msg("row %d: %s[%lld] is %d, not %d", row, what, (long long)i, saw[i], want[i]);
}

static MODEL_TEST_UNUSED void check_statistics(const struct statistics *a,
                                               const struct statistics *b, int row)
{
    assert_ptr_equal(a->table, b->table);
    assert_memory_equal(&a->sizes, &b->sizes, sizeof a->sizes);
    for (int i = 0; i < a->table->count; i++) {
        const char *name = a->table->rows[i].name;
        if (a->table->rows[i].encoding == ENCODE_INDEX)
            check_integers(statistics_indices(a, i), statistics_indices(b, i),
                           statistics_numbers(a, i), name, row);
        else
            check_bits(statistics_floats(a, i), statistics_floats(b, i), statistics_numbers(a, i),
                       name, row);
    }
}

static MODEL_TEST_UNUSED void check_equal_rows(const struct reply *saw, const struct reply *want,
                                               int64_t rows)
{
    for (int r = 0; r < rows; r++) {
        const struct reply *a = &saw[r], *b = &want[r];
        if (a->count != b->count)
            fail_msg("row %d has %lld tokens, not %lld", r, (long long)a->count,
                     (long long)b->count);
        assert_int_equal(a->ended, b->ended);
        check_integers(a->tokens, b->tokens, a->count, "tokens", r);
        check_bits(a->logp, b->logp, a->count, "logp", r);
        check_bits(a->token_entropy, b->token_entropy, a->count, "token_entropy", r);
        if (!b->self_certainty)
            assert_null(a->self_certainty);
        else
            check_bits(a->self_certainty, b->self_certainty, a->count, "self_certainty", r);
        check_statistics(&a->statistics, &b->statistics, r);
    }
}

#endif
