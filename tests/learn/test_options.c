/* Options of advantages and credit against the float64 oracle: tests/golden/learning.json, random
 * cases by tools/reference/learning_oracle.py (the file's form is described there). */
#include "tests/reward/reward_test.h"

#include "src/base/json.h"
#include "src/learn/advantage.h"
#include "src/learn/credit.h"
#include "src/reward/blocks.h"
#include "src/reward/terms.h"
#include "src/reward/token_credit.h"

enum { MOST = 64 };

static json_t *fixture;

static int open_fixture(void **state)
{
    (void)state;
    assert_done(json_read(REGARD_SOURCE "/tests/golden/learning.json", &fixture));
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    json_decref(fixture);
    return 0;
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value) fail_msg("no \"%s\"", key);
    return value;
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(member(object, key));
}

static void set_text(struct config *config, const char *key, const json_t *object, const char *name)
{
    char text[96];
    snprintf(text, sizeof text, "%s=%s", key, json_string_value(member(object, name)));
    assert_done(config_set(config, text));
}

static void close_to(double saw, double wanted, const char *what, size_t at)
{
    if (!(fabs(saw - wanted) <= 1e-11 * fmax(1, fabs(wanted))))
        fail_msg("case %zu: %s is %.15g, not %.15g", at, what, saw, wanted);
}

static struct turn_key key_of(const json_t *item, bool with_span)
{
    return (struct turn_key){json_integer_value(member(item, "dialogue")),
                             (int32_t)number(item, "turn"), (int32_t)number(item, "candidate"),
                             with_span ? (int32_t)number(item, "span") : 0};
}

static void groups_of_every_form_and_filter_are_the_oracles(void **state)
{
    (void)state;
    const json_t *cases = member(fixture, "groups");
    assert_int_equal(json_array_size(cases), 20);
    for (size_t at = 0; at < json_array_size(cases); at++) {
        const json_t *one = json_array_get(cases, at), *items = member(one, "items");
        const size_t count = json_array_size(items);
        struct config config;
        struct advantage_item list[MOST];
        int dropped = 0;
        assert_true(count <= MOST);
        config_defaults(&config);
        assert_done(config_set(&config, "advantage=group"));
        set_text(&config, "group.form", one, "form");
        config.group.filter = json_is_true(member(one, "filter"));
        config.ppo.whiten = json_is_true(member(one, "whiten"));
        for (size_t i = 0; i < count; i++) {
            const json_t *item = json_array_get(items, i);
            list[i] = (struct advantage_item){.key = key_of(item, true),
                                              .reward = number(item, "reward")};
        }
        const struct learn_settings learn = learn_settings_of(&config);
        assert_done(advantage_compute(&learn, list, (int64_t)count));
        for (size_t i = 0; i < count; i++) {
            const json_t *item = json_array_get(items, i);
            close_to(list[i].advantage, number(item, "advantage"), "advantage", at);
            assert_int_equal(list[i].dropped, json_is_true(member(item, "dropped")));
            dropped += list[i].dropped;
        }
        assert_true((dropped > 0) == config.group.filter);
    }
}

static void a_batch_that_is_dropped_whole_has_no_advantage(void **state)
{
    (void)state;
    struct config config;
    config_defaults(&config);
    assert_done(config_set(&config, "advantage=group"));
    config.group.filter = true;
    for (int form = GROUP_RLOO; form <= GROUP_NONE; form++) {
        struct advantage_item list[2] = {{.key = {0, 1, 0, 0}, .reward = 0.1},
                                         {.key = {0, 1, 1, 0}, .reward = 0.1}};
        config.group.form = form;
        const struct learn_settings learn = learn_settings_of(&config);
        assert_done(advantage_compute(&learn, list, 2));
        for (int i = 0; i < 2; i++) assert_true(list[i].dropped && list[i].advantage == 0);
    }
}

/* Through credit_assign: a term is the reward, its weight 1. */
static void centred_returns_and_advantages_are_the_oracles(void **state)
{
    (void)state;
    const json_t *cases = member(fixture, "centers");
    for (size_t at = 0; at < json_array_size(cases); at++) {
        const json_t *one = json_array_get(cases, at), *batches = member(one, "batches");
        struct config config;
        struct running_statistics statistics = {0};
        config_defaults(&config);
        set_text(&config, "advantage", one, "advantage");
        config.turns.discount = number(one, "discount");
        config.gae.lambda = number(one, "gae_lambda");
        config.returns.center = true;
        config.ppo.whiten = false;
        config.reward.scale = SCALE_NONE;
        config.reward.alpha = 1;
        config.reward.beta = config.reward.gamma = 0;
        const struct learn_settings learn = learn_settings_of(&config);
        for (size_t b = 0; b < json_array_size(batches); b++) {
            const json_t *batch = json_array_get(batches, b), *items = member(batch, "items");
            const size_t count = json_array_size(items);
            struct batch_item list[MOST];
            double divisors[TERM_MAX];
            assert_true(count <= MOST);
            for (size_t i = 0; i < count; i++) {
                const json_t *item = json_array_get(items, i);
                list[i] = (struct batch_item){.key = key_of(item, false),
                                              .terms = {number(item, "reward")},
                                              .value = number(item, "value")};
            }
            assert_done(credit_assign(&learn, &statistics, list, (int64_t)count, divisors));
            close_to(statistics.reward.mean, number(batch, "mean"), "mean", at);
            for (size_t i = 0; i < count; i++) {
                const json_t *item = json_array_get(items, i);
                close_to(list[i].target, number(item, "return"), "return", at);
                close_to(list[i].span.value, number(item, "advantage"), "advantage", at);
            }
        }
    }
}

