/* Credit within a reply: what the critic reads before each span, the items made of spans, and whole
 * updates of replies that are cut. */
#include "src/base/config.h"
#include "src/learn/span_turns.h"
#include "src/learn/update.h"
#include "src/model/forest.h"
#include "src/rollout/dialogues.h"
#include "src/rollout/experience_spans.h"
#include "tests/model/model_test.h"

enum { REPLIES = 4, HISTORY = 5, LENGTH = 7 };

struct fixture {
    struct queue *q;
    struct model *policy;
    struct learner *learner;
    struct config config;
    struct reward_settings reward;
    struct experience_format format;
};

static void open_fixture(struct fixture *f, const char *advantage)
{
    char text[64];
    memset(f, 0, sizeof *f);
    f->q = queue_new(1);
    f->policy = tiny_model(f->q, true);
    config_defaults(&f->config);
    snprintf(text, sizeof text, "advantage=%s", advantage);
    CHECK(config_set(&f->config, text));
    f->config.kl.coef = 0;
    f->config.policy.lr = f->config.critic.lr = 3e-3;
    f->config.reward.scale = SCALE_NONE;
    f->config.ppo.whiten = false;
    f->config.ppo.epochs = 1;
    f->config.critic.warmup = f->config.policy.warmup = 0;
    f->reward = reward_settings_of(&f->config);
    f->format = (struct experience_format){&statistics_standard,
                                           &f->reward,
                                           f->config.attention.layers,
                                           model_shape(f->policy)->heads,
                                           {0}};
    struct learner_exchange alone;
    learner_exchange_alone(&alone);
    const struct learn_settings settings = learn_settings_of(&f->config);
    CHECK(learner_create(&settings, &alone, f->policy, NULL, f->config.advantage != ADVANTAGE_GROUP,
                         &f->learner));
}

static void close_fixture(struct fixture *f)
{
    learner_free(f->learner);
    model_destroy(f->policy);
    f->q->op->destroy(f->q);
}

/* One dialogue of one turn with REPLIES candidates; coverage is the reward. */
static struct experience *dialogue_make(const struct fixture *f)
{
    struct experience *e = experience_create(&f->format, 0, 0, REPLIES);
    for (int k = 0; k < REPLIES; k++) {
        struct experience_turn *t = &e->turns[k];
        experience_turn_allocate(&f->format, t, HISTORY, LENGTH, 1);
        t->candidate = k;
        t->chosen = t->ended = true;
        for (int i = 0; i < HISTORY; i++)
            t->history_tokens[i] = 2 + (int32_t)(uniform_at(7, (uint32_t)i) * 21);
        for (int i = 0; i < LENGTH; i++) {
            t->reply_tokens[i] = 2 + (int32_t)(uniform_at(8, (uint32_t)(k * LENGTH + i)) * 21);
            t->logp[i] = -3;
        }
        t->terms[0] = 0.5 + k;
    }
    return e;
}

static void the_critic_reads_the_history_and_what_was_said_before_each_span(void **state)
{
    (void)state;
    const int32_t history[] = {11, 12, 13}, reply[] = {21, 22, 23, 24, 25}, cuts[] = {1};
    const int32_t begin[] = {0, 0, 2, 4};
    const int64_t count[] = {1, 3};
    const struct learn_turn one = {.history = history,
                                   .history_count = 3,
                                   .reply = reply,
                                   .reply_count = 5,
                                   .cuts = cuts,
                                   .cut_count = 1};
    const struct learn_turn turns[] = {one, one};
    struct span_turns spans;
    span_turns_make(&spans, turns, 2, count, begin);
    assert_int_equal(spans.count, 4);
    assert_ptr_equal(spans.turns[0].history, history);
    assert_int_equal(spans.turns[0].reply_count, 5);
    assert_int_equal(spans.turns[1].history_count, 3);
    assert_int_equal(spans.turns[1].reply_count, 2);
    const struct learn_turn *last = &spans.turns[3];
    const int32_t read[] = {11, 12, 13, 21, 22, 23, 24}, cut[] = {1, 2, 4};
    assert_int_equal(last->history_count, 7);
    assert_memory_equal(last->history, read, sizeof read);
    assert_int_equal(last->cut_count, 3);
    assert_memory_equal(last->cuts, cut, sizeof cut);
    assert_int_equal(last->reply_count, 1);
    assert_int_equal(last->reply[0], 25);
    /* A causal pass holds all but the last token of each history, and every token once. */
    struct forest forest = {0};
    for (int64_t i = 0; i < spans.count; i++) {
        const struct learn_turn *turn = &spans.turns[i];
        forest_add(&forest, turn->history, turn->history_count - 1, turn->cuts, turn->cut_count);
    }
    assert_int_equal(forest.rows, last->history_count - 1);
    forest_free(&forest);
    span_turns_free(&spans);
}

