/* AdamW steps against float64, clipping, non-finite gradients, moments shared among learners. */
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

/* Of one that is alone. */
static double norm_of(struct optimizer *o, const float *g)
{
    double sums[64];
    assert_int_equal(optimizer_own_parts(o), 64);
    assert_done(optimizer_square_sums(o, g, sums));
    return optimizer_norm(sums, 64);
}

static double one_step(struct optimizer *o, float *values, int step)
{
    float host[SIZE];
    gradient_of(step, host);
    float *g = device_floats(host);
    const double norm = norm_of(o, g);
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
    assert_done(optimizer_create(queue, SIZE, NULL, 10, &o)); /* the first norms are below 10 */
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
        gradient_of(1, host);
        float *values = device_floats(host);
        float g_host[SIZE] = {0};
        g_host[SIZE - 1] = bad[b];
        float *g = device_floats(g_host);
        assert_done(optimizer_create(queue, SIZE, NULL, 1, &o));
        const double norm = norm_of(o, g);
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
    for (int i = 0; i < SIZE; i++) host[i] = 1e30f;
    float *g = device_floats(host);
    assert_done(optimizer_create(queue, SIZE, NULL, 1, &o));
    assert_close(norm_of(o, g) / (double)1e30f, sqrt(SIZE));
    optimizer_free(o);
    queue->op->release(queue, g);
}

enum { LEARNERS_MOST = 4, VECTOR = 5 * 16 + 7 };

/* A vector of 87 floats, shared among so many learners. */
struct team {
    int count;
    struct optimizer *of[LEARNERS_MOST];
    float values[VECTOR];
};

static void team_open(struct team *team, int count)
{
    team->count = count;
    for (int r = 0; r < count; r++) {
        const struct optimizer_share share = {r, count, 64};
        assert_done(optimizer_create(queue, VECTOR, &share, 0.5, &team->of[r]));
    }
    for (int i = 0; i < VECTOR; i++) team->values[i] = (float)cos(i);
}

static void team_close(struct team *team)
{
    for (int r = 0; r < team->count; r++) optimizer_free(team->of[r]);
}

/* What a learner does not own is NaN in the gradient it sees; the queue is the CPU's, whose memory
 * is the host's.  Returns the norm. */
static double team_step(struct team *team, int step)
{
    float whole[VECTOR];
    double sums[64], norm;
    for (int i = 0; i < VECTOR; i++) whole[i] = (float)(sin(step * 3.1 + i * 0.7) * (1 + step));
    for (int pass = 0; pass < 2; pass++)
        for (int r = 0; r < team->count; r++) {
            struct optimizer *o = team->of[r];
            float seen[VECTOR];
            for (int i = 0; i < VECTOR; i++) seen[i] = i >= o->begin && i < o->end ? whole[i] : NAN;
            if (!pass)
                assert_done(optimizer_square_sums(o, seen, sums + r * optimizer_own_parts(o)));
            else
                assert_done(optimizer_step(o, team->values, seen, optimizer_norm(sums, 64), 0.01));
        }
    norm = optimizer_norm(sums, 64);
    return norm;
}

static void learners_that_share_the_moments_step_to_the_same_bits(void **state)
{
    (void)state;
    struct team one, many;
    for (int count = 2; count <= LEARNERS_MOST; count *= 2) {
        int64_t owned = 0;
        team_open(&one, 1);
        team_open(&many, count);
        for (int r = 0; r < count; r++) {
            assert_int_equal(many.of[r]->begin, owned); /* and has no more moments than that */
            owned = many.of[r]->end;
            assert_int_equal(many.of[r]->begin % 16, 0);
        }
        assert_int_equal(owned, VECTOR);
        for (int step = 0; step < STEPS; step++) {
            const double wanted = team_step(&one, step), norm = team_step(&many, step);
            assert_memory_equal(&norm, &wanted, sizeof norm);
            assert_memory_equal(many.values, one.values, sizeof one.values);
        }
        team_close(&one);
        team_close(&many);
    }
}

static void moments_of_four_learners_go_on_with_one_to_the_same_bits(void **state)
{
    (void)state;
    struct team four, one;
    team_open(&four, 4);
    team_open(&one, 1);
    team_step(&four, 0);
    team_step(&four, 1);
    for (int r = 0; r < 4; r++) { /* the queue is the CPU's: moments are the host's memory */
        const struct optimizer *from = four.of[r];
        const size_t bytes = (size_t)(from->end - from->begin) * sizeof *from->m;
        memcpy(one.of[0]->m + from->begin, from->m, bytes);
        memcpy(one.of[0]->v + from->begin, from->v, bytes);
    }
    one.of[0]->step = four.of[0]->step;
    memcpy(one.values, four.values, sizeof one.values);
    team_step(&four, 2);
    team_step(&one, 2);
    assert_memory_equal(one.values, four.values, sizeof one.values);
    team_close(&four);
    team_close(&one);
}

static void a_share_that_cuts_a_part_of_the_norm_is_refused(void **state)
{
    (void)state;
    struct optimizer *o;
    const struct optimizer_share uneven = {0, 3, 64}, outside = {4, 4, 64};
    assert_fails_with(optimizer_create(queue, SIZE, &uneven, 1, &o), "learner 0 of 3", "64");
    assert_fails_with(optimizer_create(queue, SIZE, &outside, 1, &o), "learner 4 of 4", "64");
    assert_int_equal(optimizer_parts(4), 64);
    assert_int_equal(optimizer_parts(256), 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_adamw_of_the_clipped_gradient),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(the_norm_of_huge_gradients_is_finite),
        cmocka_unit_test(learners_that_share_the_moments_step_to_the_same_bits),
        cmocka_unit_test(moments_of_four_learners_go_on_with_one_to_the_same_bits),
        cmocka_unit_test(a_share_that_cuts_a_part_of_the_norm_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
