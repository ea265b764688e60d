/* RMS norm and its gradients. */
#include "tests/kernels/kernel_test.h"

/* T5 has 512, 768, 1024 and 2048 columns; what is no multiple of 8 goes another way on CUDA. */
static const int64_t shapes[][2] = {{1, 1},   {3, 7},     {2, 64},   {33, 513},  {37, 512},
                                    {9, 768}, {21, 1024}, {5, 2048}, {70, 1030}, {3, 2056}};
enum { shape_count = sizeof shapes / sizeof *shapes };
static const float eps = 1e-6f;

/* y [m, d] in float64 of one row. */
static double row_inverse(const float *x, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += (double)x[i] * (double)x[i];
    return 1 / sqrt(sum / (double)d + (double)eps);
}

static void rmsnorm_equals_float64_with_the_same_bits_everywhere(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < shape_count; n++) {
        const int64_t m = shapes[n][0], d = shapes[n][1];
        float *x = random_new(m * d, 1, 3.0), *w = random_new(d, 2, 1.0);
        float *dy = random_new(m * d, 3, 1.0), *first[5] = {0};
        double *want = malloc((size_t)(m * d) * sizeof *want),
               *want_inverse = malloc((size_t)m * 8);
        double *want_dx = malloc((size_t)(m * d) * sizeof *want);
        double *want_dw = malloc((size_t)d * sizeof *want);
        for (int64_t j = 0; j < d; j++) want_dw[j] = 1;
        for (int64_t i = 0; i < m; i++) {
            const double r = want_inverse[i] = row_inverse(x + i * d, d);
            double dot = 0;
            for (int64_t j = 0; j < d; j++)
                dot += (double)dy[i * d + j] * (double)w[j] * (double)x[i * d + j];
            for (int64_t j = 0; j < d; j++) {
                const int64_t at = i * d + j;
                want[at] = (double)x[at] * r * (double)w[j];
                want_dw[j] += (double)dy[at] * (double)x[at] * r;
                want_dx[at] =
                    (double)dy[at] * (double)w[j] * r - (double)x[at] * r * r * r / (double)d * dot;
            }
        }
        for (int i = 0; i < all.count; i++) {
            struct queue *q = all.q[i];
            float *now[5] = {floats_new(m * d), floats_new(m), floats_new(m * d), floats_new(d),
                             floats_new(m * d)};
            for (int64_t j = 0; j < d; j++) now[3][j] = 1;
            for (int64_t j = 0; j < m * d; j++) now[4][j] = 1;
            q->op->rmsnorm(q, now[0], now[1], x, w, m, d, eps);
            q->op->rmsnorm_backward(q, now[2], now[3], dy, x, w, now[1], m, d, false);
            float *other = floats_new(d);
            memset(other, 0, (size_t)d * sizeof *other);
            q->op->rmsnorm_backward(q, now[4], other, dy, x, w, now[1], m, d, true);
            queue_check(q);
            guarded_free(other, "dw");
            /* A few roundings an element; the sums are walks of at most m or d terms near 1.
             * dx is a difference of terms up to |dy w| inverse. */
            check_close(now[0], want, m * d, 1e-7, 1e-6, "y");
            check_close(now[1], want_inverse, m, 0, 1e-6, "inverse");
            check_close(now[2], want_dx, m * d, 2e-6, 2e-6, "dx");
            check_close(now[3], want_dw, d, 1e-5, 1e-6, "dw");
            for (int64_t j = 0; j < m * d; j++) {
                const double sum = want_dx[j] + 1;
                check_close(now[4] + j, &sum, 1, 3e-6, 2e-6, "dx added to");
            }
            const int64_t sizes[5] = {m * d, m, m * d, d, m * d};
            for (int k = 0; k < 5; k++) {
                if (i == 0) {
                    first[k] = now[k];
                } else {
                    check_bits(now[k], first[k], sizes[k], all.name[i]);
                    guarded_free(now[k], all.name[i]);
                }
            }
            /* The last row alone. */
            float *alone = floats_new(d);
            q->op->rmsnorm(q, alone, NULL, x + (m - 1) * d, w, 1, d, eps);
            check_bits(alone, first[0] + (m - 1) * d, d, "row alone");
            guarded_free(alone, "row alone");
        }
        for (int k = 0; k < 5; k++) guarded_free(first[k], "output");
        guarded_free(x, "x");
        guarded_free(w, "w");
        guarded_free(dy, "dy");
        free(want);
        free(want_inverse);
        free(want_dx);
        free(want_dw);
    }
    queues_free(&all);
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    enum { d = 21 };
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    float x[d], w[d], dy[d], y[d], inverse, dx[d], dw[d] = {0};
    fill_random(x, d, 1, 1);
    fill_random(w, d, 2, 1);
    fill_random(dy, d, 3, 1);
    q->op->rmsnorm(q, y, &inverse, x, w, 1, d, eps);
    q->op->rmsnorm_backward(q, dx, dw, dy, x, w, &inverse, 1, d, false);
    for (int j = 0; j < d; j++) {
        const float step = 0x1p-10f, before = x[j];
        double sum[2];
        for (int side = 0; side < 2; side++) {
            x[j] = before + (side ? step : -step);
            const double r = row_inverse(x, d);
            sum[side] = 0;
            for (int n = 0; n < d; n++)
                sum[side] += (double)dy[n] * (double)w[n] * (double)x[n] * r;
        }
        x[j] = before;
        /* Third-order error of the difference: about 1e-6. */
        const double want = (sum[1] - sum[0]) / (2 * (double)step);
        check_close(dx + j, &want, 1, 1e-5, 1e-5, "dx");
    }
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rmsnorm_equals_float64_with_the_same_bits_everywhere),
        cmocka_unit_test(the_gradient_is_the_slope),
    };
    return cmocka_run_group_tests_name("norm", tests, NULL, NULL);
}