static void credit_by_entropy_and_at_random_is_the_oracles(void **state)
{
    (void)state;
    const json_t *cases = member(fixture, "credits");
    int moved = 0;
    for (size_t at = 0; at < json_array_size(cases); at++) {
        const json_t *one = json_array_get(cases, at), *list = member(one, "entropy");
        const int64_t count = (int64_t)json_array_size(list);
        const int64_t seed = json_integer_value(member(one, "seed"));
        const struct turn_key key = key_of(one, false);
        float entropy[MOST];
        double uniform[MOST], weights[MOST], shuffled[MOST], sum = 0;
        assert_true(count <= MOST);
        for (int64_t i = 0; i < count; i++)
            entropy[i] = (float)json_number_value(json_array_get(list, (size_t)i));
        token_credit(CREDIT_UNIFORM, seed, &key, NULL, NULL, count, uniform);
        token_credit(CREDIT_ENTROPY, seed, &key, entropy, NULL, count, weights);
        token_credit(CREDIT_RANDOM, seed, &key, entropy, NULL, count, shuffled);
        for (int64_t i = 0; i < count; i++) {
            const size_t place = (size_t)i;
            assert_true(uniform[i] == 1);
            close_to(weights[i], json_number_value(json_array_get(member(one, "weights"), place)),
                     "weight", at);
            close_to(shuffled[i], json_number_value(json_array_get(member(one, "shuffled"), place)),
                     "shuffled weight", at);
            assert_true(weights[i] >= 0);
            sum += weights[i];
            moved += weights[i] != shuffled[i];
        }
        close_to(sum / (double)count, 1, "mean", at);
    }
    assert_true(moved > 20);
}

/* Tokens that were put there take no share: the others' are those of a reply without them. */
static void credit_passes_over_tokens_that_were_put_there(void **state)
{
    (void)state;
    const struct turn_key key = {3, 1, 2, 0};
    const float entropy[] = {1, 2, 9, 0.5f, 9, 9, 3, 0.25f}, sampled[] = {1, 2, 0.5f, 3, 0.25f};
    const uint8_t marks[] = {BLOCK_VISIBLE, 0, BLOCK_FORCED, 0, BLOCK_FORCED | BLOCK_SALIENT,
                             BLOCK_FORCED,  0, BLOCK_SALIENT};
    const int form[] = {CREDIT_UNIFORM, CREDIT_ENTROPY, CREDIT_RANDOM};
    assert_true(token_mean(entropy, marks, 8) == 6.75 / 5);
    assert_true(token_mean(entropy, NULL, 3) == 4 && token_mean(entropy + 4, marks + 4, 2) == 0);
    for (int f = 0; f < 3; f++) {
        double weights[8], wanted[5];
        token_credit(form[f], 7, &key, sampled, NULL, 5, wanted);
        token_credit(form[f], 7, &key, entropy, marks, 8, weights);
        for (int i = 0, at = 0; i < 8; i++)
            assert_true(weights[i] == (marks[i] & BLOCK_FORCED ? 0 : wanted[at++]));
        token_credit(form[f], 7, &key, entropy + 4, marks + 4, 2, weights);
        assert_true(weights[0] == 0 && weights[1] == 0);
    }
}

static void overlong_replies_lose_what_the_oracle_says(void **state)
{
    (void)state;
    const json_t *cases = member(fixture, "overlong");
    for (size_t at = 0; at < json_array_size(cases); at++) {
        const json_t *one = json_array_get(cases, at), *list = member(one, "penalties");
        struct config config;
        config_defaults(&config);
        config.reward.overlong = number(one, "share");
        config.rollout.max_new_tokens = json_integer_value(member(one, "most"));
        const struct reward_settings with = reward_settings_of(&config);
        config.reward.overlong = 0;
        const struct reward_settings without = reward_settings_of(&config);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *pair = json_array_get(list, i);
            const int64_t length = json_integer_value(json_array_get(pair, 0));
            const double terms[TERM_MAX] = {0.5}, divisors[TERM_MAX] = {2, 1, 1, 1};
            const double want = json_number_value(json_array_get(pair, 1));
            close_to(reward_overlong(&with, length), want, "penalty", at);
            /* It is not scaled. */
            close_to(reward_combine(&without, terms, divisors, length) -
                         reward_combine(&with, terms, divisors, length),
                     want, "what the reward loses", at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_of_every_form_and_filter_are_the_oracles),
        cmocka_unit_test(a_batch_that_is_dropped_whole_has_no_advantage),
        cmocka_unit_test(centred_returns_and_advantages_are_the_oracles),
        cmocka_unit_test(credit_by_entropy_and_at_random_is_the_oracles),
        cmocka_unit_test(credit_passes_over_tokens_that_were_put_there),
        cmocka_unit_test(overlong_replies_lose_what_the_oracle_says),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
