/* The gradient tree against the full binary tree, bit for bit, in any split over learners. */
#include "tests/reward/reward_test.h"

#include "src/learn/reduce.h"

enum { SIZE = 37, LEAVES_MAX = 16 };

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

/* Magnitudes from 1e-4 to 1e4, so that another order of addition gives other bits. */
static float gradient_at(int64_t leaf, int64_t i)
{
    double x = sin((double)(leaf * SIZE + i) * 12.9898) * 43758.5453;
    x -= floor(x);
    return (float)((x - 0.5) * pow(10, (double)((leaf * 5 + i * 3) % 9 - 4)));
}

static float full_tree(int64_t begin, int64_t end, int64_t i)
{
    if (end - begin == 1) return gradient_at(begin, i);
    int64_t middle = begin + (end - begin) / 2;
    return full_tree(begin, middle, i) + full_tree(middle, end, i);
}

static void push_leaves(struct gradient_tree *tree, int64_t begin, int64_t end)
{
    for (int64_t leaf = begin; leaf < end; leaf++) {
        float *buffer, host[SIZE];
        assert_done(gradient_tree_leaf(tree, &buffer));
        queue->op->download(queue, host, buffer, sizeof host);
        assert_done(queue->op->synchronize(queue));
        for (int i = 0; i < SIZE; i++) {
            assert_true(host[i] == 0);
            host[i] = gradient_at(leaf, i);
        }
        queue->op->upload(queue, buffer, host, sizeof host);
        assert_done(queue->op->synchronize(queue));
        assert_done(gradient_tree_push(tree));
    }
}

static void read_result(struct gradient_tree *tree, float host[SIZE])
{
    float *sum;
    assert_done(gradient_tree_result(tree, &sum));
    queue->op->download(queue, host, sum, SIZE * sizeof *host);
    assert_done(queue->op->synchronize(queue));
}

static void the_sum_is_the_full_trees_for_every_power_of_two(void **state)
{
    (void)state;
    for (int64_t leaves = 1; leaves <= LEAVES_MAX; leaves *= 2) {
        struct gradient_tree *tree;
        assert_done(gradient_tree_create(queue, SIZE, leaves, &tree));
        for (int again = 0; again < 2; again++) { /* the buffers are used again */
            float host[SIZE];
            push_leaves(tree, 0, leaves);
            read_result(tree, host);
            for (int i = 0; i < SIZE; i++) {
                float wanted = full_tree(0, leaves, i);
                assert_memory_equal(&host[i], &wanted, sizeof wanted);
            }
        }
        gradient_tree_free(tree);
    }
}

static void slices_of_learners_are_subtrees_of_the_whole(void **state)
{
    (void)state;
    float part[4][SIZE];
    struct gradient_tree *tree;
    assert_done(gradient_tree_create(queue, SIZE, 4, &tree));
    for (int learner = 0; learner < 4; learner++) {
        push_leaves(tree, 4 * learner, 4 * learner + 4);
        read_result(tree, part[learner]);
    }
    gradient_tree_free(tree);
    for (int i = 0; i < SIZE; i++) {
        float sum = (part[0][i] + part[1][i]) + (part[2][i] + part[3][i]);
        float wanted = full_tree(0, 16, i);
        assert_memory_equal(&sum, &wanted, sizeof sum);
    }
}

/* The last leaf told of from its end to its start, in pieces: what is told is in the sum before the
 * leaf is complete, and what is written behind it later is not. */
static void what_is_final_of_the_last_leaf_is_in_the_sum_at_once(void **state)
{
    (void)state;
    for (int64_t leaves = 1; leaves <= LEAVES_MAX; leaves *= 2) {
        struct gradient_tree *tree;
        assert_done(gradient_tree_create(queue, SIZE, leaves, &tree));
        push_leaves(tree, 0, leaves - 1);
        float *leaf, host[SIZE];
        assert_done(gradient_tree_leaf(tree, &leaf));
        assert_true(gradient_tree_ends(tree));
        const float *sum = gradient_tree_sum(tree); /* the queue is the CPU's: host memory */
        const int64_t told[] = {SIZE, 30, 30, 11, 1};
        int64_t last = SIZE;
        for (size_t t = 0; t < sizeof told / sizeof *told; t++) {
            for (int64_t i = told[t]; i < last; i++) leaf[i] = gradient_at(leaves - 1, i);
            gradient_tree_ready(tree, told[t]);
            for (int64_t i = told[t]; i < SIZE; i++) {
                const float wanted = full_tree(0, leaves, i);
                assert_memory_equal(&sum[i], &wanted, sizeof wanted);
            }
            if (leaves > 1)
                for (int64_t i = told[t]; i < SIZE; i++) leaf[i] = 1e9f;
            last = told[t];
        }
        leaf[0] = gradient_at(leaves - 1, 0);
        assert_done(gradient_tree_push(tree));
        assert_false(gradient_tree_ends(tree));
        read_result(tree, host);
        for (int64_t i = 0; i < SIZE; i++) {
            const float wanted = full_tree(0, leaves, i);
            assert_memory_equal(&host[i], &wanted, sizeof wanted);
        }
        gradient_tree_free(tree);
    }
}

static void misuse_is_refused(void **state)
{
    (void)state;
    struct gradient_tree *tree;
    float *buffer;
    assert_fails_with(gradient_tree_create(queue, SIZE, 6, &tree), "power of two", "6");
    assert_fails_with(gradient_tree_create(queue, SIZE, 0, &tree), "power of two", "0");
    assert_done(gradient_tree_create(queue, SIZE, 2, &tree));
    assert_fails_with(gradient_tree_push(tree), "no gradient leaf", "begun");
    assert_done(gradient_tree_leaf(tree, &buffer));
    assert_fails_with(gradient_tree_leaf(tree, &buffer), "before the last", "pushed");
    assert_done(gradient_tree_push(tree));
    assert_fails_with(gradient_tree_result(tree, &buffer), "1 of 2", "leaves");
    gradient_tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_the_full_trees_for_every_power_of_two),
        cmocka_unit_test(slices_of_learners_are_subtrees_of_the_whole),
        cmocka_unit_test(what_is_final_of_the_last_leaf_is_in_the_sum_at_once),
        cmocka_unit_test(misuse_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
