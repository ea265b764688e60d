/* AdamW steps against float64, clipping, non-finite gradients, resume. */
#include "tests/reward/reward_test.h"

#include "src/learn/optimizer.h"

#include <stdlib.h>

enum { SIZE = 33, STEPS = 5 };

static struct queue *queue;

static int setup(void **state)
{
    (void)state;
    assert_done(cpu_queue_create(1, "auto", &queue));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    queue->op->destroy(queue);
    return 0;
}

static float *device_floats(const float *host)
{
    void *memory;
    assert_done(queue->op->allocate(queue, MEMORY_OPTIMIZER, SIZE * sizeof(float), &memory));
    queue->op->upload(queue, memory, host, SIZE * sizeof(float));
    assert_done(queue->op->synchronize(queue));
    return memory;
}

static void read_back(float host[SIZE], const float *device)
{
    queue->op->download(queue, host, device, SIZE * sizeof(float));
    assert_done(queue->op->synchronize(queue));
}

static void gradient_of(int step, float g[SIZE])
{
    for (int i = 0; i < SIZE; i++) g[i] = (float)(sin(step * 3.1 + i * 0.7) * (1 + step));
}

static double one_step(struct optimizer *o, float *values, int step)
{
    float host[SIZE];
    double norm;
    gradient_of(step, host);
    float *g = device_floats(host);
    assert_done(optimizer_norm(o, g, &norm));
    assert_done(optimizer_step(o, values, g, norm, 0.01));
    assert_done(queue->op->synchronize(queue));
    queue->op->release(queue, g);
    return norm;
}

/* Five steps of fp32 AdamW of size 0.01 on values of at most 1: each step rounds the value and
 * the update to 6e-8, so 1e-6 holds; without the clip, the bias correction or a moment the
 * difference is 1e-3 and more. */
static void steps_are_adamw_of_the_clipped_gradient(void **state)
{
    (void)state;
    struct optimizer *o;
    float start[SIZE], host[SIZE];
    double w[SIZE], m[SIZE] = {0}, v[SIZE] = {0};
    for (int i = 0; i < SIZE; i++) w[i] = start[i] = (float)cos(i);
    float *values = device_floats(start);
    assert_done(optimizer_create(queue, SIZE, 10, &o)); /* the first norms are below 10 */
    for (int step = 0; step < STEPS; step++) {
        float g[SIZE];
        gradient_of(step, g);
        double squares = 0;
        for (int i = 0; i < SIZE; i++) squares += (double)g[i] * (double)g[i];
        double norm = sqrt(squares), scale = norm > 10 ? 10 / norm : 1;
        assert_close(one_step(o, values, step), norm);
        for (int i = 0; i < SIZE; i++) {
            double gradient = scale * (double)g[i];
            m[i] = 0.9 * m[i] + 0.1 * gradient;
            v[i] = 0.999 * v[i] + 0.001 * gradient * gradient;
            w[i] -= 0.01 * (m[i] / (1 - pow(0.9, step + 1))) /
                    (sqrt(v[i] / (1 - pow(0.999, step + 1))) + 1e-8);
        }
    }
    read_back(host, values);
    for (int i = 0; i < SIZE; i++)
        if (fabs((double)host[i] - w[i]) > 1e-6)
            fail_msg("value %d: saw %.9g, wanted %.9g", i, (double)host[i], w[i]);
    assert_int_equal(o->step, STEPS);
    queue->op->release(queue, values);
    optimizer_free(o);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    const float bad[3] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        struct optimizer *o;
        float host[SIZE], after[SIZE];
        double norm;
        gradient_of(1, host);
        float *values = device_floats(host);
        float g_host[SIZE] = {0};
        g_host[SIZE - 1] = bad[b];
        float *g = device_floats(g_host);
        assert_done(optimizer_create(queue, SIZE, 1, &o));
        assert_done(optimizer_norm(o, g, &norm));
        assert_false(isfinite(norm));
        assert_fails_with(optimizer_step(o, values, g, norm, 0.01), "norm is", "");
        read_back(after, values);
        assert_memory_equal(host, after, sizeof host);
        assert_int_equal(o->step, 0);
        optimizer_free(o);
        queue->op->release(queue, g);
        queue->op->release(queue, values);
    }
}

/* The largest floats: their squares overflow fp32, not the norm. */
static void the_norm_of_huge_gradients_is_finite(void **state)
{
    (void)state;
    struct optimizer *o;
    float host[SIZE];
    double norm;
    for (int i = 0; i < SIZE; i++) host[i] = 1e30f;
    float *g = device_floats(host);
    assert_done(optimizer_create(queue, SIZE, 1, &o));
    assert_done(optimizer_norm(o, g, &norm));
    assert_close(norm / (double)1e30f, sqrt(SIZE));
    optimizer_free(o);
    queue->op->release(queue, g);
}

static void state_saved_in_slices_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    struct optimizer *straight, *resumed;
    float start[SIZE], a[SIZE], b[SIZE], m[SIZE], v[SIZE];
    gradient_of(9, start);
    float *values = device_floats(start);
    assert_done(optimizer_create(queue, SIZE, 1, &straight));
    one_step(straight, values, 0);
    one_step(straight, values, 1);
    read_back(a, values);
    float *others = device_floats(a);
    assert_done(optimizer_download(straight, 0, SIZE, m, v));
    assert_done(optimizer_create(queue, SIZE, 1, &resumed));
    assert_done(optimizer_upload(resumed, 0, 20, m, v));
    assert_done(optimizer_upload(resumed, 20, SIZE - 20, m + 20, v + 20));
    resumed->step = straight->step;
    one_step(straight, values, 2);
    one_step(resumed, others, 2);
    read_back(a, values);
    read_back(b, others);
    assert_memory_equal(a, b, sizeof a);
    assert_fails_with(optimizer_download(resumed, 20, SIZE, m, v), "slice", "33");
    optimizer_free(straight);
    optimizer_free(resumed);
    queue->op->release(queue, values);
    queue->op->release(queue, others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_adamw_of_the_clipped_gradient),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(the_norm_of_huge_gradients_is_finite),
        cmocka_unit_test(state_saved_in_slices_goes_on_to_the_same_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
