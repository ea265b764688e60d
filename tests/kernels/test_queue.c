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
    status error = queue_create(device(), 1, "auto", &q);
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
    assert_null(q->op->allocate(q, sizeof up, &a));
    assert_null(q->op->allocate(q, sizeof up, &b));
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
    assert_null(q->op->allocate(q, sizeof value, &memory));
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
        assert_null(q->op->allocate(q, bytes, &memory));
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
    status error = q->op->allocate(q, (size_t)1 << 50, &memory);
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
    assert_null(q->op->allocate(q, 100, &memory));
    q->op->zero(q, memory, 100);
    queue_check(q);
    q->op->release(q, memory);
    q->op->destroy(q);
}

static void a_device_has_one_of_the_known_names(void **state)
{
    (void)state;
    struct queue *q;
    status error = queue_create("tpu", 1, "auto", &q);
    assert_non_null(error);
    assert_non_null(strstr(status_message(error), "tpu"));
    assert_null(q);
    status_free(error);
    assert_null(queue_create("cpu:7", 1, "auto", &q));
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
        cmocka_unit_test(a_device_has_one_of_the_known_names),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
