/* Spans that are kept: bounded, the newest, by the order in which they ended, of all threads. */
#include "src/base/timeline.h"
#include "src/base/trace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void *saves(void *unused)
{
    (void)unused;
    timeline_open("save");
    timeline_begin(TIME_SAVE);
    timeline_end();
    timeline_close();
    return NULL;
}

static void spans_of_all_threads_are_kept_as_they_end(void **unused)
{
    (void)unused;
    char names[TRACE_TRACKS][TRACE_NAME];
    struct trace_span *spans;
    int64_t lost;
    pthread_t thread;
    timeline_open("main");
    timeline_begin(TIME_READ); /* before it is on: not kept */
    timeline_end();
    trace_open();
    trace_step(7);
    timeline_begin(TIME_LEARN);
    timeline_begin(TIME_EXCHANGE);
    timeline_end();
    assert_int_equal(pthread_create(&thread, NULL, saves, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    timeline_end();
    assert_int_equal(trace_take(&spans, names, &lost), 3);
    const int wanted[3] = {TIME_EXCHANGE, TIME_SAVE, TIME_LEARN};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(spans[i].kind, wanted[i]);
        assert_int_equal(spans[i].step, 7);
        assert_true(spans[i].begin <= spans[i].end);
    }
    assert_true(spans[2].begin <= spans[0].begin && spans[1].end <= spans[2].end);
    assert_string_equal(names[spans[0].track], "main");
    assert_string_equal(names[spans[1].track], "save");
    assert_int_equal(lost, 0);
    free(spans);
    trace_close();
    timeline_close();
}

static void the_newest_are_kept(void **unused)
{
    (void)unused;
    char names[TRACE_TRACKS][TRACE_NAME];
    struct trace_span *spans;
    int64_t lost;
    trace_open();
    for (int i = 0; i < TRACE_SPANS + 100; i++) trace_add("main", TIME_LEARN, i, i + 1, 0);
    for (int i = 0; i < 20; i++) { /* more tracks than there is room for */
        char name[8] = {'t', (char)('a' + i), 0};
        trace_add(name, TIME_LEARN, 0, 1, 0);
    }
    assert_int_equal(trace_take(&spans, names, &lost), TRACE_SPANS);
    assert_int_equal(lost, 120);
    assert_true(spans[0].begin == 120);
    assert_int_equal(spans[TRACE_SPANS - 1].track, TRACE_TRACKS - 1);
    free(spans);
    trace_close();
    trace_add("main", TIME_LEARN, 0, 1, 0); /* off: nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_of_all_threads_are_kept_as_they_end),
        cmocka_unit_test(the_newest_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
