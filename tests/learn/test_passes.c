/* How a batch is cut into passes, and what a pass may cost: bounds on tokens, memory reserved for
 * the largest pass, activations computed again; none of it changes what is learned. */
#include "src/base/config.h"
#include "src/learn/pack.h"
#include "src/learn/step.h"
#include "tests/model/model_test.h"

enum { TURNS = 12, LONGEST_HISTORY = 15, LONGEST_REPLY = 9, TOKENS = TURNS * LONGEST_HISTORY };

/* Turns two and two to a history, of all lengths; every fifth reply is empty. */
struct course {
    struct learn_turn turns[TURNS];
    int32_t history[TOKENS], reply[TOKENS];
    float old[TOKENS], ref[TOKENS], advantage[TOKENS];
    int64_t begin[3], tokens;
};

static void course_fill(struct course *c)
{
    memset(c, 0, sizeof *c);
    for (uint32_t i = 0; i < TOKENS; i++) {
        c->history[i] = 2 + (int32_t)(uniform_at(1, i) * 21);
        c->reply[i] = 2 + (int32_t)(uniform_at(2, i) * 21);
        c->old[i] = -3 + uniform_at(3, i);
        c->ref[i] = -3 + uniform_at(4, i);
        c->advantage[i] = uniform_at(5, i / LONGEST_REPLY) - 0.5f;
    }
    for (int i = 0; i < TURNS; i++) {
        const int64_t reply = i % 5 == 3 ? 0 : 1 + (i * 5) % LONGEST_REPLY;
        c->turns[i] = (struct learn_turn){
            .history = c->history + i / 2 * LONGEST_HISTORY,
            .history_count = LONGEST_HISTORY - 2 * (i / 2),
            .reply = c->reply + i * LONGEST_REPLY,
            .reply_count = reply,
            .logp_old = c->old + i * LONGEST_REPLY,
            .logp_ref = c->ref + i * LONGEST_REPLY,
            .advantage = c->advantage + i * LONGEST_REPLY,
            .target = (double)uniform_at(6, (uint32_t)i),
        };
        c->tokens += reply;
    }
    c->begin[1] = 5;
    c->begin[2] = TURNS;
}

struct pupil {
    struct queue *q;
    struct config config;
    struct model *policy, *reference;
    struct learner *learner;
    struct course course;
    float *start; /* host, the policy's */
};

static void pupil_open(struct pupil *p, const char *set)
{
    memset(p, 0, sizeof *p);
    struct learner_exchange alone;
    learner_exchange_alone(&alone);
    config_defaults(&p->config);
    CHECK(config_set(&p->config, "learn.microbatches=2"));
    CHECK(config_set(&p->config, "rollout.temperature=1"));
    if (set) CHECK(config_set(&p->config, set));
    p->q = queue_new(2);
    p->policy = tiny_model(p->q, true);
    p->reference = tiny_model(p->q, true);
    parameters_stir(model_parameters(p->reference), 9);
    CHECK(model_refresh(p->reference));
    const struct learn_settings settings = learn_settings_of(&p->config);
    CHECK(learner_create(&settings, &alone, p->policy, p->reference, true, &p->learner));
    p->start =
        host_of(p->q, model_parameters(p->policy)->values, model_parameters(p->policy)->size);
    course_fill(&p->course);
}

static void pupil_close(struct pupil *p)
{
    learner_free(p->learner);
    model_destroy(p->policy);
    model_destroy(p->reference);
    p->q->op->destroy(p->q);
    free(p->start);
}

/* What an update does: reads the reference and the critic, takes a step with each. */
static struct step_metrics pupil_step(struct pupil *p)
{
    struct course *c = &p->course;
    const struct learn_batch batch = {.turns = c->turns,
                                      .turn_count = TURNS,
                                      .begin = c->begin,
                                      .all_tokens = c->tokens,
                                      .all_turns = TURNS};
    double values[TURNS];
    float *ref[TURNS];
    struct step_metrics policy, critic;
    for (int i = 0; i < TURNS; i++) ref[i] = c->turns[i].logp_ref;
    CHECK(learner_logp(p->learner, p->learner->reference_run, c->turns, TURNS, ref));
    CHECK(learner_values(p->learner, c->turns, TURNS, values));
    CHECK(learner_step(p->learner, &loss_ppo, &batch, 1e-3, &policy));
    CHECK(learner_step(p->learner, &loss_critic, &batch, 1e-3, &critic));
    return policy;
}

/* Passes of turns by groups of `together`: none is split, and none is beyond a bound but for one
 * group alone. */
