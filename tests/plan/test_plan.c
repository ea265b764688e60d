/* The schedule's events against schedules by hand, the interval of checkpoints, lengths, and what a
 * cluster's file may say. */
#include "src/base/config_keys.h"
#include "src/base/philox.h"
#include "src/plan/cluster.h"
#include "src/plan/events.h"
#include "src/plan/interval.h"
#include "src/plan/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 12, RANKS = 4 };

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

/* Every batch alike: seconds of each actor and of each learner. */
static struct schedule_result run(struct schedule s, const double *generate, const double *learn)
{
    static double made[(STEPS + 8) * RANKS], learned[(STEPS + 8) * RANKS];
    struct schedule_result out;
    for (int b = 0; b < STEPS + 8; b++) {
        for (int64_t a = 0; a < s.actors; a++) made[b * s.actors + a] = generate[a];
        for (int64_t l = 0; l < s.learners; l++) learned[b * s.learners + l] = learn[l];
    }
    s.steps = STEPS;
    s.skip = 4;
    s.generate = made;
    s.learn = learned;
    schedule_run(&s, &out);
    double learner = 0, actor = 0;
    for (int k = 0; k < TIME_KINDS; k++) {
        learner += out.learner[k];
        actor += out.actor[k];
    }
    /* A step's seconds are all accounted for. */
    assert_true(near(learner, out.step));
    /* Those of an actor that is ahead are of other batches. */
    assert_true(s.both || (s.streamed && s.lag > 1) || near(actor, out.step));
    return out;
}

/* The actor generates from 0.5 on, when it has the weights, to 2.5; its experience is there at
 * 2.625; the learner is done at 5.625, and all agree at 5.875. */
static void one_after_the_other(void **state)
{
    (void)state;
    const struct schedule s = {
        .learners = 1, .actors = 1, .weights = 0.5, .agree = 0.25, .send = 0.125};
    const struct schedule_result r = run(s, (double[]){2}, (double[]){3});
    assert_true(near(r.step, 5.875));
    assert_true(near(r.learner[TIME_SEND], 0.5));
    assert_true(near(r.learner[TIME_WAIT_EXPERIENCE], 2.125));
    assert_true(near(r.learner[TIME_LEARN], 3));
    assert_true(near(r.learner[TIME_WAIT_SLOWEST], 0.25));
    assert_true(near(r.actor[TIME_WAIT_WEIGHTS], 0.5));
    assert_true(near(r.actor[TIME_GENERATE], 2));
    assert_true(near(r.actor[TIME_WAIT_SLOWEST], 3.375));
}

/* The longer of the two, with the weights before and the agreement after. */
static void side_by_side(void **state)
{
    (void)state;
    for (int64_t lag = 1; lag <= 4; lag++) {
        const struct schedule s = {
            .learners = 1, .actors = 1, .lag = lag, .weights = 0.5, .agree = 0.25, .send = 0.125};
        const struct schedule_result r = run(s, (double[]){2}, (double[]){3});
        assert_true(near(r.step, 3.75));
        assert_true(near(r.actor[TIME_WAIT_SLOWEST], 1.25));
        assert_true(near(r.learner[TIME_WAIT_EXPERIENCE], 0));
        /* Learner 0 sends while it learns; from lag 2 on the actor waits for no agreement. */
        struct schedule streamed = s;
        streamed.streamed = 1;
        const struct schedule_result free = run(streamed, (double[]){3}, (double[]){2});
        assert_true(near(free.step, lag > 1 ? 3 : 3.25));
        assert_true(near(free.actor[TIME_WAIT_WEIGHTS], 0));
        assert_true(near(free.learner[TIME_SEND], 0));
        const struct schedule_result late = run(streamed, (double[]){2}, (double[]){3});
        assert_true(near(late.step, 3.25));
        assert_true(lag > 1 || near(late.actor[TIME_WAIT_WEIGHTS], 0.25));
        const struct schedule_result slow = run(s, (double[]){7}, (double[]){3});
        assert_true(near(slow.step, 7.75));
    }
}

