/* Time by kind: what lies inside something else counts for itself alone, and the kinds together are
 * the time on the clock. */
#include "src/base/clock.h"
#include "src/base/timeline.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static double wait_ms(long ms)
{
    const double begun = seconds_now();
    nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
    return seconds_now() - begun;
}

/* A sleep takes at least its time; between a clock read here and the timeline's own lies less than
 * 5 ms even on a busy machine, as a rule: so much is allowed. */
#define assert_near(a, b) assert_true(fabs((a) - (b)) < 5e-3)

static void inner_time_is_not_the_outers(void **unused)
{
    (void)unused;
    double seconds[TIME_KINDS], sum = 0;
    timeline_open("main");
    const double begun = seconds_now();
    double other = wait_ms(10);
    timeline_begin(TIME_LEARN);
    double learn = wait_ms(20);
    timeline_begin(TIME_EXCHANGE);
    const double exchange = wait_ms(30);
    timeline_end();
    learn += wait_ms(10);
    timeline_begin(TIME_LEARN); /* the same again inside counts once */
    learn += wait_ms(10);
    timeline_end();
    timeline_end();
    other += wait_ms(10);
    timeline_take(seconds);
    const double whole = seconds_now() - begun;
    for (int k = 0; k < TIME_KINDS; k++) sum += seconds[k];
    assert_near(sum, whole);
    assert_near(seconds[TIME_LEARN], learn);
    assert_near(seconds[TIME_EXCHANGE], exchange);
    assert_near(seconds[TIME_OTHER], other);
    assert_true(seconds[TIME_GENERATE] == 0 && seconds[TIME_SAVE] == 0);
    timeline_close();
}

static void what_is_begun_goes_on_after_it_is_taken(void **unused)
{
    (void)unused;
    double seconds[TIME_KINDS];
    timeline_open("main");
    timeline_begin(TIME_GENERATE);
    const double first = wait_ms(10);
    timeline_take(seconds);
    assert_near(seconds[TIME_GENERATE], first);
    const double second = wait_ms(20);
    timeline_end();
    timeline_take(seconds);
    assert_near(seconds[TIME_GENERATE], second);
    timeline_close();
}

static void *another(void *out)
{
    double *seconds = out;
    timeline_begin(TIME_SAVE); /* without a track: nothing */
    wait_ms(5);
    timeline_end();
    timeline_take(seconds);
    timeline_open("save");
    timeline_begin(TIME_SAVE);
    wait_ms(5);
    timeline_end();
    timeline_take(seconds + TIME_KINDS);
    timeline_close();
    return NULL;
}

static void a_thread_has_a_track_of_its_own_or_none(void **unused)
{
    (void)unused;
    double seconds[TIME_KINDS], its[2 * TIME_KINDS], none = 0;
    pthread_t thread;
    timeline_open("main");
    timeline_begin(TIME_LEARN);
    assert_int_equal(pthread_create(&thread, NULL, another, its), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    timeline_end();
    timeline_take(seconds);
    timeline_close();
    for (int k = 0; k < TIME_KINDS; k++) none += its[k];
    assert_true(none == 0);
    assert_true(its[TIME_KINDS + TIME_SAVE] >= 5e-3);
    assert_true(seconds[TIME_SAVE] == 0);
    assert_true(seconds[TIME_LEARN] >= 10e-3);
}

static void begins_deeper_than_it_remembers_count_for_the_outer(void **unused)
{
    (void)unused;
    double seconds[TIME_KINDS];
    timeline_open("main");
    for (int i = 0; i < 40; i++) timeline_begin(TIME_READ);
    timeline_begin(TIME_SAVE);
    const double slept = wait_ms(10);
    for (int i = 0; i < 41; i++) timeline_end();
    timeline_end(); /* one too many does nothing */
    timeline_take(seconds);
    assert_near(seconds[TIME_READ], slept);
    timeline_close();
}

static char spans[64];
static void span_begins(const char *name)
{
    strcat(strcat(spans, name), "(");
}
static void span_ends(void)
{
    strcat(spans, ")");
}

static void spans_are_told_by_name_and_in_pairs(void **unused)
{
    (void)unused;
    timeline_begin(TIME_SAVE); /* without a track: of nobody */
    timeline_open("main");
    timeline_begin(TIME_EVALUATE); /* before anybody listens */
    timeline_on_span(span_begins, span_ends);
    timeline_begin(TIME_LEARN);
    timeline_begin(TIME_WAIT_SLOWEST);
    timeline_end();
    timeline_end();
    timeline_begin(TIME_READ);
    timeline_on_span(NULL, NULL); /* what is told of is told to its end */
    timeline_end();
    timeline_end();
    timeline_close();
    assert_string_equal(spans, "learn(wait_slowest())read()");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inner_time_is_not_the_outers),
        cmocka_unit_test(what_is_begun_goes_on_after_it_is_taken),
        cmocka_unit_test(a_thread_has_a_track_of_its_own_or_none),
        cmocka_unit_test(begins_deeper_than_it_remembers_count_for_the_outer),
        cmocka_unit_test(spans_are_told_by_name_and_in_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