static void spans_become_replies_again(void **state)
{
    (void)state;
    struct batch_item items[4] = {{.key = {3, 1, 0, 0}, .span = {0, 2, 0}},
                                  {.key = {3, 1, 0, 1}, .span = {2, 6, 0}},
                                  {.key = {3, 1, 1, 0}, .span = {0, 4, 0}},
                                  {.key = {3, 2, 1, 0}, .span = {0, 1, 0}}};
    struct batch_item replies[4];
    const struct reward_settings settings = {.term_count = 0};
    for (int i = 0; i < 4; i++) {
        items[i].terms[0] = i + 1;
        items[i].scaled = 10 * (i + 1);
        items[i].value = i;
    }
    assert_int_equal(batch_replies(&settings, items, 4, replies), 3);
    assert_true(replies[0].terms[0] == 3 && replies[0].scaled == 30 && replies[0].value == 0);
    assert_int_equal(replies[0].span.end, 6);
    assert_true(replies[1].terms[0] == 3 && replies[2].terms[0] == 4);
}

/* Parameters after one update. */
static float *parameters_after(struct fixture *f, struct experience *e, size_t *bytes,
                               struct update_metrics *metrics)
{
    CHECK(ppo_update(f->learner, &e, 1, 1, 0, metrics));
    const struct parameters *p = f->learner->policy_parameters;
    const struct parameters *c = f->learner->critic_parameters;
    *bytes = (size_t)(p->size + c->size) * sizeof(float);
    float *values = malloc(*bytes);
    f->q->op->download(f->q, values, p->values, (size_t)p->size * sizeof(float));
    f->q->op->download(f->q, values + p->size, c->values, (size_t)c->size * sizeof(float));
    CHECK(f->q->op->synchronize(f->q));
    return values;
}

static void a_reply_cut_into_one_span_changes_no_bit(void **state)
{
    (void)state;
    float *values[2];
    size_t bytes;
    for (int cut = 0; cut < 2; cut++) {
        struct fixture f;
        struct update_metrics metrics;
        open_fixture(&f, "gae");
        struct experience *e = dialogue_make(&f);
        for (int k = 0; cut && k < REPLIES; k++)
            experience_turn_cut(&e->turns[k], (const int32_t[]){0}, 1);
        values[cut] = parameters_after(&f, e, &bytes, &metrics);
        experience_destroy(e);
        close_fixture(&f);
    }
    assert_memory_equal(values[0], values[1], bytes);
    free(values[0]);
    free(values[1]);
}