static void equal_times_are_halved(void **state)
{
    (void)state;
    struct schedule s = {.learners = 2, .actors = 2};
    const struct schedule_result at_0 = run(s, (double[]){2, 2}, (double[]){2, 2});
    s.lag = 1;
    const struct schedule_result at_1 = run(s, (double[]){2, 2}, (double[]){2, 2});
    assert_true(near(at_0.step, 4) && near(at_1.step, 2));
}

/* A batch is learned from when its slowest actor has made its part; each learner waits for those
 * actors that make its places, then for the other learner. */
static void slow_actor(void **state)
{
    (void)state;
    struct schedule s = {.learners = 1, .actors = 2};
    struct schedule_result r = run(s, (double[]){1, 3}, (double[]){2});
    assert_true(near(r.step, 5) && near(r.learner[TIME_WAIT_EXPERIENCE], 3));
    s.lag = 1;
    r = run(s, (double[]){1, 3}, (double[]){2});
    assert_true(near(r.step, 3) && near(r.learner[TIME_WAIT_SLOWEST], 1));
    assert_true(near(r.actor[TIME_GENERATE], 2) && near(r.actor[TIME_WAIT_SLOWEST], 1));
    s = (struct schedule){.learners = 2, .actors = 2, .exchange = 0.5, .apply = 0.25};
    r = run(s, (double[]){1, 3}, (double[]){2, 2});
    assert_true(near(r.step, 5.75));
    assert_true(near(r.learner[TIME_WAIT_EXPERIENCE], 2)); /* 1 and 3 */
    assert_true(near(r.learner[TIME_WAIT_SLOWEST], 1));    /* 2 and 0 */
    assert_true(near(r.learner[TIME_EXCHANGE], 0.5) && near(r.learner[TIME_LEARN], 2.25));
    /* Three actors' parts for two learners: the middle one's is of both. */
    s = (struct schedule){.learners = 2, .actors = 3};
    r = run(s, (double[]){1, 4, 2}, (double[]){1, 1});
    assert_true(near(r.step, 5) && near(r.learner[TIME_WAIT_EXPERIENCE], 4));
}

static void both_roles(void **state)
{
    (void)state;
    const struct schedule s = {.learners = 2, .actors = 2, .both = 1, .refresh = 0.5};
    const struct schedule_result r = run(s, (double[]){1, 2}, (double[]){2, 1});
    assert_true(near(r.step, 4.5)); /* both wait for the others' batch, and for their sum */
    assert_true(near(r.learner[TIME_WAIT_WEIGHTS], 0.5) && near(r.learner[TIME_GENERATE], 1.5));
    assert_true(near(r.learner[TIME_WAIT_SLOWEST], 1));
}

static void checkpoints(void **state)
{
    (void)state;
    struct schedule s = {.learners = 1, .actors = 1, .save = 4, .save_every = 2};
    struct schedule_result r = run(s, (double[]){1}, (double[]){1});
    assert_true(near(r.step, 4) && near(r.learner[TIME_SAVE], 2));
    s.lag = 1;
    s.save = 1; /* while the actor generates */
    r = run(s, (double[]){3}, (double[]){1});
    assert_true(near(r.step, 3) && near(r.learner[TIME_SAVE], 0.5));
    s.evaluate_every = 4;
    s.evaluate = 6; /* 1 + 1 + 6 where it falls on a checkpoint's step */
    r = run(s, (double[]){3}, (double[]){1});
    assert_true(near(r.step, (3 * 3 + 8) / 4.0) && near(r.learner[TIME_EVALUATE], 1.5));
}

/* Two ranks on one core take as long as one after the other; on one and a half, 3/4 of their speed
 * each while both work. */
