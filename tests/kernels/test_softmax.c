/* Softmax over the vocabulary: log-probability, entropy, log-sum-exp, KL and gradient. */
#include "tests/kernels/kernel_test.h"

struct want {
    double logp, entropy, lse, kl, self_certainty;
};

static double row_lse(const float *x, double temperature, int64_t vocabulary)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < vocabulary; i++) largest = fmax(largest, (double)x[i] / temperature);
    for (int64_t i = 0; i < vocabulary; i++) sum += exp((double)x[i] / temperature - largest);
    return largest + log(sum);
}

static struct want row_want(const float *x, const float *y, int32_t target, double temperature,
                            int64_t vocabulary)
{
    struct want want = {.lse = row_lse(x, temperature, vocabulary)};
    const double other = row_lse(y, temperature, vocabulary);
    want.logp = (double)x[target] / temperature - want.lse;
    for (int64_t i = 0; i < vocabulary; i++) {
        const double logp = (double)x[i] / temperature - want.lse, p = exp(logp);
        want.self_certainty -= (log((double)vocabulary) + logp) / (double)vocabulary;
        if (p > 0) want.entropy -= p * logp;
        if (p > 0) want.kl += p * (logp - ((double)y[i] / temperature - other));
    }
    return want;
}

static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 259}, {5, 1030}, {4, 1032}, {3, 32103}};
static const float temperatures[] = {1.0f, 0.8f, 2.5f};

static void softmax_equals_float64_with_the_same_bits_everywhere(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (size_t n = 0; n < 3 * sizeof shapes / sizeof *shapes; n++) {
        const int64_t m = shapes[n / 3][0], vocabulary = shapes[n / 3][1];
        const float temperature = temperatures[n % 3], smoothing = n % 2 ? 0.1f : 0.0f;
        float *x = random_new(m * vocabulary, 1, 10.0), *y = random_new(m * vocabulary, 2, 10.0);
        float *dlogp = random_new(m, 3, 1.0), *first[6] = {0};
        float *share = random_new(m, 6, 1.0); /* of the entropy bonus, in every other case */
        const float coef = n % 2 ? 0.3f : 0.0f;
        int32_t *targets = guarded_new((size_t)m * 4);
        double *want[6];
        for (int k = 0; k < 6; k++)
            want[k] = malloc((size_t)(k == 5 ? m * vocabulary : m) * sizeof(double));
        for (int64_t i = 0; i < m; i++) {
            const float *row = x + i * vocabulary;
            targets[i] = (int32_t)(uniform_at(4, (uint64_t)i) * (double)vocabulary);
            struct want w =
                row_want(row, y + i * vocabulary, targets[i], (double)temperature, vocabulary);
            want[0][i] = w.logp;
            want[1][i] = w.entropy;
            want[2][i] = w.lse;
            want[3][i] = w.kl;
            want[4][i] = w.self_certainty;
            for (int64_t j = 0; j < vocabulary; j++) {
                const double logp = (double)row[j] / (double)temperature - w.lse, p = exp(logp);
                want[5][i * vocabulary + j] =
                    (double)dlogp[i] / (double)temperature *
                        ((1 - (double)smoothing) * (j == targets[i]) +
                         (double)smoothing / (double)vocabulary - p) +
                    (double)coef * (double)share[i] / (double)temperature * p * (logp + w.entropy);
            }
        }
        for (int i = 0; i < all.count; i++) {
            struct queue *q = all.q[i];
            float *now[6];
            for (int k = 0; k < 6; k++) now[k] = floats_new(k == 5 ? m * vocabulary : m);
            q->op->softmax_loss(q, now[0], now[1], now[2], now[3], now[4], x, y, targets,
                                temperature, m, vocabulary);
            const struct entropy_bonus bonus = {i ? first[1] : now[1], share, coef};
            const struct entropy_bonus *given = coef > 0 ? &bonus : NULL;
            q->op->softmax_loss_backward(q, now[5], x, now[2], targets, dlogp, temperature,
                                         smoothing, given, m, vocabulary);
            queue_check(q);
            /* Numbers up to 30 with a rounding each: 30 u = 2e-6, a few of them. */
            check_close(now[0], want[0], m, 4e-6, 1e-6, "logp");
            check_close(now[1], want[1], m, 4e-6, 1e-6, "entropy");
            check_close(now[2], want[2], m, 2e-6, 1e-6, "lse");
            check_close(now[3], want[3], m, 6e-6, 2e-6, "kl");
            check_close(now[4], want[4], m, 4e-6, 1e-6, "self_certainty");
            check_close(now[5], want[5], m * vocabulary, 8e-6, 4e-6, "dlogits");
            for (int k = 0; k < 6; k++) {
                if (i == 0) {
                    first[k] = now[k];
                } else {
                    check_bits(now[k], first[k], k == 5 ? m * vocabulary : m, all.name[i]);
                    guarded_free(now[k], all.name[i]);
                }
            }
            /* The last row alone; and the gradient over the logits themselves. */
            const int64_t row = m - 1;
            float alone, alone_certainty;
            q->op->softmax_loss(q, &alone, NULL, NULL, NULL, &alone_certainty, x + row * vocabulary,
                                NULL, targets + row, temperature, 1, vocabulary);
            check_bits(&alone, first[0] + row, 1, "row alone");
            check_bits(&alone_certainty, first[4] + row, 1, "self_certainty of the row alone");
            if (real_is_bf16()) continue; /* logits are fp32, the gradient is not */
            float *place = random_new(m * vocabulary, 1, 10.0);
            q->op->softmax_loss_backward(q, place, place, first[2], targets, dlogp, temperature,
                                         smoothing, given, m, vocabulary);
            check_bits(place, first[5], m * vocabulary, "dlogits in place");
            guarded_free(place, "dlogits in place");
        }
        for (int k = 0; k < 6; k++) {
            guarded_free(first[k], "output");
            free(want[k]);
        }
        guarded_free(x, "logits");
        guarded_free(y, "reference");
        guarded_free(dlogp, "dlogp");
        guarded_free(share, "share");
        guarded_free(targets, "targets");
    }
    queues_free(&all);
}

