/* The whole reward against the float64 oracle: tests/golden/reward.json, random cases by
 * tools/reference/reward_oracle.py (the file's form is described there). */
#include "tests/reward/reward_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/ops.h"
#include "src/base/json.h"
#include "src/learn/advantage.h"
#include "src/reward/returns.h"
#include "src/reward/terms.h"
#include "src/rollout/capture.h"

enum { MOST = 64 };

static json_t *fixture;

static int open_fixture(void **state)
{
    (void)state;
    assert_done(json_read(REGARD_SOURCE "/tests/golden/reward.json", &fixture));
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

static int64_t integer(const json_t *object, const char *key)
{
    return json_integer_value(member(object, key));
}

/* A setting as the config's own key reads it. */
static void set_text(struct config *config, const char *key, const json_t *object, const char *name)
{
    char text[96];
    snprintf(text, sizeof text, "%s=%s", key, json_string_value(member(object, name)));
    assert_done(config_set(config, text));
}

static void close_to(double saw, double wanted, double tolerance, const char *what, size_t at)
{
    if (!(fabs(saw - wanted) <= tolerance * fmax(1, fabs(wanted))))
        fail_msg("case %zu: %s is %.12g, not %.12g", at, what, saw, wanted);
}

static int64_t integers(const json_t *list, int32_t out[MOST])
{
    const int64_t count = (int64_t)json_array_size(list);
    assert_true(count <= MOST);
    for (int64_t i = 0; i < count; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return count;
}

/* The summary of one turn's rows, as a device makes it. */
struct summary {
    float entropy[MOST], floored[MOST], mass[MOST];
    int64_t visible, salient;
};

static void *upload(struct queue *q, const void *host, size_t bytes)
{
    void *memory;
    assert_done(q->op->allocate(q, MEMORY_ACTIVATIONS, bytes + 4, &memory));
    q->op->upload(q, memory, host, bytes);
    assert_done(q->op->synchronize(q));
    return memory;
}

static void summarize(struct queue *q, const struct config *config, int64_t turn, const json_t *one,
                      struct summary *out)
{
    const struct reward_settings reward = reward_settings_of(config);
    const json_t *rows = member(one, "rows");
    const int64_t m = (int64_t)json_array_size(rows);
    int32_t wide[2][MOST], zeros[MOST] = {0}, bounds[2] = {0, 0}, steps[MOST];
    uint32_t counters[3 * MOST] = {0};
    uint8_t marks[2][MOST];
    float weights[MOST * MOST] = {0}, floors[MOST];
    const int64_t n = integers(member(one, "visible"), wide[0]);
    assert_int_equal(integers(member(one, "salient"), wide[1]), n);
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < n; i++) {
        marks[0][i] = (uint8_t)wide[0][i];
        marks[1][i] = (uint8_t)wide[1][i];
        out->visible += wide[0][i];
        out->salient += wide[1][i];
    }
    if (!m) return;
    bounds[1] = (int32_t)n;
    for (int64_t s = 0; s < m; s++) {
        const json_t *row = json_array_get(rows, (size_t)s);
        steps[s] = (int32_t)s;
        floors[s] = (float)reward_floor(&reward, turn, out->visible);
        for (int64_t j = 0; j < n; j++)
            weights[s * n + j] = (float)json_number_value(json_array_get(row, (size_t)j));
    }
    const size_t each = (size_t)m * sizeof(float);
    void *device[] = {upload(q, weights, each * (size_t)n),
                      upload(q, zeros, each),
                      upload(q, bounds, sizeof bounds),
                      upload(q, marks[0], (size_t)n),
                      upload(q, marks[1], (size_t)n),
                      upload(q, floors, each),
                      upload(q, counters, 3 * each),
                      upload(q, steps, each),
                      upload(q, zeros, each),
                      upload(q, zeros, each),
                      upload(q, zeros, each),
                      upload(q, zeros, each)};
    const int32_t *ends = device[2];
    const struct attention_summary summary = {.rows = m,
                                              .capture = device[0],
                                              .capture_stride = n,
                                              .weight = 1,
                                              .history_of_row = device[1],
                                              .key_begin = ends,
                                              .key_end = ends + 1,
                                              .visible = device[3],
                                              .salient = device[4],
                                              .floor_delta = device[5],
                                              .floor = row_floor_of(config->floor.form),
                                              .counter = device[6],
                                              .step = device[7],
                                              .entropy = device[8],
                                              .entropy_floored = device[9],
                                              .salient_mass = device[10],
                                              .special_mass = device[11]};
    q->op->attention_summary(q, &summary);
    q->op->download(q, out->entropy, device[8], each);
    q->op->download(q, out->floored, device[9], each);
    q->op->download(q, out->mass, device[10], each);
    assert_done(q->op->synchronize(q));
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) q->op->release(q, device[i]);
}

