/* Audits: figures beside plain formulas, alarms of planted rewards. */
#include "src/learn/audit.h"

#include "src/base/config.h"
#include "src/learn/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { LOGPROB, VERIFIER }; /* columns: the reward and the judge */
enum { EACH = 4, MOST = 64 };

static struct reward_settings reward;
static double divisors[TERM_MAX];
static struct batch_item items[MOST * EACH];

static int setup(void **state)
{
    (void)state;
    struct config config;
    config_defaults(&config);
    assert_null(config_set(&config, "reward.sources=logprob:1,verifier:0"));
    assert_null(config_set(&config, "audit.every=2"));
    const struct learn_settings settings = learn_settings_of(&config);
    reward = settings.reward;
    assert_int_equal(settings.audit_every, 2);
    assert_int_equal(settings.audit_judge, VERIFIER);
    for (int t = 0; t < TERM_MAX; t++) divisors[t] = 1;
    return 0;
}

/* A batch of `dialogues` dialogues of one turn: rewards and judgements [dialogues x EACH]. */
static void audit_batch(struct audit *audit, int64_t dialogues, const double *rewards,
                        const double *judged, bool due, struct audit_report *out)
{
    memset(items, 0, sizeof items);
    for (int64_t i = 0; i < dialogues * EACH; i++) {
        items[i].key = (struct turn_key){i / EACH, 1, (int32_t)(i % EACH), 0};
        items[i].terms[LOGPROB] = rewards[i];
        items[i].terms[VERIFIER] = judged[i];
        items[i].reply_tokens = items[i].span.end = 3;
        items[i].spans = 1;
    }
    assert_null(audit_add(audit, &reward, VERIFIER, items, dialogues * EACH, divisors, due, out));
}

static void a_ratio_has_the_error_of_its_dialogues(void **state)
{
    (void)state;
    static const double s[] = {3, 7, 1, 9, 4, 8}, w[] = {2, 3, 1, 3, 2, 4};
    double ratio = 0, weight = 0, squares = 0;
    for (int i = 0; i < 6; i++) ratio += s[i], weight += w[i];
    ratio /= weight;
    for (int i = 0; i < 6; i++) squares += pow(s[i] - ratio * w[i], 2);
    for (int offset = 0; offset < 2; offset++) {
        /* Far from 0 the differences stay: 1e9 has 2e-7 of room in its last digit. */
        const double far = offset ? 1e9 : 0;
        struct audit_sums sums = {0};
        for (int i = 0; i < 6; i++) audit_sums_add(&sums, s[i] + far * w[i], w[i]);
        audit_sums_add(&sums, 5, 0);
        const struct audit_figure figure = audit_sums_figure(&sums);
        assert_float_equal(figure.value, far + ratio, offset ? 1e-6 : 1e-12);
        assert_float_equal(figure.error, sqrt(squares * 6 / 5) / weight, offset ? 1e-6 : 1e-12);
    }
    struct audit_sums few = {0};
    assert_true(isnan(audit_sums_figure(&few).value));
    for (int i = 0; i < 4; i++) audit_sums_add(&few, s[i], w[i]);
    assert_float_equal(audit_sums_figure(&few).value, 20.0 / 9, 1e-12);
    assert_true(isnan(audit_sums_figure(&few).error));
}

static void the_correlation_is_spearmans_where_the_judge_tells_replies_apart(void **state)
{
    (void)state;
    struct audit audit = {0};
    struct audit_report report;
    /* The second's judge is the same for all, the third's reward: nothing, and 0. */
    const double rewards[] = {1, 2, 3, 4, 9, 7, 8, 6, 5, 5, 5, 5, 4, 3, 2, 1};
    const double judged[] = {1, 3, 2, 4, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1};
    audit_batch(&audit, 4, rewards, judged, true, &report);
    /* Spearman: 0.8; none; 0; ranks 4 3 2 1 and 1.5 1.5 3.5 3.5: -2/sqrt(5). */
    assert_float_equal(report.part[AUDIT_CORRELATION].value, (0.8 + 0 - 2 / sqrt(5)) / 3, 1e-12);
    assert_float_equal(report.part[AUDIT_REWARD].value, 70.0 / 16, 1e-12);
    assert_float_equal(report.part[AUDIT_JUDGE].value, 18.0 / 16, 1e-12);
    assert_int_equal(report.dialogues, 4);
    assert_true(report.due && report.first);
    assert_int_equal(report.alarm, AUDIT_FINE);
}

/* Rewards of a level, judgements of another, within a turn the same or opposite order; a little
 * noise, so that there is an error. */
static void planted(double reward_level, double judge_level, int order, double *rewards,
                    double *judged)
{
    uint32_t seed = 7;
    for (int i = 0; i < 10 * EACH; i++) {
        seed = seed * 1664525u + 1013904223u;
        const double noise = 0.1 * ((double)(seed >> 8) / 0x1p24 - 0.5);
        rewards[i] = reward_level + noise + i % EACH;
        judged[i] = judge_level - noise + order * (i % EACH);
    }
}

static enum audit_alarm after(struct audit *audit, double reward_level, double judge_level,
                              int order)
{
    double rewards[10 * EACH], judged[10 * EACH];
    struct audit_report report;
    planted(reward_level, judge_level, order, rewards, judged);
    audit_batch(audit, 10, rewards, judged, false, &report);
    assert_false(report.due);
    audit_batch(audit, 10, rewards, judged, true, &report);
    assert_true(report.due);
    assert_int_equal(report.dialogues, 20);
    return report.alarm;
}

