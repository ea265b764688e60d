/* Queues: which device, memory and copies, and what is said when memory runs out. */
#include "tests/kernels/kernel_test.h"

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
        assert_non_null(strstr(status_message(error), "for activations"));
        assert_non_null(strstr(status_message(error), "lower learn.reply_tokens"));
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
    q->op->advance(q, memory, 2, 3, 1);
    q->op->advance(q, memory, 1, 2, 1);
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

static void blocks_come_from_what_was_reserved_and_may_be_given_out_again(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    enum { blocks = 5, bytes = 1000, each = 1024 };
    static const size_t reserved[MEMORY_KINDS] = {
        [MEMORY_WEIGHTS] = 3 * each, [MEMORY_CACHES] = 2 * each};
    struct memory_report r;
    assert_null(q->op->memory_reserve(q, reserved));
    q->op->memory_report(q, &r);
    queue_check(q);
    const bool arena = r.reserved > 0; /* the CPU has none, nor where every access is checked */
    if (arena) assert_int_equal(r.reserved, blocks * each);
    char *memory[blocks], seen[bytes];
    for (int i = 0; i < blocks; i++) {
        void *at;
        assert_null(q->op->allocate(q, i < 3 ? MEMORY_WEIGHTS : MEMORY_CACHES, bytes, &at));
        memory[i] = at;
        memset(seen, i, sizeof seen);
        q->op->upload(q, at, seen, sizeof seen);
        if (arena) assert_ptr_equal(memory[i], memory[0] + i * each);
    }
    for (int i = 0; i < blocks; i++) {
        q->op->download(q, seen, memory[i], sizeof seen);
        queue_check(q);
        assert_int_equal(seen[0], i);
        assert_int_equal(seen[bytes - 1], i);
    }
    /* Neighbours that are free become one; what fits nowhere lies elsewhere. */
    void *whole, *more;
    q->op->release(q, memory[1]);
    q->op->release(q, memory[3]);
    q->op->release(q, memory[2]);
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, 3 * each, &whole));
    if (arena) assert_ptr_equal(whole, memory[1]);
    assert_null(q->op->allocate(q, MEMORY_CAPTURE, 1, &more));
    q->op->memory_report(q, &r);
    queue_check(q);
    if (on_cuda()) {
        assert_int_equal(r.allocations, blocks + 2);
        assert_int_equal(r.current[MEMORY_WEIGHTS], each);
        assert_int_equal(r.peak[MEMORY_WEIGHTS], 3 * each);
        assert_int_equal(r.current[MEMORY_CACHES], each);
        assert_int_equal(r.current[MEMORY_ACTIVATIONS], 3 * each);
        assert_int_equal(r.outside, arena ? 256 : 0);
        assert_true(r.left > 0 && r.left < r.total);
    }
    q->op->release(q, more);
    q->op->release(q, whole);
    q->op->release(q, memory[4]);
    q->op->release(q, memory[0]);
    if (arena) { /* all of it in one piece again */
        assert_null(q->op->allocate(q, MEMORY_WEIGHTS, blocks * each, &whole));
        assert_ptr_equal(whole, memory[0]);
        q->op->release(q, whole);
    }
    queue_check(q);
    q->op->destroy(q);
}

static void more_than_there_is_is_not_reserved(void **state)
{
    (void)state;
    struct queue *q = queue_new();
    static const size_t much[MEMORY_KINDS] = {
        [MEMORY_WEIGHTS] = (size_t)1 << 40, [MEMORY_OPTIMIZER] = (size_t)1 << 44};
    status error = q->op->memory_reserve(q, much);
    if (on_cuda()) {
        assert_non_null(error);
        assert_int_equal(status_code(error), STATUS_INPUT);
        assert_non_null(strstr(status_message(error), "weights 1099511.6, optimizer 17592186.0)"));
        assert_non_null(strstr(status_message(error), "MB are free; raise roles.learners"));
    }
    status_free(error);
    void *memory;
    assert_null(q->op->allocate(q, MEMORY_WEIGHTS, 100, &memory));
    q->op->release(q, memory);
    q->op->release(q, NULL);
    queue_check(q);
    q->op->destroy(q);
}

static void what_is_released_twice_is_noticed(void **state)
{
    (void)state;
    if (!on_cuda()) skip();
    struct queue *q = queue_new();
    void *memory;
    assert_null(q->op->allocate(q, MEMORY_WEIGHTS, 100, &memory));
    q->op->release(q, memory);
    q->op->release(q, memory);
    status error = q->op->synchronize(q);
    assert_non_null(error);
    assert_non_null(strstr(status_message(error), "twice"));
    status_free(error);
    q->op->destroy(q);
}

static void
an_eager_queue_has_all_kernels_loaded_unless_the_environment_says_otherwise(void **state)
{
    (void)state;
    static const char *const before[] = {NULL, "LAZY"}, *const after[] = {"EAGER", "LAZY"};
    if (!on_cuda()) skip();
    for (int i = 0; i < 2; i++) {
        struct queue *q;
        unsetenv("CUDA_MODULE_LOADING");
        if (before[i]) setenv("CUDA_MODULE_LOADING", before[i], 1);
        status error = queue_create(&(struct queue_options){.device = device(), .eager = true}, &q);
        if (error) fail_msg("%s", status_message(error));
        assert_string_equal(getenv("CUDA_MODULE_LOADING"), after[i]);
        q->op->destroy(q);
    }
    unsetenv("CUDA_MODULE_LOADING");
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
        cmocka_unit_test(blocks_come_from_what_was_reserved_and_may_be_given_out_again),
        cmocka_unit_test(more_than_there_is_is_not_reserved),
        cmocka_unit_test(what_is_released_twice_is_noticed),
        cmocka_unit_test(
            an_eager_queue_has_all_kernels_loaded_unless_the_environment_says_otherwise),
        cmocka_unit_test(a_device_has_one_of_the_known_names),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
