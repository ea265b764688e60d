/* Sources of reward: the set that a run opens, its columns, its controls, and what it refuses. */
#include "tests/reward/reward_test.h"

#include "src/reward/terms.h"
#include "src/source/source.h"

#include <stdlib.h>

enum { REPLIES = 4000 };

static struct config config_of(const char *sources)
{
    struct config config;
    char assignment[256];
    config_defaults(&config);
    snprintf(assignment, sizeof assignment, "reward.sources=%s", sources);
    assert_done(config_set(&config, assignment));
    return config;
}

static struct source_set *set_of(const struct config *config)
{
    const struct source_settings settings = source_settings_of(config);
    const struct reward_settings reward = reward_settings_of(config);
    struct source_set *set;
    assert_done(sources_open(&settings, &reward, &set));
    return set;
}

static void columns_are_attentions_terms_and_one_a_source_in_the_tables_order(void **state)
{
    (void)state;
    const struct config config = config_of("random:0.25,attention:2,constant");
    const struct reward_settings reward = reward_settings_of(&config);
    const char *const names[] = {"coverage", "focus", "rep_hist", "rep_self", "constant", "random"};
    const double weights[] = {2, 1, -2, -0.0, 1, 0.25};
    assert_int_equal(reward.term_count, 6);
    for (int t = 0; t < 6; t++) {
        assert_string_equal(reward_term_name(&reward, t), names[t]);
        assert_close(reward.terms[t].weight, weights[t]);
        assert_int_equal(reward_term_given(&reward, t), t >= 4);
    }
    const struct config plain = config_of("\"\"");
    assert_int_equal(reward_settings_of(&plain).term_count, 4);
    struct source_set *set = set_of(&plain);
    assert_int_equal(sources_count(set), 0);
    sources_close(set);
}

static void given_terms_stay_as_they_are_and_others_are_computed(void **state)
{
    (void)state;
    const struct config config = config_of("attention,constant:3");
    const struct reward_settings reward = reward_settings_of(&config);
    double value[TERM_MAX] = {[0] = 9, [4] = 0.5, [5] = 9};
    const struct reward_turn empty = {.key = {1, 1, 0, 0}};
    assert_done(reward_terms_compute(&reward, &empty, value));
    assert_close(value[0], 0);
    assert_close(value[4], 0.5);
    assert_close(value[5], 0);
    assert_close(reward_combine(&reward, value, NULL, 0), 1.5);
    value[4] = INFINITY;
    assert_fails_with(reward_terms_compute(&reward, &empty, value), "dialogue 1, turn 1",
                      "constant is not finite");
}

static void random_is_a_fair_coin_of_the_replys_key_and_the_seed_alone(void **state)
{
    (void)state;
    struct config config = config_of("constant,random");
    static struct source_reply replies[REPLIES];
    static double terms[REPLIES][TERM_MAX], again[REPLIES][TERM_MAX];
    for (int i = 0; i < REPLIES; i++) replies[i].key = (struct turn_key){i / 40, i % 5, i % 8, 0};
    struct source_set *set = set_of(&config);
    assert_done(sources_compute(set, replies, REPLIES, terms, NULL));
    double ones = 0, with_constant = 0;
    for (int i = 0; i < REPLIES; i++) {
        assert_close(terms[i][0], 1);
        assert_true(terms[i][1] == 0 || terms[i][1] == 1);
        ones += terms[i][1];
        assert_done(sources_compute(set, &replies[i], 1, again, NULL));
        with_constant += again[0][1] == terms[i][1];
    }
    assert_int_equal((int)with_constant, REPLIES);                    /* alone or beside others */
    assert_in_range((int)ones, REPLIES / 2 - 130, REPLIES / 2 + 130); /* four deviations */
    sources_close(set);
    config.seed++;
    set = set_of(&config);
    assert_done(sources_compute(set, replies, REPLIES, again, NULL));
    double same = 0;
    for (int i = 0; i < REPLIES; i++) same += again[i][1] == terms[i][1];
    assert_in_range((int)same, REPLIES / 2 - 130, REPLIES / 2 + 130);
    sources_close(set);
}

/* Three replies of 3, 2 and 0 tokens. */
static const float logp[] = {-1, -2, -6, -0.5f, -0.25f};
static const float entropy[] = {0.5f, 1, 3, 2, 1}, certainty[] = {4, 5, 9, 1, 2};

static void numbers_of_tokens_are_means_and_0_without_tokens(void **state)
{
    (void)state;
    const struct config config = config_of("entropy,logprob,self_certainty");
    const struct source_reply replies[] = {
        {.count = 3, .logp = logp, .token_entropy = entropy, .self_certainty = certainty},
        {.count = 2,
         .logp = logp + 3,
         .token_entropy = entropy + 3,
         .self_certainty = certainty + 3},
        {.count = 0, .logp = logp, .token_entropy = entropy, .self_certainty = certainty}};
    double terms[3][TERM_MAX] = {{0}};
    struct source_set *set = set_of(&config);
    assert_done(sources_compute(set, replies, 3, terms, NULL));
    const double wanted[3][3] = {{-3, 6, -1.5}, {-0.375, 1.5, -1.5}, {0, 0, 0}};
    for (int i = 0; i < 3; i++)
        for (int t = 0; t < 3; t++) assert_close(terms[i][t], wanted[i][t]);
    sources_close(set);
}