static void the_gradient_is_the_slope_of_logp(void **state)
{
    (void)state;
    enum { vocabulary = 37 };
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    float x[vocabulary], d[vocabulary], lse, one = 1;
    const int32_t target = 11;
    fill_random(x, vocabulary, 5, 2);
    q->op->softmax_loss(q, NULL, NULL, &lse, NULL, NULL, x, NULL, &target, 0.7f, 1, vocabulary);
    q->op->softmax_loss_backward(q, d, x, &lse, &target, &one, 0.7f, 0, NULL, 1, vocabulary);
    for (int j = 0; j < vocabulary; j++) {
        const float before = x[j], step = 0x1p-9f;
        double side[2];
        for (int k = 0; k < 2; k++) {
            x[j] = before + (k ? step : -step);
            side[k] = (double)x[target] / (double)0.7f - row_lse(x, (double)0.7f, vocabulary);
        }
        x[j] = before;
        const double want = (side[1] - side[0]) / (2 * (double)step); /* off by about 2e-6 */
        check_close(d + j, &want, 1, 1e-5, 1e-5, "dlogits");
    }
    queues_free(&all);
}

/* The loss has -coef weight entropy: its slope, with no log-probability in it. */
static void the_bonus_is_the_slope_of_entropy(void **state)
{
    (void)state;
    enum { vocabulary = 37 };
    struct queues all = queues_new();
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        float x[vocabulary], d[vocabulary], lse, entropy;
        const float none = 0, weight = 0.8f;
        const int32_t target = 11;
        fill_random(x, vocabulary, 5, 2);
        q->op->softmax_loss(q, NULL, &entropy, &lse, NULL, NULL, x, NULL, &target, 0.7f, 1,
                            vocabulary);
        const struct entropy_bonus bonus = {&entropy, &weight, 2.5f};
        q->op->softmax_loss_backward(q, d, x, &lse, &target, &none, 0.7f, 0, &bonus, 1, vocabulary);
        queue_check(q);
        for (int j = 0; j < vocabulary; j++) {
            const float before = x[j], step = 0x1p-9f;
            double side[2];
            for (int k = 0; k < 2; k++) {
                x[j] = before + (k ? step : -step);
                side[k] = row_want(x, x, target, (double)0.7f, vocabulary).entropy;
            }
            x[j] = before;
            const double want = -2.5 * (double)weight * (side[1] - side[0]) / (2 * (double)step);
            check_close(d + j, &want, 1, 1e-5, 1e-5, "dlogits");
        }
    }
    queues_free(&all);
}

static void certain_rows_and_far_logits_stay_finite(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int i = 0; i < all.count; i++) {
        struct queue *q = all.q[i];
        const float x[4] = {3e4f, -3e4f, -INFINITY, -3e4f};
        const int32_t first = 0;
        float logp, entropy, lse, kl;
        q->op->softmax_loss(q, &logp, &entropy, &lse, &kl, NULL, x, x, &first, 1, 1, 2);
        assert_true(logp == 0 && entropy == 0 && lse == 3e4f && kl == 0);
        q->op->softmax_loss(q, &logp, &entropy, &lse, NULL, NULL, x, NULL, &first, 1, 1, 4);
        assert_true(logp == 0 && entropy == 0 && lse == 3e4f);
        float d[4];
        const struct entropy_bonus bonus = {&entropy, &lse, 1};
        q->op->softmax_loss_backward(q, d, x, &lse, &first, &lse, 1, 0, &bonus, 1, 4);
        queue_check(q);
        for (int j = 0; j < 4; j++) assert_true(d[j] == 0);
        const float bad[2] = {NAN, 0};
        q->op->softmax_loss(q, &logp, NULL, NULL, NULL, NULL, bad, NULL, &first, 1, 1, 2);
        assert_true(isnan(logp));
    }
    queues_free(&all);
}

static void a_target_outside_the_vocabulary_is_an_error(void **state)
{
    (void)state;
    struct queues all = queues_new();
    const float x[3] = {0};
    const int32_t target = 3;
    float logp;
    all.q[0]->op->softmax_loss(all.q[0], &logp, NULL, NULL, NULL, NULL, x, NULL, &target, 1, 1, 3);
    status error = all.q[0]->op->synchronize(all.q[0]);
    assert_non_null(error);
    status_free(error);
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_equals_float64_with_the_same_bits_everywhere),
        cmocka_unit_test(the_gradient_is_the_slope_of_logp),
        cmocka_unit_test(the_bonus_is_the_slope_of_entropy),
        cmocka_unit_test(certain_rows_and_far_logits_stay_finite),
        cmocka_unit_test(a_target_outside_the_vocabulary_is_an_error),
    };
    return cmocka_run_group_tests_name("softmax", tests, NULL, NULL);
}