/* The summary is float: 2^-24 of numbers up to log 14, and of lift's up to 14: 1e-6.  A floor
 * uploaded as float moves a mixed row by as much again. */
static const double rounding = 2e-6;

static void check_list(const float *saw, const json_t *want, const char *what, size_t at)
{
    for (size_t i = 0; i < json_array_size(want); i++)
        close_to((double)saw[i], json_number_value(json_array_get(want, i)), rounding, what, at);
}

static void terms_of_every_form_are_the_oracles(void **state)
{
    (void)state;
    struct queue *q;
    assert_done(cpu_queue_create(1, "auto", &q));
    const json_t *cases = member(fixture, "terms");
    assert_true(json_array_size(cases) >= 30);
    for (size_t at = 0; at < json_array_size(cases); at++) {
        const json_t *one = json_array_get(cases, at), *want = member(one, "expected");
        const json_t *settings = member(one, "settings");
        struct config config;
        struct summary summary;
        double terms[TERM_MAX];
        int32_t reply[MOST], history[MOST];
        config_defaults(&config);
        set_text(&config, "coverage.form", settings, "coverage");
        set_text(&config, "focus.form", settings, "focus");
        set_text(&config, "floor.form", settings, "floor");
        config.floor.delta0 = number(settings, "delta0");
        config.floor.kappa = number(settings, "kappa");
        config.repetition.n = integer(settings, "n");
        config.reward.alpha = number(settings, "alpha");
        config.reward.beta = number(settings, "beta");
        config.reward.gamma = number(settings, "gamma");
        config.reward.gamma_self = number(settings, "gamma_self");
        const int64_t place = integer(settings, "turn");
        summarize(q, &config, place, one, &summary);
        check_list(summary.entropy, member(want, "entropy"), "entropy", at);
        check_list(summary.floored, member(want, "entropy_floored"), "entropy_floored", at);
        check_list(summary.mass, member(want, "salient_mass"), "salient_mass", at);
        const struct reward_settings reward = reward_settings_of(&config);
        struct reward_turn turn = {.key = {(int64_t)at, (int32_t)place, 0, 0},
                                   .entropy_floored = summary.floored,
                                   .salient_mass = summary.mass,
                                   .visible = summary.visible,
                                   .salient = summary.salient,
                                   .reply = reply,
                                   .history = history};
        turn.reply_count = integers(member(one, "reply"), reply);
        turn.history_count = integers(member(one, "history"), history);
        assert_done(reward_terms_compute(&reward, &turn, terms));
        assert_int_equal(reward.term_count, 4);
        for (int64_t t = 0; t < reward.term_count; t++) {
            const char *name = reward_term_name(&reward, t);
            close_to(terms[t], number(want, name), rounding, name, at);
        }
        close_to(reward_combine(&reward, terms, NULL, turn.reply_count), number(want, "reward"),
                 rounding, "reward", at);
    }
    q->op->destroy(q);
}

static struct turn_key key_of(const json_t *item)
{
    return (struct turn_key){integer(item, "dialogue"), (int32_t)integer(item, "turn"),
                             (int32_t)integer(item, "candidate"), 0};
}