static void a_reward_that_rises_while_the_judge_falls_is_told(void **state)
{
    (void)state;
    struct audit audit = {0};
    assert_int_equal(after(&audit, 0, 1, 1), AUDIT_FINE);
    assert_int_equal(after(&audit, 1, 1, 1), AUDIT_FINE); /* the judge stands */
    assert_int_equal(after(&audit, 0, 0, 1), AUDIT_FINE); /* both fall or stand */
    assert_int_equal(after(&audit, 1, 2, 1), AUDIT_FINE); /* both rise */
    assert_int_equal(after(&audit, 1, 0, 1), AUDIT_PARTED);
}

static void a_reward_against_the_judge_is_told_the_second_time(void **state)
{
    (void)state;
    struct audit audit = {0};
    assert_int_equal(after(&audit, 0, 0, -1), AUDIT_FINE);
    assert_int_equal(after(&audit, 0, 0, -1), AUDIT_AGAINST);
    assert_int_equal(after(&audit, 0, 0, 1), AUDIT_FINE);
    assert_int_equal(after(&audit, 0, 0, -1), AUDIT_FINE);
}

static void four_dialogues_alarm_nobody(void **state)
{
    (void)state;
    struct audit audit = {0};
    struct audit_report report;
    for (int i = 0; i < 4; i++) {
        double rewards[10 * EACH], judged[10 * EACH];
        planted(i, -i, -1, rewards, judged);
        audit_batch(&audit, 4, rewards, judged, true, &report);
        assert_int_equal(report.alarm, AUDIT_FINE);
    }
}

static void the_order_of_items_changes_no_bit(void **state)
{
    (void)state;
    struct audit audit = {0}, other = {0};
    struct audit_report report;
    double rewards[10 * EACH], judged[10 * EACH];
    planted(3, 1, 1, rewards, judged);
    audit_batch(&audit, 10, rewards, judged, false, &report);
    for (int i = 0; i < 5 * EACH; i++) {
        const struct batch_item one = items[i];
        items[i] = items[10 * EACH - 1 - i];
        items[10 * EACH - 1 - i] = one;
    }
    assert_null(audit_add(&other, &reward, VERIFIER, items, 10 * EACH, divisors, false, &report));
    assert_memory_equal(&audit, &other, sizeof audit);
}

static void the_reward_stays_in_the_units_of_the_first_update(void **state)
{
    (void)state;
    struct audit audit = {0};
    struct audit_report report;
    double rewards[10 * EACH], judged[10 * EACH];
    planted(3, 1, 1, rewards, judged);
    divisors[LOGPROB] = 2;
    audit_batch(&audit, 10, rewards, judged, true, &report);
    const double first = report.part[AUDIT_REWARD].value;
    divisors[LOGPROB] = 4;
    audit_batch(&audit, 10, rewards, judged, true, &report);
    divisors[LOGPROB] = 1;
    assert_float_equal(report.part[AUDIT_REWARD].value, first, 0);
    assert_float_equal(report.change[AUDIT_REWARD].value, 0, 0);
}

/* Two replies of two blocks each: coverage 0.25 and 0.75, 0.5 and 0; alpha 2, divisors 1. */
static void a_reply_of_blocks_has_the_reward_that_is_climbed(void **state)
{
    (void)state;
    for (int mean = 0; mean < 2; mean++) {
        struct config config;
        struct audit audit = {0};
        struct audit_report report;
        config_defaults(&config);
        assert_null(config_set(&config, "task=reasoning"));
        assert_null(config_set(&config, "reward.sources=attention:2,verifier:0"));
        assert_null(config_set(&config, mean ? "cot.return=mean" : "cot.return=sum"));
        const struct reward_settings blocks = reward_settings_of(&config);
        const int64_t judge = blocks.term_count - 1;
        const double coverage[] = {0.25, 0.75, 0.5, 0}, judged[] = {0, 1, 0, 0};
        struct batch_item list[4] = {0};
        for (int i = 0; i < 4; i++) {
            list[i].key = (struct turn_key){0, 1, i / 2, i % 2};
            list[i].span = (struct span){.begin = 5 * (i % 2), .end = 5 + 5 * (i % 2)};
            list[i].reply_tokens = 10;
            list[i].spans = 2;
            list[i].terms[0] = coverage[i];
            list[i].terms[judge] = judged[i];
        }
        assert_null(audit_add(&audit, &blocks, judge, list, 4, divisors, true, &report));
        assert_float_equal(report.part[AUDIT_REWARD].value, mean ? 0.75 : 1.5, 1e-12);
        assert_float_equal(report.part[AUDIT_JUDGE].value, 0.5, 1e-12);
        assert_float_equal(report.part[AUDIT_CORRELATION].value, 1, 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ratio_has_the_error_of_its_dialogues),
        cmocka_unit_test(the_correlation_is_spearmans_where_the_judge_tells_replies_apart),
        cmocka_unit_test(a_reward_that_rises_while_the_judge_falls_is_told),
        cmocka_unit_test(a_reward_against_the_judge_is_told_the_second_time),
        cmocka_unit_test(four_dialogues_alarm_nobody),
        cmocka_unit_test(the_order_of_items_changes_no_bit),
        cmocka_unit_test(the_reward_stays_in_the_units_of_the_first_update),
        cmocka_unit_test(a_reply_of_blocks_has_the_reward_that_is_climbed)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
