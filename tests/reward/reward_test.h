/* What the tests of reward and learning share. */
#ifndef REGARD_TESTS_REWARD_TEST_H
#define REGARD_TESTS_REWARD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "src/base/config.h"
#include "src/base/status.h"

/* Float64 sums of at most a few hundred terms: their rounding stays below 1e-13, and a wrong
 * formula is off by far more than 1e-12. */
#define assert_close(saw, wanted) assert_close_at((saw), (wanted), #saw, __FILE__, __LINE__)
static inline void assert_close_at(double saw, double wanted, const char *what, const char *file,
                                   int line)
{
    if (fabs(saw - wanted) <= 1e-12 * fmax(1, fabs(wanted))) return;
    print_error("%s: saw %.17g, wanted %.17g\n", what, saw, wanted);
    _fail(file, line);
}

#define assert_done(call) assert_done_at((call), __FILE__, __LINE__)
static inline void assert_done_at(status s, const char *file, int line)
{
    if (!s) return;
    print_error("%s\n", status_message(s));
    status_free(s);
    _fail(file, line);
}

/* The call fails and its message holds every one of the texts. */
static inline void assert_fails_with(status s, const char *first, const char *second)
{
    assert_non_null(s);
    if (!strstr(status_message(s), first) || !strstr(status_message(s), second))
        fail_msg("the message \"%s\" lacks \"%s\" or \"%s\"", status_message(s), first, second);
    status_free(s);
}

#endif