static void cores(void **state)
{
    (void)state;
    struct schedule s = {.learners = 1, .actors = 1, .lag = 1, .device.cores = 1};
    assert_true(near(run(s, (double[]){2}, (double[]){2}).step, 4));
    assert_true(near(run(s, (double[]){1}, (double[]){3}).step, 4));
    s.device.cores = 2;
    assert_true(near(run(s, (double[]){2}, (double[]){2}).step, 2));
    s.device.cores = 1.5; /* 4/3 until the first is done, then 2 alone */
    assert_true(near(run(s, (double[]){1}, (double[]){3}).step, 4 / 3.0 + 2));
    s = (struct schedule){
        .learners = 1, .actors = 3, .device.cores = 2}; /* three on two: 1.5 times */
    assert_true(near(run(s, (double[]){2, 2, 2}, (double[]){1}).step, 4));
    s.ranks_a_host = 2; /* the learner waits; actors 1 with it, 2 and 3 beside each other */
    assert_true(near(run(s, (double[]){2, 2, 2}, (double[]){1}).step, 3));
    /* With a core each nothing is another than with devices of their own. */
    const struct schedule own = {.learners = 2, .actors = 2, .lag = 1, .weights = 0.5};
    struct schedule shared = own;
    shared.device.cores = 4;
    const double g[] = {1, 2}, l[] = {1.5, 0.5};
    assert_true(near(run(own, g, l).step, run(shared, g, l).step));
}

/* Measured speeds: two at once have 3/4 each, four as much together as the two. */
static void measured_sharing(void **state)
{
    (void)state;
    const double speed[] = {1, 0.75};
    struct schedule s = {.learners = 1, .actors = 1, .lag = 1, .device = {0, speed, 2}};
    /* 1 / 0.75 until the first is done, then 2 alone. */
    assert_true(near(run(s, (double[]){1}, (double[]){3}).step, 4 / 3.0 + 2));
    s = (struct schedule){.learners = 1, .actors = 4, .device = {0, speed, 2}};
    const double four[] = {3, 3, 3, 3};
    assert_true(near(run(s, four, (double[]){1}).step, 3 * 4 / 1.5 + 1));
    /* Devices of their own, one memory: two learners sum as fast as they did when
     * measured, then take their steps at 3/4. */
    s = (struct schedule){.learners = 2,
                          .actors = 2,
                          .memory = {0, speed, 2},
                          .sums = {0, (double[]){1, 1, 0.5}, 3},
                          .exchange = 0.5,
                          .copy = 1.5,
                          .step = 0.75};
    const struct schedule_result r = run(s, (double[]){1, 1}, (double[]){1, 1});
    assert_true(near(r.step, 1 + 1 + 0.5 + 1.5 + 1));
    assert_true(near(r.learner[TIME_EXCHANGE], 2) && near(r.learner[TIME_LEARN], 2));
    /* On cores, a learner that is done copies beside the other, which computes: each has half. */
    s = (struct schedule){.learners = 1,
                          .actors = 1,
                          .lag = 1,
                          .device = {.cores = 1},
                          .sums = {.cores = 1},
                          .copy = 1};
    assert_true(near(run(s, (double[]){3}, (double[]){2}).step, 6));
}

/* Every fourth batch of each of two actors takes 5 s, the others 1; learning 2 s.  An agreement
 * behind every step, or lag 1, waits for each such batch, two of four steps; batches that are there
 * make up for them. */
static void slow_batches(void **state)
{
    (void)state;
    static double made[(STEPS + 8) * 2], learned[STEPS + 8];
    for (int b = 0; b < STEPS + 8; b++) {
        made[2 * b] = b % 4 == 0 ? 5 : 1;
        made[2 * b + 1] = b % 4 == 2 ? 5 : 1;
        learned[b] = 2;
    }
    struct schedule s = {.learners = 1,
                         .actors = 2,
                         .lag = 1,
                         .streamed = 1,
                         .steps = STEPS,
                         .skip = 4,
                         .generate = made,
                         .learn = learned};
    struct schedule_result out;
    schedule_run(&s, &out);
    assert_true(near(out.step, (5 + 2 + 5 + 2) / 4.0));
    s.lag = 4;
    schedule_run(&s, &out);
    assert_true(near(out.step, 2));
    s.jitter = 0.5; /* a mean of 1: only the learner's work counts, but for what jitter it drew */
    schedule_run(&s, &out);
    double drawn = 0;
    for (uint32_t b = 4; b < STEPS; b++)
        drawn += 2 * philox_jitter(0.5, 0, (const uint32_t[4]){0, b, 0, 1}) / (STEPS - 4);
    assert_true(out.step > drawn - 1e-9 && out.learner[TIME_LEARN] > drawn - 1e-9 &&
                out.learner[TIME_LEARN] < drawn + 1e-9);
    s.jitter = 0;
    s.streamed = 0; /* weights and an agreement of all */
    schedule_run(&s, &out);
    assert_true(near(out.step, (5 + 2 + 5 + 2) / 4.0));
}

