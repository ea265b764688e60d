/* device: sleep: whoever waits waits as long as the device would work, never less; and what it
 * gives is what another device might have given. */
#include "kernels/sleep.h"

#include "kernels/plan.h"
#include "src/base/clock.h"
#include "src/base/philox.h"
#include "tests/kernels/kernel_test.h"

/* 1 ms an operation, 1 ms a million bytes. */
static const struct cost_rates rates = {.flops = 1e15, .bandwidth = 1e9, .launch = 1e-3};

static struct queue *queue_new(void)
{
    struct queue *q;
    assert_null(sleep_queue_create(&rates, 2, &q));
    assert_true(queue_is_sleep(q));
    return q;
}

static void *memory_of(struct queue *q, size_t bytes)
{
    void *memory;
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, bytes, &memory));
    assert_int_equal((uintptr_t)memory % 64, 0);
    return memory;
}

static void waiting(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    float *x = memory_of(q, 4000);
    const double begun = seconds_now();
    for (int i = 0; i < 10; i++) q->op->add(q, x, x, x, 1000); /* 1 ms and 12,000 bytes each */
    q->op->mark(q, 1);
    for (int i = 0; i < 10; i++) q->op->add(q, x, x, x, 1000);
    assert_true(fabs(sleep_queue_worked(q) - 20 * (1e-3 + 12e-6)) < 1e-9);
    q->op->mark_wait(q, 1);
    assert_true(seconds_now() - begun >= 10 * (1e-3 + 12e-6));
    assert_null(q->op->synchronize(q));
    assert_true(seconds_now() - begun >= 20 * (1e-3 + 12e-6));
    /* A thousand short waits are as long as one: late wakings do not shorten what is owed. */
    const double before = sleep_queue_worked(q), again = seconds_now();
    for (int i = 0; i < 50; i++) {
        q->op->zero(q, x, 100);
        assert_null(q->op->synchronize(q));
    }
    /* The first may begin LATENESS (1 ms) early. */
    assert_true(seconds_now() - again >= sleep_queue_worked(q) - before - 1e-3);
    q->op->release(q, x);
    q->op->destroy(q);
}

static void memory(void **state)
{
    (void)state;
    enum { count = 300000 };
    struct queue *q = queue_new();
    int32_t *there = memory_of(q, count * sizeof *there);
    int32_t *here = calloc(count, sizeof *here), *back = calloc(count, sizeof *back);
    for (int i = 0; i < count; i++) here[i] = i + 1;
    q->op->download(q, back, there, count * sizeof *here);
    for (int i = 0; i < count; i++) assert_int_equal(back[i], 0);
    q->op->upload(q, there, here, count * sizeof *here);
    q->op->advance(q, there + 1, 5, 3, 2); /* elements 1, 3 and 5 */
    q->op->zero(q, there + 10, (count - 17) * sizeof *here);
    q->op->download(q, back, there, count * sizeof *here);
    for (int i = 0; i < count; i++) {
        const bool kept = i < 10 || i >= count - 7;
        assert_int_equal(back[i], kept ? i + 1 + (i == 1 || i == 3 || i == 5 ? 5 : 0) : 0);
    }
    free(here);
    free(back);
    q->op->release(q, there);
    q->op->destroy(q);
}

enum { rows = 64, vocabulary = 1000 };

static void tokens_of(struct queue *q, int32_t token[rows], float logp[rows])
{
    static float logits[rows * vocabulary];
    uint32_t counter[rows * 3];
    int32_t step[rows], forced[rows];
    for (int r = 0; r < rows; r++) {
        counter[3 * r] = (uint32_t)(r / 4);
        counter[3 * r + 1] = (uint32_t)(r / 2 % 2);
        counter[3 * r + 2] = (uint32_t)(r % 2);
        step[r] = r % 7;
        forced[r] = r == 3 ? 2 : -1;
    }
    const struct sampling s = {.rows = rows,
                               .vocabulary = vocabulary,
                               .logits = logits,
                               .temperature = 1,
                               .top_p = 1,
                               .key = {9, 1},
                               .counter = counter,
                               .step = step,
                               .token = token,
                               .forced = forced,
                               .logp = logp};
    q->op->sample(q, &s);
}

static void sampling(void **state)
{
    (void)state;
    struct queue *q = queue_new(), *other = queue_new();
    int32_t token[rows], again[rows];
    float logp[rows], same[rows], learned[rows], entropy[rows], logits[1] = {0};
    tokens_of(q, token, logp);
    tokens_of(other, again, same);
    int different = 0;
    for (int r = 0; r < rows; r++) {
        assert_int_equal(token[r], again[r]);
        if (r == 3)
            assert_int_equal(token[r], 2);
        else
            assert_in_range(token[r], vocabulary / 4, vocabulary / 2 - 1);
        different += token[r] != token[0];
    }
    assert_true(different > rows / 2);
    /* The loss's log-probabilities are sampling's, bit for bit: ratios are 1. */
    q->op->softmax_loss(q, learned, entropy, NULL, NULL, NULL, logits, NULL, token, 1, rows,
                        vocabulary);
    assert_memory_equal(logp, learned, sizeof learned);
    assert_true(fabsf(entropy[0] - logf(vocabulary)) < 1e-6f);
    q->op->destroy(q);
    other->op->destroy(other);
}