static void format_is_whether_the_expression_is_found(void **state)
{
    (void)state;
    struct config config = config_of("format");
    const char *const texts[] = {"so it is\n#### 42", "#### ",          "x#### 7", "",
                                 "\xff\n#### 1",      "\n#### \xd9\xa3"};
    const double wanted[] = {1, 0, 0, 0, 1, 1}; /* \d is a digit of any script */
    enum { TEXTS = sizeof texts / sizeof *texts };
    struct source_reply replies[TEXTS] = {{.text = NULL}};
    double terms[TEXTS][TERM_MAX] = {{0}};
    for (int i = 0; i < TEXTS; i++) replies[i].text = texts[i];
    strcpy(config.reward.format, "(?m)^#### \\d");
    struct source_set *set = set_of(&config);
    assert_int_equal(sources_needs(set), SOURCE_NEEDS_TEXT);
    assert_done(sources_compute(set, replies, TEXTS, terms, NULL));
    for (int i = 0; i < TEXTS; i++) assert_close(terms[i][0], wanted[i]);
    sources_close(set);
}

static void a_format_that_runs_away_is_an_error_of_the_reply(void **state)
{
    (void)state;
    struct config config = config_of("format");
    struct source_reply reply = {.key = {7, 2, 1, 0},
                                 .text = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"};
    double terms[1][TERM_MAX];
    strcpy(config.reward.format, "^(a+)+$");
    struct source_set *set = set_of(&config);
    assert_fails_with(sources_compute(set, &reply, 1, terms, NULL), "reward.format", "dialogue 7");
    sources_close(set);
}

/* A source that cuts replies as the test says. */
struct cutter {
    struct source_span spans[4];
    int count;
    double value;
};

static status cut(void *state, const struct source_reply *replies, int64_t count, double *values,
                  struct source_spans *spans)
{
    const struct cutter *cutter = state;
    (void)replies;
    for (int64_t i = 0; i < count; i++) values[i] = cutter->value;
    for (int i = 0; i < cutter->count; i++) source_spans_add(spans, cutter->spans[i]);
    return NULL;
}
static const struct source first = {.name = "first", .compute = cut};
static const struct source second = {.name = "second", .compute = cut};

static void a_reply_that_is_cut_has_the_sum_of_its_spans(void **state)
{
    (void)state;
    struct cutter cutter = {{{1, 0, 2, 0.5}, {1, 2, 5, 0.25}}, 2, 9};
    const struct source_reply replies[] = {{.count = 4}, {.count = 5}};
    double terms[2][TERM_MAX] = {{0}};
    struct given_spans cuts[2] = {{.list = NULL}};
    assert_done(source_ask(&first, &cutter, 3, replies, 2, terms, cuts));
    assert_close(terms[0][3], 9);
    assert_close(terms[1][3], 0.75);
    assert_null(cuts[0].list);
    assert_int_equal(cuts[1].count, 2);
    assert_int_equal(cuts[1].list[1].begin, 2);
    assert_close(cuts[1].list[1].terms[3], 0.25);
    cutter.spans[0].end = cutter.spans[1].begin = 3;
    assert_fails_with(source_ask(&second, &cutter, 4, replies, 2, terms, cuts), "first and second",
                      "differently");
    free(cuts[1].list);
}

static void what_is_no_reward_is_refused_by_name(void **state)
{
    (void)state;
    struct cutter cutter = {.value = NAN};
    const struct source_reply reply = {.key = {12, 3, 4, 0}, .count = 4};
    double terms[1][TERM_MAX];
    assert_fails_with(source_ask(&first, &cutter, 0, &reply, 1, terms, NULL), "source first",
                      "dialogue 12, turn 3, candidate 4");
    const struct cutter wrong[] = {{{{0, 0, 3, 1}}, 1, 0},
                                   {{{0, 0, 2, 1}, {0, 3, 4, 1}}, 2, 0},
                                   {{{0, 0, 5, 1}}, 1, 0},
                                   {{{0, 0, 2, 1}, {0, 2, 2, 1}, {0, 2, 4, 1}}, 3, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cutter = wrong[i];
        assert_fails_with(source_ask(&first, &cutter, 0, &reply, 1, terms, NULL), "source first",
                          "candidate 4 spans that do not cover its 4 tokens");
    }
    cutter = (struct cutter){{{0, 0, 4, INFINITY}}, 1, 0};
    assert_fails_with(source_ask(&first, &cutter, 0, &reply, 1, terms, NULL), "source first",
                      "inf");
}

static void the_time_of_each_source_is_told_once(void **state)
{
    (void)state;
    const struct config config = config_of("attention,random");
    static struct source_reply replies[REPLIES];
    static double terms[REPLIES][TERM_MAX];
    double milliseconds[TERM_MAX] = {0};
    struct source_set *set = set_of(&config);
    assert_done(sources_compute(set, replies, REPLIES, terms, NULL));
    sources_take_milliseconds(set, milliseconds);
    assert_true(milliseconds[4] > 0);
    assert_close(milliseconds[0], 0);
    milliseconds[4] = 0;
    sources_take_milliseconds(set, milliseconds);
    assert_close(milliseconds[4], 0);
    sources_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_attentions_terms_and_one_a_source_in_the_tables_order),
        cmocka_unit_test(given_terms_stay_as_they_are_and_others_are_computed),
        cmocka_unit_test(random_is_a_fair_coin_of_the_replys_key_and_the_seed_alone),
        cmocka_unit_test(numbers_of_tokens_are_means_and_0_without_tokens),
        cmocka_unit_test(format_is_whether_the_expression_is_found),
        cmocka_unit_test(a_format_that_runs_away_is_an_error_of_the_reply),
        cmocka_unit_test(a_reply_that_is_cut_has_the_sum_of_its_spans),
        cmocka_unit_test(what_is_no_reward_is_refused_by_name),
        cmocka_unit_test(the_time_of_each_source_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
