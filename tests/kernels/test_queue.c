/* Queues: which device, memory and copies, and what is said when memory runs out. */
#include "kernel_test.h"

static const char *device(void)
{
    const char *name = getenv("REGARD_TEST_DEVICE");
    return name ? name : "cpu";
}

static struct queue *queue_new(void)
{
    struct queue *q;
    status error = queue_create(&(struct queue_options){.device = device()}, &q);
    if (error) fail_msg("%s", status_message(error));
    return q;
}

static void bytes_come_back_as_they_went(void **state)
{
    (void)state;
    enum { count = 1001 };
    struct queue *q = queue_new();
    float up[count], down[count];
    fill_random(up, count, 1, 1);
    void *a, *b;
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, sizeof up, &a));
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, sizeof up, &b));
    q->op->upload(q, a, up, sizeof up);
    q->op->copy(q, b, a, sizeof up);
    q->op->zero(q, real_at(q, b, 500), 100 * sizeof(float));
    q->op->download(q, down, b, sizeof down);
    q->op->upload(q, a, NULL, 0);
    queue_check(q);
    for (int i = 500; i < 600; i++) up[i] = 0;
    check_bits(down, up, count, "what came back");
    q->op->release(q, a);
    q->op->release(q, b);
    q->op->release(q, NULL);
    queue_check(q);
    q->op->destroy(q);
}

static void what_is_uploaded_may_be_overwritten_at_once(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    float value = 3, back = 0;
    void *memory;
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, sizeof value, &memory));
    q->op->upload(q, memory, &value, sizeof value);
    value = 4;
    q->op->download(q, &back, memory, sizeof back);
    queue_check(q);
    assert_true(back == 3);
    q->op->release(q, memory);
    q->op->destroy(q);
}

static void memory_of_any_size_is_aligned(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    for (size_t bytes = 0; bytes < 200; bytes += 7) {
        void *memory;
        assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, bytes, &memory));
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 64, 0);
        q->op->release(q, memory);
    }
    queue_check(q);
    q->op->destroy(q);
}

static void too_much_memory_is_an_error_that_says_how_much(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    void *memory;
    status error = q->op->allocate(q, MEMORY_ACTIVATIONS, (size_t)1 << 50, &memory);
    assert_non_null(error);
    assert_null(memory);
    assert_non_null(strstr(status_message(error), "1125899906842624"));
    if (!strcmp(device(), "cuda")) {
        assert_non_null(strstr(status_message(error), " are free"));
        assert_non_null(strstr(status_message(error), "lower "));
    }
    status_free(error);
    /* And the queue goes on. */
    queue_check(q);
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, 100, &memory));
    q->op->zero(q, memory, 100);
    queue_check(q);
    q->op->release(q, memory);
    q->op->destroy(q);
}

/* The program need not wait for what was queued after a mark. */
static void a_mark_is_passed_once_what_was_queued_before_it_has_run(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    enum { count = 300 };
    float up[count], *down;
    fill_random(up, count, 3, 1);
    void *memory, *host;
    assert_null(q->op->allocate(q, MEMORY_CAPTURE, sizeof up, &memory));
    assert_null(q->op->host_allocate(q, sizeof up, &host));
    down = host;
    q->op->upload(q, memory, up, sizeof up);
    q->op->download(q, down, memory, sizeof up);
    q->op->mark(q, QUEUE_MARKS - 1);
    q->op->zero(q, memory, sizeof up);
    q->op->mark_wait(q, QUEUE_MARKS - 1);
    check_bits(down, up, count, "what was there at the mark");
    queue_check(q);
    q->op->host_release(q, host);
    q->op->release(q, memory);
    q->op->destroy(q);
}

static void recorded_calls_run_at_each_launch_and_not_before(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    if (!q->op->graph_begin) { /* calls run at once there */
        q->op->destroy(q);
        skip();
    }
    int32_t counters[3] = {5, 7, 9}, seen[3];
    void *memory;
    struct graph *graph;
    assert_null(q->op->allocate(q, MEMORY_CACHES, sizeof counters, &memory));
    q->op->upload(q, memory, counters, sizeof counters);
    queue_check(q);
    q->op->graph_begin(q);
    q->op->advance(q, memory, 2, 3);
    q->op->advance(q, memory, 1, 2);
    assert_null(q->op->graph_end(q, &graph));
    for (int launches = 0; launches < 3; launches++) {
        q->op->download(q, seen, memory, sizeof seen);
        queue_check(q);
        for (int i = 0; i < 3; i++)
            assert_int_equal(seen[i], counters[i] + launches * (i < 2 ? 3 : 2));
        q->op->graph_launch(q, graph);
    }
    queue_check(q);
    q->op->graph_destroy(q, graph);
    q->op->release(q, memory);
    q->op->destroy(q);
}

static void a_device_has_one_of_the_known_names(void **state)
{
    (void)state;
    struct queue *q;
    status error = queue_create(&(struct queue_options){.device = "tpu"}, &q);
    assert_non_null(error);
    assert_non_null(strstr(status_message(error), "tpu"));
    assert_null(q);
    status_free(error);
    assert_null(queue_create(&(struct queue_options){.device = "cpu:7"}, &q));
    assert_string_equal(q->op->name, "cpu");
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back_as_they_went),
        cmocka_unit_test(what_is_uploaded_may_be_overwritten_at_once),
        cmocka_unit_test(memory_of_any_size_is_aligned),
        cmocka_unit_test(too_much_memory_is_an_error_that_says_how_much),
        cmocka_unit_test(a_mark_is_passed_once_what_was_queued_before_it_has_run),
        cmocka_unit_test(recorded_calls_run_at_each_launch_and_not_before),
        cmocka_unit_test(a_device_has_one_of_the_known_names),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