/* Seconds of 12 dialogues of three actors, two together; the last rank's take `slowest` times as
 * long. */
static struct schedule_result stolen(int64_t part, double slowest, double ask)
{
    static double made[(STEPS + 8) * 3 * 6], learned[STEPS + 8];
    struct schedule_result out;
    const struct schedule s = {.learners = 1,
                               .actors = 3,
                               .dialogues = 12,
                               .part = part,
                               .ask = ask,
                               .slowest = slowest,
                               .steps = STEPS,
                               .skip = 4,
                               .generate = made,
                               .learn = learned};
    const int64_t parts = schedule_parts(&s);
    assert_true(parts <= 6);
    for (int64_t i = 0; i < (STEPS + 8) * 3; i++)
        for (int64_t j = 0; j < parts; j++) made[i * parts + j] = part ? (double)part : 4;
    schedule_run(&s, &out);
    return out;
}

/* Slices of 4 dialogues, 1 s each. */
static void stealing(void **state)
{
    (void)state;
    assert_true(near(stolen(0, 1, 0).step, 4) && near(stolen(0, 3, 0).step, 12));
    assert_true(near(stolen(2, 1, 0).step, 4)); /* nothing is left to take */
    /* The third takes 6 s a part.  At 4 s the others have theirs; actor 1 asks 2 first, then 2 is
     * at its first part: one of them takes its second and is done at 6, when 2 is too. */
    const struct schedule_result r = stolen(2, 3, 0);
    assert_true(near(r.step, 6) && near(r.actor[TIME_GENERATE], (6 + 4 + 6) / 3.0));
    /* By single dialogues: 3 s a dialogue; the others take its 3 from 4 s on: done at 6. */
    assert_true(near(stolen(1, 3, 0).step, 6));
    /* An answer takes a quarter: actor 1 has its part at 6.25 and then asks both in vain. */
    const struct schedule_result asked = stolen(2, 3, 0.25);
    assert_true(near(asked.step, 6.75));
    assert_true(asked.actor[TIME_WAIT_SLOWEST] > 0.25);
}

/* Checked with the formulas by hand: cost 60 s, 10 h between failures. */
static void intervals(void **state)
{
    (void)state;
    assert_true(fabs(interval_young(60, 36000) - 2078.4610) < 1e-3);
    assert_true(fabs(interval_daly(60, 36000) - 2038.6536) < 1e-3);
    assert_true(near(interval_daly(200, 100), 100));
    /* Young's is the least of the first-order loss, up to that order. */
    const double best = interval_lost(interval_young(1, 1e6), 1, 1e6, 0);
    assert_true(best < interval_lost(1.2 * interval_young(1, 1e6), 1, 1e6, 0));
    assert_true(best < interval_lost(interval_young(1, 1e6) / 1.2, 1, 1e6, 0));
}

static void drawn_lengths(void **state)
{
    (void)state;
    double list[] = {10, 20, 30}, until[] = {0.5, 0.5, 1};
    struct lengths l = {.most = 100};
    const uint32_t key[2] = {1, 2};
    assert_int_equal(lengths_at(&l, key, (uint32_t[]){0, 0, 0, 0}), 100);
    l = (struct lengths){.most = 25, .list = list, .until = until, .count = 3};
    int counts[26] = {0};
    for (uint32_t i = 0; i < 4000; i++) counts[lengths_at(&l, key, (uint32_t[]){i, 0, 0, 0})]++;
    assert_int_equal(counts[10] + counts[25], 4000); /* 30 is cut to 25; 20 is never drawn */
    assert_true(abs(counts[10] - 2000) < 150);
    l = (struct lengths){.most = 1 << 20, .median = 100, .sigma = 0.5};
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        const double x = log((double)lengths_at(&l, key, (uint32_t[]){i, 0, 0, 0}));
        sum += x / 20000;
        squares += x * x / 20000;
    }
    assert_true(fabs(sum - log(100)) < 0.02 && fabs(sqrt(squares - sum * sum) - 0.5) < 0.02);
}

