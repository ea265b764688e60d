/* The gradient's norm and AdamW against float64. */
#include "tests/kernels/kernel_test.h"

static const int64_t sizes[] = {0, 1, 15, 4095, 4097, 100003};

static void square_sum_equals_float64_in_every_queue(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        float *x = random_new(sizes[s], 1, 3);
        long double want = 0;
        double first = 0;
        for (int64_t i = 0; i < sizes[s]; i++) want += (long double)x[i] * x[i];
        for (int qi = 0; qi < all.count; qi++) {
            double *sum = guarded_new(sizeof *sum);
            all.q[qi]->op->square_sum(all.q[qi], sum, x, sizes[s]);
            /* 4096/16 + 16 + 25 additions of positive terms, u = 2^-53 each */
            if (!(fabsl(*sum - want) <= 300 * 0x1p-53L * want))
                fail_msg("%s: %.17g, should be %.17Lg", all.name[qi], *sum, want);
            if (qi == 0) first = *sum;
            assert_memory_equal(sum, &first, sizeof first);
            guarded_free(sum, all.name[qi]);
        }
        guarded_free(x, "x");
    }
    queues_free(&all);
}

static void square_sum_shows_a_gradient_that_is_not_finite(void **state)
{
    (void)state;
    struct queues all = queues_new();
    const float x[3] = {1, NAN, 2}, y[2] = {INFINITY, 1};
    double sum;
    all.q[0]->op->square_sum(all.q[0], &sum, x, 3);
    assert_true(isnan(sum));
    all.q[0]->op->square_sum(all.q[0], &sum, y, 2);
    assert_true(isinf(sum));
    queues_free(&all);
}

/* The formula of kernels/ops.h, word by word, its parts added in another order. */
static void hash_is_the_sum_that_is_documented_in_every_queue(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t count = sizes[s], first = (int64_t)1 << 33;
        float *x = random_new(count, 1, 3);
        uint64_t want = 0;
        for (int64_t i = count - 1; i >= 0; i--) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            const uint64_t key = (uint64_t)(first + i + 1) * UINT64_C(0x9E3779B97F4A7C15);
            want += (uint64_t)(bits ^ (uint32_t)key) * ((uint32_t)(key >> 32) | 1u);
        }
        for (int qi = 0; qi < all.count; qi++) {
            uint64_t *sum = guarded_new(sizeof *sum);
            all.q[qi]->op->hash(all.q[qi], sum, x, first, count);
            if (*sum != want)
                fail_msg("%s: %016llx, should be %016llx", all.name[qi], (unsigned long long)*sum,
                         (unsigned long long)want);
            guarded_free(sum, all.name[qi]);
        }
        guarded_free(x, "x");
    }
    queues_free(&all);
}

static uint64_t hash_of(struct queue *q, const float *x, int64_t first, int64_t count)
{
    uint64_t sum;
    q->op->hash(q, &sum, x, first, count);
    return sum;
}

static void hash_adds_up_and_shows_every_flipped_bit(void **state)
{
    (void)state;
    enum { count = 40000, cut = 12336 };
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    float *x = random_new(count, 5, 1);
    const uint64_t whole = hash_of(q, x, 0, count);
    assert_true(whole == hash_of(q, x, 0, cut) + hash_of(q, x + cut, cut, count - cut));
    for (int bit = 0; bit < 32; bit++)
        for (int64_t i = bit; i < count; i += 7777) {
            uint32_t was, is;
            memcpy(&was, &x[i], sizeof was);
            is = was ^ 1u << bit;
            memcpy(&x[i], &is, sizeof is);
            assert_true(hash_of(q, x, 0, count) != whole);
            memcpy(&x[i], &was, sizeof was);
        }
    const float a = x[3]; /* the place counts */
    x[3] = x[4];
    x[4] = a;
    assert_true(hash_of(q, x, 0, count) != whole);
    guarded_free(x, "x");
    queues_free(&all);
}

static void adamw_follows_the_formula_for_three_steps(void **state)
{
    (void)state;
    enum { count = 40001, steps = 3 };
    struct queues all = queues_new();
    float *begin = random_new(count, 2, 1), *first = floats_new(count);
    double *w64 = malloc(count * sizeof *w64), *m64 = calloc(count, sizeof *m64),
           *v64 = calloc(count, sizeof *v64);
    struct adamw s = {.lr = 0.01f,
                      .beta1 = 0.9f,
                      .beta2 = 0.999f,
                      .eps = 1e-8f,
                      .decay = 0.1f,
                      .gradient_scale = 0.25f};
    float *gradient[steps];
    for (int t = 0; t < steps; t++) gradient[t] = random_new(count, 20 + (uint64_t)t, 1);
    for (int i = 0; i < count; i++) {
        w64[i] = begin[i];
        for (int t = 1; t <= steps; t++) {
            const double g = gradient[t - 1][i] * (double)s.gradient_scale;
            w64[i] -= (double)s.lr * (double)s.decay * w64[i];
            m64[i] = s.beta1 * m64[i] + (1 - (double)s.beta1) * g;
            v64[i] = s.beta2 * v64[i] + (1 - (double)s.beta2) * g * g;
            w64[i] -= (double)s.lr * (m64[i] / (1 - pow(s.beta1, t))) /
                      (sqrt(v64[i] / (1 - pow(s.beta2, t))) + (double)s.eps);
        }
    }
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        float *w = floats_new(count), *m = floats_new(count), *v = floats_new(count);
        memcpy(w, begin, count * sizeof *w);
        memset(m, 0, count * sizeof *m);
        memset(v, 0, count * sizeof *v);
        for (int t = 1; t <= steps; t++) {
            s.step = t;
            q->op->adamw(q, w, m, v, gradient[t - 1], count, &s);
        }
        /* m and v: some 4 roundings a step of values at most 0.25 and 0.07, v of one sign.
         * w moves by at most lr a step, each known to some 2^-21 of it but where m cancels, and
         * is rounded twice a step at a size of at most 1. */
        check_close(m, m64, count, 12 * 0.25 * 0x1p-24, 0, "m");
        check_close(v, v64, count, 0, 12 * 0x1p-24, "v");
        check_close(w, w64, count, 6 * 0x1p-24 + 3 * 0.01 * 0x1p-20, 0, "w");
        if (qi == 0) memcpy(first, w, count * sizeof *w);
        check_bits(w, first, count, all.name[qi]);
        guarded_free(w, "w");
        guarded_free(m, "m");
        guarded_free(v, "v");
    }
    for (int t = 0; t < steps; t++) guarded_free(gradient[t], "gradient");
    free(w64);
    free(m64);
    free(v64);
    guarded_free(begin, "begin");
    guarded_free(first, "first");
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(square_sum_equals_float64_in_every_queue),
        cmocka_unit_test(square_sum_shows_a_gradient_that_is_not_finite),
        cmocka_unit_test(hash_is_the_sum_that_is_documented_in_every_queue),
        cmocka_unit_test(hash_adds_up_and_shows_every_flipped_bit),
        cmocka_unit_test(adamw_follows_the_formula_for_three_steps),
    };
    return cmocka_run_group_tests_name("adamw", tests, NULL, NULL);
}
