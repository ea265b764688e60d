/* The gated activations, at ordinary and extreme values. */
#include "tests/kernels/kernel_test.h"

static double gelu(double g)
{
    return 0.5 * g * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g)));
}

static double silu(double g)
{
    return g / (1 + exp(-g));
}

static double (*const activations[])(double) = {
    [ACTIVATION_GELU_TANH] = gelu, [ACTIVATION_SILU] = silu};
static const char *const names[] = {"gelu", "silu"};

static double slope(enum activation activation, double g)
{
    const double h = 1e-5;
    double (*f)(double) = activations[activation];
    return (f(g + h) - f(g - h)) / (2 * h); /* off by about 1e-10 */
}

static void equals_float64_with_the_same_bits_everywhere(enum activation activation, int64_t m,
                                                         int64_t f)
{
    struct queues all = queues_new();
    float *x = random_new(2 * m * f, 1, 8.0), *dy = random_new(m * f, 2, 1.0);
    float *first[2] = {0};
    double *want = malloc((size_t)(m * f) * sizeof *want);
    double *want_dx = malloc((size_t)(2 * m * f) * sizeof *want);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < f; j++) {
            const double g = (double)x[2 * i * f + j], u = (double)x[(2 * i + 1) * f + j];
            const double d = (double)dy[i * f + j];
            want[i * f + j] = activations[activation](g) * u;
            want_dx[2 * i * f + j] = d * u * slope(activation, g);
            want_dx[(2 * i + 1) * f + j] = d * activations[activation](g);
        }
    for (int i = 0; i < all.count; i++) {
        struct queue *q = all.q[i];
        float *now[2] = {floats_new(m * f), floats_new(2 * m * f)};
        q->op->gated_activation(q, activation, now[0], x, m, f);
        q->op->gated_activation_backward(q, activation, now[1], dy, x, m, f);
        queue_check(q);
        /* tanh is right to 2^-23; where 1 + tanh cancels it is multiplied by |g up| / 2 <= 32
         * and, in the slope, by the argument's own slope, at most 10 there.  silu has no such
         * difference but 1 - s, off by 2^-24, times |g up| <= 64. */
        check_close(now[0], want, m * f, 8e-6, 1e-6, names[activation]);
        check_close(now[1], want_dx, 2 * m * f, 4e-5, 4e-6, names[activation]);
        const int64_t sizes[2] = {m * f, 2 * m * f};
        for (int k = 0; k < 2; k++) {
            if (i == 0) {
                first[k] = now[k];
            } else {
                check_bits(now[k], first[k], sizes[k], all.name[i]);
                guarded_free(now[k], all.name[i]);
            }
        }
    }
    guarded_free(first[0], "y");
    guarded_free(first[1], "dx");
    guarded_free(x, "x");
    guarded_free(dy, "dy");
    free(want);
    free(want_dx);
    queues_free(&all);
}

static void gated_activations_equal_float64_with_the_same_bits_everywhere(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {3, 17}, {40, 200}, {7, 1030}};
    for (int activation = ACTIVATION_GELU_TANH; activation <= ACTIVATION_SILU; activation++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++)
            equals_float64_with_the_same_bits_everywhere(activation, shapes[n][0], shapes[n][1]);
}

static void extreme_gates_give_finite_values_and_nan_stays(void **state)
{
    (void)state;
    if (real_is_bf16()) skip(); /* which has no 1e30 */
    float gates[][2] = {{1e30f, 1}, {-1e30f, 1}, {1e6f, 1}, {-1e6f, 1}, {0, 1}, {-0.0f, 1}};
    static const float values[] = {1e30f, 0, 1e6f, 0, 0, 0};
    static const float slopes[] = {1, 0, 1, 0, 0.5f, 0.5f};
    struct queues all = queues_new();
    for (int i = 0; i < all.count; i++)
        for (int activation = ACTIVATION_GELU_TANH; activation <= ACTIVATION_SILU; activation++) {
            struct queue *q = all.q[i];
            for (int n = 0; n < 6; n++) {
                float y, dx[2], one = 1;
                q->op->gated_activation(q, activation, &y, gates[n], 1, 1);
                q->op->gated_activation_backward(q, activation, dx, &one, gates[n], 1, 1);
                if (y != values[n] || dx[0] != slopes[n])
                    fail_msg("%s: %s(%g) is %g with slope %g", all.name[i], names[activation],
                             gates[n][0], y, dx[0]);
            }
            float nan_gate[2] = {NAN, 1}, y;
            q->op->gated_activation(q, activation, &y, nan_gate, 1, 1);
            assert_true(isnan(y));
        }
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gated_activations_equal_float64_with_the_same_bits_everywhere),
        cmocka_unit_test(extreme_gates_give_finite_values_and_nan_stays),
    };
    return cmocka_run_group_tests_name("activation", tests, NULL, NULL);
}
