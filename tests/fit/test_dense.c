/* The float64 algebra beside plain loops. */
#include "src/base/memory.h"
#include "src/fit/dense.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers in [-1, 1). */
static void fill(double *out, int64_t count, uint32_t seed)
{
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (double)(seed >> 8) / 0x1p23 - 1;
    }
}

/* a a^T + I of [n, width], on and below the diagonal. */
static double *positive_matrix(int64_t n, int64_t width, double *a)
{
    fill(a, n * width, (uint32_t)n);
    double *c = memory_allocate((size_t)(n * n) * sizeof *c);
    for (int64_t i = 0; i < n; i++) c[i * n + i] = 1;
    dense_gram_add(c, n, a, width, width, 0.5);
    return c;
}

static const int64_t sizes[] = {1, 2, 3, 4, 5, 63, 64, 65, 130, 203};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void products_are_those_of_plain_loops_and_leave_what_is_above_the_diagonal(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        const int64_t n = sizes[s], width = 70;
        double *a = memory_allocate((size_t)(n * width) * sizeof *a);
        double *c = positive_matrix(n, width, a);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < width; k++) sum += a[i * width + k] * a[j * width + k];
                const double wanted = j > i ? 0 : (i == j) + 0.5 * sum;
                /* The same sums in the same order. */
                if (c[i * n + j] != wanted)
                    fail_msg("%lld: [%lld, %lld] is %.17g, not %.17g", (long long)n, (long long)i,
                             (long long)j, c[i * n + j], wanted);
            }
        free(a);
        free(c);
    }
}

static void the_factor_times_its_transpose_is_the_matrix(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        const int64_t n = sizes[s], width = 20;
        double *a = memory_allocate((size_t)(n * width) * sizeof *a);
        double *c = positive_matrix(n, width, a), *f = positive_matrix(n, width, a);
        assert_true(dense_factor(f, n));
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++) {
                double sum = 0;
                for (int64_t k = 0; k <= j; k++) sum += f[i * n + k] * f[j * n + k];
                /* 200 terms of about 1 in float64. */
                if (fabs(sum - c[i * n + j]) > 1e-13 * (double)(n + 10))
                    fail_msg("%lld: [%lld, %lld] is %g, not %g", (long long)n, (long long)i,
                             (long long)j, sum, c[i * n + j]);
            }
        free(a);
        free(c);
        free(f);
    }
}

static void solutions_fulfil_their_equations(void **state)
{
    (void)state;
    for (int s = 0; s < SIZES; s++) {
        const int64_t n = sizes[s], width = 20;
        double *a = memory_allocate((size_t)(n * width) * sizeof *a);
        double *c = positive_matrix(n, width, a), *f = positive_matrix(n, width, a);
        double *x = memory_allocate((size_t)(n * DENSE_COLUMNS) * sizeof *x);
        double *b = memory_allocate((size_t)(n * DENSE_COLUMNS) * sizeof *b);
        fill(b, n * DENSE_COLUMNS, 7);
        memcpy(x, b, (size_t)(n * DENSE_COLUMNS) * sizeof *x);
        assert_true(dense_factor(f, n));
        dense_solve(f, n, x);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < DENSE_COLUMNS; k++) {
                double sum = 0;
                for (int64_t j = 0; j < n; j++)
                    sum += (j <= i ? c[i * n + j] : c[j * n + i]) * x[j * DENSE_COLUMNS + k];
                if (fabs(sum - b[i * DENSE_COLUMNS + k]) > 1e-12 * (double)(n + 10))
                    fail_msg("%lld: row %lld gives %g, not %g", (long long)n, (long long)i, sum,
                             b[i * DENSE_COLUMNS + k]);
            }
        free(a);
        free(c);
        free(f);
        free(x);
        free(b);
    }
}

static void a_matrix_that_is_not_positive_definite_is_told(void **state)
{
    (void)state;
    double c[] = {1, 0, 2, 1};
    assert_false(dense_factor(c, 2));
    double nan[] = {NAN};
    assert_false(dense_factor(nan, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_plain_loops_and_leave_what_is_above_the_diagonal),
        cmocka_unit_test(the_factor_times_its_transpose_is_the_matrix),
        cmocka_unit_test(solutions_fulfil_their_equations),
        cmocka_unit_test(a_matrix_that_is_not_positive_definite_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
