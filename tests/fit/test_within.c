/* Ranks, bases and correlations within a history. */
#include "src/fit/within.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

static void ties_share_the_mean_of_their_places(void **state)
{
    (void)state;
    const double values[] = {3, 1, 3, 7, 1};
    double rank[5];
    within_ranks(values, 5, rank);
    /* Places 3.5, 1.5, 3.5, 5, 1.5 of 1 to 5. */
    const double wanted[] = {0.125, -0.375, 0.125, 0.5, -0.375};
    for (int i = 0; i < 5; i++) assert_float_equal(rank[i], wanted[i], 1e-15);
}

static void bases_are_orthonormal_and_see_neither_constants_nor_length_nor_its_square(void **state)
{
    (void)state;
    const double lengths[][6] = {{3, 8, 5, 20, 11, 9}, {4, 4, 4, 4, 4, 4}, {4, 4, 7, 7, 4, 7}};
    const int64_t wanted[] = {3, 5, 4}; /* 6 less constant, length and square, where they differ */
    for (int c = 0; c < 3; c++) {
        double basis[36];
        int64_t columns;
        within_basis(lengths[c], 6, true, basis, &columns);
        assert_int_equal(columns, wanted[c]);
        for (int64_t a = 0; a < columns; a++) {
            double constant = 0, length = 0, square = 0;
            for (int64_t i = 0; i < 6; i++) {
                constant += basis[i * 6 + a];
                length += basis[i * 6 + a] * lengths[c][i];
                square += basis[i * 6 + a] * lengths[c][i] * lengths[c][i];
            }
            assert_float_equal(constant, 0, 1e-13);
            assert_float_equal(length, 0, 1e-12);
            assert_float_equal(square, 0, 1e-11);
            for (int64_t b = 0; b < columns; b++) {
                double product = 0;
                for (int64_t i = 0; i < 6; i++) product += basis[i * 6 + a] * basis[i * 6 + b];
                assert_float_equal(product, a == b, 1e-13);
            }
        }
        within_basis(lengths[c], 6, false, basis, &columns);
        assert_int_equal(columns, 5);
    }
}

static void a_rank_correlation_is_spearmans(void **state)
{
    (void)state;
    const double a[] = {1, 2, 3, 4, 5}, b[] = {5, 6, 7, 8, 7}, length[] = {1, 1, 1, 1, 1};
    /* scipy.stats.spearmanr of these. */
    assert_float_equal(within_rank_correlation(a, b, length, 5, false), 0.8207826816681233, 1e-12);
    const double same[] = {2, 2, 2, 2, 2};
    assert_true(isnan(within_rank_correlation(a, same, length, 5, false)));
    assert_true(isnan(within_rank_correlation(a, b, length, 1, false)));
    /* One that is the same for all knows nothing of b: that is 0, not unknown. */
    assert_float_equal(within_rank_correlation(same, b, length, 5, false), 0, 0);
}

static void what_length_explains_is_taken_out(void **state)
{
    (void)state;
    /* Ranks of both are the lengths' own: nothing is left to correlate. */
    const double length[] = {1, 2, 3, 4, 5, 6};
    assert_true(isnan(within_rank_correlation(length, length, length, 6, true)));
    /* Ranks -5/10 .. 5/10 of a, b's with places 2 and 5 exchanged: residuals are
     * those of numpy.polyfit(length, rank, 2), their correlation numpy.corrcoef's. */
    const double a[] = {1, 3, 2, 4, 6, 5}, b[] = {1, 2, 4, 3, 6, 5};
    const double expected = 0.15918897764697298;
    assert_float_equal(within_rank_correlation(a, b, length, 6, true), expected, 1e-9);
}

static void three_replies_of_different_length_leave_nothing_beside_it(void **state)
{
    (void)state;
    const double length[] = {4, 9, 6, 7}, a[] = {1, 3, 2, 4}, b[] = {2, 1, 3, 4};
    assert_true(isnan(within_rank_correlation(a, b, length, 2, true)));
    assert_true(isnan(within_rank_correlation(a, b, length, 3, true)));
    /* Of four one direction is left: the correlation is 1 or -1. */
    assert_float_equal(fabs(within_rank_correlation(a, b, length, 4, true)), 1, 1e-9);
    /* What is the same for all is 0 there too. */
    const double same[] = {5, 5, 5, 5};
    assert_float_equal(within_rank_correlation(same, b, length, 4, true), 0, 0);
}

static void pairs_count_ties_as_halves(void **state)
{
    (void)state;
    const double target[] = {1, 0, 0, 1}, value[] = {0.9, 0.1, 0.9, 0.5};
    double right = 0, pairs = 0;
    within_pairs(value, target, 4, &right, &pairs);
    /* 0.9 beats 0.1 and ties with 0.9; 0.5 beats 0.1 alone. */
    assert_float_equal(right, 2.5, 0);
    assert_float_equal(pairs, 4, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_share_the_mean_of_their_places),
        cmocka_unit_test(bases_are_orthonormal_and_see_neither_constants_nor_length_nor_its_square),
        cmocka_unit_test(a_rank_correlation_is_spearmans),
        cmocka_unit_test(what_length_explains_is_taken_out),
        cmocka_unit_test(three_replies_of_different_length_leave_nothing_beside_it),
        cmocka_unit_test(pairs_count_ties_as_halves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