/* Two replies a turn: steps of 1 s where both are decoded, 0.75 s of one; 2 s besides. */
static void generation(void **state)
{
    (void)state;
    double one[8], two[8], list[] = {4};
    for (int i = 0; i < 8; i++) {
        one[i] = 0.75;
        two[i] = 1;
    }
    const struct prices p = {.candidates = 2,
                             .steps = 8,
                             .batch = 2,
                             .turns = 2,
                             .goes_on = {1, 1},
                             .sizes = 2,
                             .size = {{1, 1, one}, {2, 2, two}}};
    struct lengths l = {.most = 8, .list = list, .count = 1};
    int64_t tokens;
    assert_true(near(plan_generate(&p, &l, 1, 1, 0, &tokens), 2 * (2 + 4)));
    assert_int_equal(tokens, 16);
    list[0] = 3; /* seen at the next look, after step 4 */
    assert_true(near(plan_generate(&p, &l, 1, 3, 0, &tokens), 3 * 2 * (2 + 4)));
    assert_int_equal(tokens, 36);
}

/* values_mpi.c's tree over 4 learners on hosts of 2: half of the bytes inside, a quarter between.
 */
static void exchange(void **state)
{
    (void)state;
    const struct cluster c = {.hosts = 2,
                              .ranks = 2,
                              .inside = {.latency = 1, .bandwidth = 100},
                              .between = {.latency = 2, .bandwidth = 10}};
    double copy;
    assert_true(near(plan_exchange(&c, 4, 400, &copy), 1 + 2 + 100 / 10.0));
    assert_true(near(copy, 200 / 100.0));
    assert_true(near(plan_exchange(&c, 1, 400, &copy), 0) && near(copy, 0));
}

static void refused(const char *text, const char *said)
{
    struct cluster cluster;
    char path[] = "/tmp/regard-cluster-XXXXXX";
    const int file = mkstemp(path);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
    status s = cluster_read(&cluster, path);
    unlink(path);
    assert_non_null(s);
    if (!strstr(status_message(s), said)) fail_msg("%s, not %s", status_message(s), said);
    status_free(s);
}

static void cluster_files(void **state)
{
    (void)state;
    struct cluster c;
    assert_null(cluster_read(&c, REGARD_SOURCE "/configs/cluster-example.yaml"));
    assert_int_equal(cluster_size(&c), 8);
    assert_true(c.replies.median == 200 && c.device.flops == 4e14);
    refused("hosts: 0\n", ":1: hosts must be between 1 and 1048576, not 0");
    refused("host: 2\n", ":1: unknown key host; did you mean hosts?");
    refused("device:\n  flop: 1e12\n", ":2: unknown key device.flop; did you mean device.flops?");
    refused("fast: true\n", "configs/cluster-example.yaml lists them");
    refused("ranks: many\n", ":1: ranks must be an integer");
    refused("replies:\n  tokens: 3\n  median: 5\n", "more than one of tokens, median, list and");
    refused("replies:\n  sigma: 1\n", "replies.sigma does nothing without replies.median");
    refused("replies:\n  list: [1, 2]\n  weights: [1]\n", "1 numbers for the 2 of replies.list");
    refused("sharing:\n  compute: [1, 0.5]\n", "sharing.compute is of ranks that compute on cores");
    refused("sharing:\n  sums: [0]\n", ":2: ");
    refused("sharing:\n  memory: [1, 2]\n", ":2: ");
    refused("device: {slowest: 0.5}\n", ":1: device.slowest must be between 1 and");
    refused("replies:\n  list: [1]\n  weights: [0]\n", "all of replies.weights are 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_after_the_other),
                                       cmocka_unit_test(side_by_side),
                                       cmocka_unit_test(equal_times_are_halved),
                                       cmocka_unit_test(slow_actor),
                                       cmocka_unit_test(both_roles),
                                       cmocka_unit_test(checkpoints),
                                       cmocka_unit_test(cores),
                                       cmocka_unit_test(measured_sharing),
                                       cmocka_unit_test(stealing),
                                       cmocka_unit_test(slow_batches),
                                       cmocka_unit_test(intervals),
                                       cmocka_unit_test(drawn_lengths),
                                       cmocka_unit_test(generation),
                                       cmocka_unit_test(exchange),
                                       cmocka_unit_test(cluster_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