/* A pace multiplies what is queued from then on. */
static void pace(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    float *x = memory_of(q, 4000);
    q->op->add(q, x, x, x, 1000);
    sleep_queue_pace(q, 2.5);
    q->op->add(q, x, x, x, 1000);
    assert_true(fabs(sleep_queue_worked(q) - 3.5 * (1e-3 + 12e-6)) < 1e-9);
    q->op->release(q, x);
    q->op->destroy(q);
}

/* The factors' mean is 1, and their logarithms' moments are those of the normal distribution. */
static void jitter(void **state)
{
    (void)state;
    enum { count = 20000 };
    const double sigma = 0.4;
    double sum = 0, logs = 0, squares = 0;
    for (uint32_t i = 0; i < count; i++) {
        const double factor = philox_jitter(sigma, 1, (const uint32_t[4]){3, i, 0, 1});
        sum += factor;
        logs += log(factor);
        squares += log(factor) * log(factor);
    }
    const double mean = logs / count;
    assert_true(fabs(sum / count - 1) < 4 * 0.42 / sqrt(count));
    assert_true(fabs(mean + sigma * sigma / 2) < 4 * sigma / sqrt(count));
    assert_true(fabs(sqrt(squares / count - mean * mean) - sigma) < 4 * sigma / sqrt(2 * count));
    const uint32_t counter[4] = {1, 2, 0, 0}, other[4] = {2, 2, 0, 0};
    assert_true(philox_jitter(sigma, 1, counter) == philox_jitter(sigma, 1, counter));
    assert_true(philox_jitter(sigma, 1, counter) != philox_jitter(sigma, 2, counter));
    assert_true(philox_jitter(sigma, 1, counter) != philox_jitter(sigma, 1, other));
    assert_true(philox_jitter(0, 1, counter) == 1);
}

/* An estimate adds up what the stub would sleep, and tokens are whose it is told. */
struct told {
    int64_t rows;
    int32_t step;
    double seconds;
};

static int32_t told_token(void *context, const uint32_t counter[3], int32_t step)
{
    (void)context;
    return counter[0] == 7 && step == 2 ? 1 : -1;
}

static void told_sampled(void *context, int64_t count, int32_t step, double seconds)
{
    *(struct told *)context = (struct told){count, step, seconds};
}

static void estimates(void **state)
{
    (void)state;
    struct queue *q;
    struct told told = {0};
    const struct estimate_watch watch = {told_token, told_sampled, &told};
    const double begun = seconds_now();
    assert_null(estimate_queue_create(&rates, 2, &q));
    assert_true(queue_is_estimate(q) && !queue_is_sleep(q) && queue_is_plan(q));
    float *x = memory_of(q, 4000);
    for (int i = 0; i < 10000; i++) q->op->add(q, x, x, x, 1000);
    const double sum = 10000 * (1e-3 + 12e-6);
    assert_true(fabs(sleep_queue_worked(q) - sum) < 1e-6);
    assert_true(estimate_queue_sliced(q) == 0);
    const struct adamw settings = {.lr = 1};
    q->op->adamw(q, x, x, x, x, 1000, &settings); /* 28,000 bytes */
    assert_true(fabs(estimate_queue_sliced(q) - (1e-3 + 28e-6)) < 1e-9);
    assert_null(q->op->synchronize(q));
    assert_true(seconds_now() - begun < sum / 2); /* nobody slept */
    const uint32_t counter[] = {7, 0, 0, 8, 0, 0};
    const int32_t steps[] = {2, 2};
    int32_t token[2] = {0}, again[2] = {0};
    struct sampling s = {
        .rows = 2, .vocabulary = 1000, .counter = counter, .step = steps, .token = token};
    estimate_queue_watch(q, &watch);
    q->op->sample(q, &s);
    assert_int_equal(token[0], 1);
    assert_true(told.rows == 2 && told.step == 2);
    assert_true(told.seconds == sleep_queue_worked(q));
    estimate_queue_watch(q, NULL);
    s.token = again;
    q->op->sample(q, &s);
    assert_int_equal(again[1], token[1]); /* the stub's own */
    assert_int_not_equal(again[0], 1);
    q->op->release(q, x);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting),   cmocka_unit_test(pace),   cmocka_unit_test(jitter),
        cmocka_unit_test(estimates), cmocka_unit_test(memory), cmocka_unit_test(sampling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