static void passes_keep_to(const struct course *c, const struct learn_settings *settings,
                           int64_t together)
{
    const struct learn_limits limits = {TURNS, LONGEST_HISTORY, LONGEST_REPLY, .spans = 1,
                                        .together = together};
    const struct model_limits pass = pack_limits(settings, &limits);
    for (int64_t at = 0, n; at < TURNS; at += n) {
        n = pack_chunk(settings, false, together, c->turns + at, TURNS - at);
        assert_true(n >= together && n % together == 0 && at + n <= TURNS);
        struct packed_batch packed;
        packed_batch_make(&packed, c->turns + at, n);
        const int64_t histories = packed.batch.histories;
        const int64_t history = packed.history_begin[histories];
        if (n > together)
            assert_true(packed.tokens <= settings->reply_tokens &&
                        history <= settings->history_tokens);
        assert_true(packed.tokens <= pass.reply_tokens && history <= pass.history_tokens);
        assert_true(packed.batch.replies <= pass.replies && histories <= pass.histories);
        packed_batch_free(&packed);
    }
}

static void a_pass_keeps_to_the_bounds_on_tokens(void **state)
{
    (void)state;
    struct learn_settings settings = {0};
    struct course c;
    course_fill(&c);
    const struct learn_limits limits = {TURNS, LONGEST_HISTORY, LONGEST_REPLY, .spans = 1,
                                        .together = 1};
    for (int reply_tokens = 1; reply_tokens <= 80; reply_tokens += 3)
        for (int history_tokens = 1; history_tokens <= 90; history_tokens += 4) {
            settings.reply_tokens = reply_tokens;
            settings.history_tokens = history_tokens;
            for (int64_t together = 1; together <= TURNS; together++)
                if (TURNS % together == 0) passes_keep_to(&c, &settings, together);
        }
    /* No more is asked for than all turns have. */
    settings.reply_tokens = settings.history_tokens = 1 << 30;
    const struct model_limits pass = pack_limits(&settings, &limits);
    assert_int_equal(pass.history_tokens, TURNS * LONGEST_HISTORY);
    assert_int_equal(pass.reply_tokens, TURNS * LONGEST_REPLY);
    assert_int_equal(pass.histories, TURNS);
}

static void a_reserved_learner_allocates_no_more(void **state)
{
    (void)state;
    static const char *const sets[] = {NULL, "learn.recompute=true", "learn.reply_tokens=12"};
    for (int i = 0; i < 3; i++) {
        struct pupil p;
        struct counted_queue counted;
        pupil_open(&p, sets[i]);
        const struct learn_limits limits = {TURNS, LONGEST_HISTORY, LONGEST_REPLY, .spans = 1,
                                            .together = 1};
        CHECK(learner_reserve(p.learner, &limits));
        allocations_count(p.q, &counted);
        pupil_step(&p);
        assert_int_equal(allocations_counted(p.q, &counted), 0);
        pupil_close(&p);
    }
}

static void layers_run_again_learn_the_same_bits(void **state)
{
    (void)state;
    struct pupil p[2];
    for (int i = 0; i < 2; i++) {
        pupil_open(&p[i], i ? "learn.recompute=true" : NULL);
        pupil_step(&p[i]);
    }
    for (int k = 0; k < 2; k++) {
        const struct parameters *all[2];
        for (int i = 0; i < 2; i++)
            all[i] =
                k ? value_model_parameters(p[i].learner->critic) : model_parameters(p[i].policy);
        float *kept = host_of(p[0].q, all[0]->values, all[0]->size);
        float *again = host_of(p[1].q, all[1]->values, all[1]->size);
        check_bits(again, kept, all[0]->size, k ? "critic" : "policy", 0);
        if (k == 0) assert_int_not_equal(memcmp(kept, p[0].start, sizeof(float) * 16), 0);
        free(kept);
        free(again);
    }
    for (int i = 0; i < 2; i++) pupil_close(&p[i]);
}

/* Passes of a few tokens, and logits of a few rows, add up to what one pass gives. */
static void many_small_passes_learn_what_one_does(void **state)
{
    (void)state;
    struct step_metrics metrics[3];
    for (int i = 0; i < 3; i++) {
        struct pupil p;
        pupil_open(&p, i == 1 ? "learn.reply_tokens=7" : NULL);
        if (i == 2) model_run_limit_head(p.learner->policy_run, 4);
        metrics[i] = pupil_step(&p);
        pupil_close(&p);
    }
    for (int i = 1; i < 3; i++) {
        /* fp32 sums of the gradient in another order; the loss is summed per token, in float64. */
        assert_true(fabs(metrics[i].gradient_norm / metrics[0].gradient_norm - 1) < 1e-5);
        assert_true(fabs(metrics[i].loss - metrics[0].loss) < 1e-6);
        assert_true(fabs(metrics[i].entropy - metrics[0].entropy) < 1e-6);
        assert_true(fabs(metrics[i].kl - metrics[0].kl) < 1e-6);
        assert_true(metrics[i].ratio_deviation == metrics[0].ratio_deviation);
    }
    assert_true(metrics[0].gradient_norm > 0.01 && metrics[0].entropy > 0.1 && metrics[0].kl > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_keeps_to_the_bounds_on_tokens),
        cmocka_unit_test(a_reserved_learner_allocates_no_more),
        cmocka_unit_test(layers_run_again_learn_the_same_bits),
        cmocka_unit_test(many_small_passes_learn_what_one_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