/* advantage: turn; the critic's values are asked of histories that hold the earlier spans. */
static void each_span_has_its_return_its_value_and_its_target(void **state)
{
    (void)state;
    struct fixture f;
    struct update_metrics metrics;
    open_fixture(&f, "turn");
    f.learner->settings.reward.terms[0].weight = 1;
    for (int64_t t = 1; t < f.learner->settings.reward.term_count; t++)
        f.learner->settings.reward.terms[t].weight = 0;
    /* A head of zeros says 0 everywhere: give it weights. */
    float *host = malloc((size_t)f.learner->critic_parameters->size * sizeof *host);
    const struct parameter *head =
        parameters_find(f.learner->critic_parameters, "value_head.weight");
    for (int64_t i = 0; i < head->count; i++) host[i] = 0.3f * (float)(i % 5 - 2);
    f.q->op->upload(f.q, f.learner->critic_parameters->values + head->offset, host,
                    (size_t)head->count * sizeof *host);
    CHECK(f.q->op->synchronize(f.q));
    CHECK(value_model_refresh(f.learner->critic));
    struct experience *e = dialogue_make(&f);
    double want = 0, deviation = 0, mean = 0;
    for (int k = 0; k < REPLIES; k++) {
        struct experience_turn *t = &e->turns[k];
        experience_turn_cut(t, (const int32_t[]){0, 3, 5}, 3);
        t->spans[0].terms[0] = 0.25;
        t->spans[1].terms[0] = -1;
        const int32_t begin[] = {0, 3, 5};
        const double returns[] = {0.25 - 1 + 0.5 + k, -1 + 0.5 + k, 0.5 + k};
        for (int s = 0; s < 3; s++) {
            int32_t tokens[HISTORY + LENGTH];
            memcpy(tokens, t->history_tokens, HISTORY * sizeof *tokens);
            memcpy(tokens + HISTORY, t->reply_tokens, (size_t)begin[s] * sizeof *tokens);
            const struct learn_turn read = {.history = tokens, .history_count = HISTORY + begin[s]};
            double value;
            CHECK(learner_values(f.learner, &read, 1, &value));
            want += (value - returns[s]) * (value - returns[s]) / (3 * REPLIES);
            deviation += (returns[s] - value) * (returns[s] - value) / (3 * REPLIES);
            mean += (returns[s] - value) / (3 * REPLIES);
        }
    }
    size_t bytes;
    free(parameters_after(&f, e, &bytes, &metrics));
    /* Sums of a dozen float64 numbers in another order. */
    if (!(fabs(metrics.critic.loss - want) < 1e-9 * want))
        fail_msg("critic loss %.12g, by hand %.12g", metrics.critic.loss, want);
    const double spread = sqrt(deviation - mean * mean);
    if (!(fabs(metrics.advantage_deviation - spread) < 1e-9 * spread))
        fail_msg("advantages deviate by %.12g, by hand %.12g", metrics.advantage_deviation, spread);
    assert_int_equal(metrics.turns, REPLIES);
    assert_int_equal(metrics.spans, 3 * REPLIES);
    assert_int_equal(metrics.tokens, REPLIES * LENGTH);
    assert_true(fabs(metrics.terms[0] - (0.25 - 1 + 0.5 + 1.5)) < 1e-12);
    experience_destroy(e);
    free(host);
    close_fixture(&f);
}

/* What memory is planned for: sources of the user's may cut a reply into its tokens. */
static void sources_that_may_cut_replies_count_in_the_limits(void **state)
{
    (void)state;
    struct config config;
    config_defaults(&config);
    assert_int_equal(learn_limits_of(&config).spans, 1);
    CHECK(config_set(&config, "rollout.max_new_tokens=12"));
    CHECK(config_set(&config, "reward.sources=logprob,command"));
    assert_int_equal(learn_limits_of(&config).spans, 12);
    CHECK(config_set(&config, "reward.sources=plugin"));
    assert_int_equal(learn_limits_of(&config).spans, 12);
    CHECK(config_set(&config, "reward.sources=logprob"));
    assert_int_equal(learn_limits_of(&config).spans, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_critic_reads_the_history_and_what_was_said_before_each_span),
        cmocka_unit_test(spans_become_replies_again),
        cmocka_unit_test(a_reply_cut_into_one_span_changes_no_bit),
        cmocka_unit_test(sources_that_may_cut_replies_count_in_the_limits),
        cmocka_unit_test(each_span_has_its_return_its_value_and_its_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
