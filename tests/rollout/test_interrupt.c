/* rollout.interrupt: who is interrupted and where, as Philox draws it; what it does to dialogues is
 * tests/rollout/test_dialogues.c's, to a decoding test_generate.c's. */
#include "src/rollout/interrupt.h"
#include "tests/rollout/reply_checks.h"

#include <math.h>

enum { DIALOGUES = 2000, TURNS = 5, CANDIDATES = 4, DRAWS = DIALOGUES * TURNS * CANDIDATES };

static int64_t limit_at(const struct interruption *interruption, int draw)
{
    const struct turn_key key = {draw / (TURNS * CANDIDATES), 1 + draw / CANDIDATES % TURNS,
                                 draw % CANDIDATES, 0};
    return interruption_limit(interruption, &key);
}

/* The share within four standard errors; chi-square of the steps below its 0.9999 quantile. */
static void the_share_is_as_asked_and_steps_are_uniform(void **state)
{
    (void)state;
    static const double shares[3] = {0.1, 0.5, 1};
    enum { MOST = 12, STEPS = MOST - 1 };
    for (int s = 0; s < 3; s++) {
        const struct interruption interruption = {7, shares[s], MOST};
        int64_t count[MOST] = {0}, cut = 0;
        double chi = 0;
        for (int i = 0; i < DRAWS; i++) {
            const int64_t limit = limit_at(&interruption, i);
            assert_true(limit >= 0 && limit < MOST);
            count[limit]++;
            cut += limit > 0;
        }
        const double error = sqrt(shares[s] * (1 - shares[s]) / DRAWS);
        if (fabs((double)cut / DRAWS - shares[s]) > 4 * error)
            fail_msg("%lld of %d draws at %g", (long long)cut, DRAWS, shares[s]);
        for (int step = 1; step < MOST; step++) {
            const double want = (double)cut / STEPS, off = (double)count[step] - want;
            chi += off * off / want;
        }
        if (chi > 35.6) fail_msg("chi-square %g over %d steps", chi, STEPS); /* 10 degrees */
    }
}

/* Each of seed, dialogue, turn and candidate is part of the draw; a larger share keeps the smaller
 * one's cuts. */
static void a_draw_is_of_its_key_alone(void **state)
{
    (void)state;
    const struct interruption none = {7, 0, 12}, half = {7, 0.5, 12}, most = {7, 0.9, 12},
                              other = {8, 0.5, 12};
    int64_t seeds = 0, neighbours[3] = {0};
    static const int apart[3] = {1, CANDIDATES, TURNS * CANDIDATES};
    for (int i = 0; i < 1000; i++) {
        const int64_t limit = limit_at(&half, i);
        assert_int_equal(limit_at(&none, i), 0);
        assert_int_equal(limit_at(&half, i), limit);
        if (limit) assert_int_equal(limit_at(&most, i), limit);
        seeds += limit_at(&other, i) == limit;
        for (int k = 0; k < 3; k++) neighbours[k] += limit_at(&half, i + apart[k]) == limit;
    }
    /* Equal by chance: both uncut 1/4, both cut at one step 1/44. */
    assert_true(seeds < 350);
    for (int k = 0; k < 3; k++) assert_true(neighbours[k] > 200 && neighbours[k] < 350);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_share_is_as_asked_and_steps_are_uniform),
        cmocka_unit_test(a_draw_is_of_its_key_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
