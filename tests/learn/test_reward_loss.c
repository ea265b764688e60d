/* The losses of reward models through a model: gradients match finite differences, a step allocates
 * nothing beyond what was reserved, and passes that hold one pair each learn what one pass does. */
#include "src/base/config.h"
#include "src/learn/step.h"
#include "tests/model/model_test.h"

enum { PAIRS = 4, TURNS = 2 * PAIRS, LONGEST = 12 };

struct course {
    struct queue *q;
    struct value_model *model;
    struct learner *learner;
    const struct loss *loss;
    struct learn_turn turns[TURNS];
    int32_t tokens[TURNS * LONGEST];
    int64_t begin[2];
    struct learn_batch batch;
};

/* Away from zero; the trunk is the tiny model's. */
static void head_stir(struct value_model *model)
{
    struct parameters *p = value_model_parameters(model);
    const struct parameter *head = parameters_find(p, "value_head.weight");
    float *host = malloc((size_t)p->size * sizeof *host);
    assert_non_null(host);
    CHECK(parameters_download(p, host));
    for (int64_t i = 0; i < head->count; i++)
        host[head->offset + i] = 2 * uniform_at(3, (uint32_t)i) - 1;
    CHECK(parameters_upload(p, host));
    CHECK(value_model_refresh(model));
    free(host);
}

static void course_open(struct course *c, const struct loss *loss, const char *set)
{
    struct config config;
    struct learner_exchange alone;
    *c = (struct course){.q = queue_new(2), .loss = loss, .begin = {0, TURNS}};
    config_defaults(&config);
    CHECK(config_set(&config, "learn.microbatches=1"));
    CHECK(config_set(&config, "rm.margin=0.5"));
    CHECK(config_set(&config, "rm.center=0.25"));
    CHECK(config_set(&config, "rm.smoothing=0.125"));
    if (set) CHECK(config_set(&config, set));
    struct model *policy = tiny_model(c->q, false);
    CHECK(value_model_create(c->q, model_shape(policy), true, &c->model));
    CHECK(value_model_start_from(c->model, policy));
    model_destroy(policy);
    head_stir(c->model);
    const struct learn_settings settings = learn_settings_of(&config);
    learner_exchange_alone(&alone);
    CHECK(learner_create_reward_model(&settings, &alone, c->model, &c->learner));
    for (uint32_t i = 0; i < TURNS * LONGEST; i++)
        c->tokens[i] = 2 + (int32_t)(uniform_at(1, i) * 21);
    for (int i = 0; i < TURNS; i++)
        c->turns[i] =
            (struct learn_turn){.history = c->tokens + i * LONGEST, .history_count = LONGEST - i};
    c->batch = (struct learn_batch){
        .turns = c->turns, .turn_count = TURNS, .begin = c->begin, .all_turns = TURNS};
}

static void course_close(struct course *c)
{
    learner_free(c->learner);
    value_model_destroy(c->model);
    c->q->op->destroy(c->q);
}

/* The loss as the plain functions of preference.h have it of the model's values. */
static double loss_now(void *context)
{
    struct course *c = context;
    double values[TURNS], loss = 0;
    CHECK(value_model_refresh(c->model));
    CHECK(learner_values(c->learner, c->turns, TURNS, values));
    for (int i = 0; i < TURNS; i += 2) {
        const struct preference_settings *settings = &c->learner->settings.preference;
        const struct preference_loss one =
            c->loss == &loss_logistic
                ? preference_logistic(settings, values[i], values[i + 1])
                : preference_bradley_terry(settings, values[i], values[i + 1]);
        loss += one.loss / PAIRS;
    }
    return loss;
}

/* The share of decisions that are right: a pair's, or of each of its replies. */
static double accuracy_now(struct course *c)
{
    double values[TURNS], right = 0;
    CHECK(learner_values(c->learner, c->turns, TURNS, values));
    for (int i = 0; i < TURNS; i += 2)
        right += c->loss == &loss_logistic ? ((values[i] > 0) + (values[i + 1] < 0)) / 2.0
                                           : values[i] > values[i + 1];
    return right / PAIRS;
}

static void gradient_is_checked(const struct loss *loss)
{
    struct course c;
    struct partial partial = {0};
    course_open(&c, loss, NULL);
    struct parameters *parameters = value_model_parameters(c.model);
    float *leaf = device_new(c.q, (size_t)parameters->size * sizeof(float));
    CHECK(loss->chunk(c.learner, &c.batch, c.turns, TURNS, leaf, &partial));
    assert_true(fabs(partial.loss - loss_now(&c)) < 1e-12);
    assert_true(partial.accuracy == accuracy_now(&c));
    float *host = host_of(c.q, leaf, parameters->size);
    check_gradient(parameters, host, loss_now, &c);
    free(host);
    c.q->op->release(c.q, leaf);
    course_close(&c);
}

static void a_pairs_gradient_matches_finite_differences(void **state)
{
    (void)state;
    gradient_is_checked(&loss_bradley_terry);
}

static void the_gradient_of_two_decisions_matches_finite_differences(void **state)
{
    (void)state;
    gradient_is_checked(&loss_logistic);
}

/* A step with passes of at most so many tokens. */
static struct step_metrics step(const char *set)
{
    struct course c;
    struct step_metrics metrics;
    struct counted_queue counted;
    const struct learn_limits limits = {
        .turns = TURNS, .longest_history = LONGEST, .longest_reply = 1, .together = 2};
    course_open(&c, &loss_bradley_terry, set);
    CHECK(learner_reserve(c.learner, &limits));
    allocations_count(c.q, &counted);
    CHECK(learner_step(c.learner, &loss_bradley_terry, &c.batch, 1e-3, &metrics));
    assert_int_equal(allocations_counted(c.q, &counted), 0);
    course_close(&c);
    return metrics;
}

static void a_pass_a_pair_learns_what_one_pass_does(void **state)
{
    (void)state;
    const struct step_metrics one = step(NULL), many = step("learn.history_tokens=3");
    assert_true(one.loss > 0 && fabs(one.loss - many.loss) < 1e-12);
    assert_true(one.accuracy == many.accuracy);
    /* Sums of float32 gradients in another order. */
    assert_true(fabs(one.gradient_norm - many.gradient_norm) < 1e-5 * one.gradient_norm);
    assert_true(one.tokens_pairs == many.tokens_pairs && many.tokens_pairs == 68);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pairs_gradient_matches_finite_differences),
        cmocka_unit_test(the_gradient_of_two_decisions_matches_finite_differences),
        cmocka_unit_test(a_pass_a_pair_learns_what_one_pass_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