static void divisors_after_every_batch_are_the_oracles(void **state)
{
    (void)state;
    const json_t *cases = member(fixture, "scales");
    int seen[3] = {0};
    for (size_t at = 0; at < json_array_size(cases); at++) {
        const json_t *one = json_array_get(cases, at), *batches = member(one, "batches");
        struct running_statistics statistics = {0};
        struct config config;
        config_defaults(&config);
        set_text(&config, "reward.scale", one, "form");
        const struct reward_settings reward = reward_settings_of(&config);
        seen[config.reward.scale]++;
        for (size_t b = 0; b < json_array_size(batches); b++) {
            const json_t *batch = json_array_get(batches, b), *items = member(batch, "items");
            const size_t count = json_array_size(items);
            struct running_item list[MOST];
            double divisors[TERM_MAX];
            assert_true(count <= MOST);
            for (size_t i = 0; i < count; i++) {
                const json_t *item = json_array_get(items, i);
                list[i].key = key_of(item);
                for (int64_t t = 0; t < reward.term_count; t++)
                    list[i].value[t] = number(item, reward_term_name(&reward, t));
            }
            assert_done(running_add(&reward, &statistics, list, (int64_t)count));
            running_divisors(&reward, &statistics, divisors);
            for (int64_t t = 0; t < reward.term_count; t++)
                close_to(divisors[t],
                         json_number_value(json_array_get(member(batch, "divisors"), (size_t)t)),
                         1e-12, reward_term_name(&reward, t), at * 10 + b);
        }
    }
    assert_true(seen[SCALE_RUNNING] && seen[SCALE_WITHIN]);
}

static void returns_advantages_and_targets_are_the_oracles(void **state)
{
    (void)state;
    const json_t *cases = member(fixture, "advantages");
    assert_true(json_array_size(cases) >= 40);
    for (size_t at = 0; at < json_array_size(cases); at++) {
        const json_t *one = json_array_get(cases, at), *settings = member(one, "settings");
        const json_t *items = member(one, "items"), *weights = member(settings, "turns_lambda");
        const size_t count = json_array_size(items);
        struct config config;
        struct return_item returns[MOST];
        struct advantage_item list[MOST];
        assert_true(count <= MOST);
        config_defaults(&config);
        set_text(&config, "advantage", settings, "advantage");
        set_text(&config, "group.form", settings, "group");
        set_text(&config, "rollout.continue", settings, "continue");
        set_text(&config, "critic.target", settings, "critic_target");
        config.ppo.whiten = json_is_true(member(settings, "whiten"));
        config.turns.discount = number(settings, "discount");
        config.gae.lambda = number(settings, "gae_lambda");
        config.turns.lambda_count = (int64_t)json_array_size(weights);
        for (size_t i = 0; i < json_array_size(weights); i++)
            config.turns.lambda[i] = json_number_value(json_array_get(weights, i));
        for (size_t i = 0; i < count; i++) {
            const json_t *item = json_array_get(items, i);
            returns[i] = (struct return_item){.key = key_of(item),
                                              .reward = number(item, "reward"),
                                              .chosen = json_is_true(member(item, "chosen"))};
        }
        const struct reward_settings reward = reward_settings_of(&config);
        assert_done(returns_compute(&reward, returns, (int64_t)count));
        for (size_t i = 0; i < count; i++)
            list[i] = (struct advantage_item){.key = returns[i].key,
                                              .reward = returns[i].reward,
                                              .return_ = returns[i].result,
                                              .value = number(json_array_get(items, i), "value"),
                                              .chosen = returns[i].chosen};
        const struct learn_settings learn = learn_settings_of(&config);
        assert_done(advantage_compute(&learn, list, (int64_t)count));
        for (size_t i = 0; i < count; i++) {
            const json_t *item = json_array_get(items, i);
            close_to(list[i].return_, number(item, "return"), 1e-12, "return", at);
            /* Whitening divides by a deviation that may be small: a digit more. */
            close_to(list[i].advantage, number(item, "advantage"), 1e-11, "advantage", at);
            close_to(list[i].target, number(item, "target"), 1e-12, "target", at);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_of_every_form_are_the_oracles),
        cmocka_unit_test(divisors_after_every_batch_are_the_oracles),
        cmocka_unit_test(returns_advantages_and_targets_are_the_oracles),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
