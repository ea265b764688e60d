/* The policy's loss in all its forms, on a tiny model: value and gradient against float64 formulas
 * and their differences, what a first epoch gives, and the head in pieces. */
#include "src/base/config.h"
#include "src/learn/loss.h"
#include "src/learn/pack.h"
#include "src/learn/step.h"
#include "src/reward/blocks.h"
#include "tests/model/model_test.h"

enum { TURNS = 6, LONGEST = 6, MOST = 24 };

struct fixture {
    struct queue *q;
    struct model *policy;
    struct learner *learner;
    int32_t history[TURNS][8], reply[TURNS][LONGEST];
    float old[TURNS][LONGEST], ref[TURNS][LONGEST], advantage[TURNS][LONGEST];
    float begun[TURNS][LONGEST];
    uint8_t marks[TURNS][LONGEST]; /* some tokens are no choice of the policy's */
    struct learn_turn turns[TURNS];
    int64_t begin[5];
    struct learn_batch batch;
    float start[MOST]; /* log-probabilities before any step */
};

/* What the policy says of the turns' tokens, one behind the other. */
static void tokens_read(struct fixture *f, float logp[MOST], float entropy[MOST])
{
    struct learner *l = f->learner;
    struct packed_batch packed;
    packed_batch_make(&packed, f->turns, TURNS);
    assert_true(packed.tokens <= MOST);
    CHECK(token_arrays_begin(&l->tokens, packed.tokens));
    CHECK(model_forward(l->policy_run, &packed.batch, MODEL_KEEP_NOTHING, 0));
    CHECK(model_run_logp(l->policy_run, (float)l->settings.temperature,
                         token_device(&l->tokens, TOKEN_LOGP),
                         token_device(&l->tokens, TOKEN_ENTROPY), NULL, NULL));
    CHECK(token_arrays_download(&l->tokens, TOKEN_LOSS, TOKEN_LSE));
    memcpy(logp, token_host(&l->tokens, TOKEN_LOGP), (size_t)packed.tokens * sizeof *logp);
    memcpy(entropy, token_host(&l->tokens, TOKEN_ENTROPY), (size_t)packed.tokens * sizeof *logp);
    packed_batch_free(&packed);
}

/* Behaviour off the policy by up to `spread`.  Every reply has one advantage: what the reply's
 * ratio is the gradient of. */
static void open_fixture(struct fixture *f, float spread, const char *const *options)
{
    struct config config;
    struct learner_exchange alone;
    float entropy[MOST];
    memset(f, 0, sizeof *f);
    f->q = queue_new(1);
    f->policy = tiny_model(f->q, true);
    config_defaults(&config);
    CHECK(config_set(&config, "advantage=group"));
    CHECK(config_set(&config, "ppo.clip=0.2"));
    CHECK(config_set(&config, "rollout.temperature=1.3"));
    for (; *options; options++) CHECK(config_set(&config, *options));
    const struct learn_settings settings = learn_settings_of(&config);
    learner_exchange_alone(&alone);
    CHECK(learner_create(&settings, &alone, f->policy, NULL, false, &f->learner));
    for (int i = 0; i < TURNS; i++) {
        const int64_t n = 2 + i % 4, m = 1 + (i * 5) % LONGEST;
        for (int64_t j = 0; j < n; j++)
            f->history[i][j] = 2 + (int32_t)(uniform_at(40, (uint32_t)(i * 16 + j)) * 21);
        for (int64_t j = 0; j < m; j++) {
            f->reply[i][j] = 1 + (int32_t)(uniform_at(41, (uint32_t)(i * 16 + j)) * 22);
            f->advantage[i][j] = (float)(i % 3) - 0.8f;
        }
        f->turns[i] = (struct learn_turn){.history = f->history[i],
                                          .reply = f->reply[i],
                                          .history_count = n,
                                          .reply_count = m,
                                          .logp_old = f->old[i],
                                          .logp_ref = settings.kl_coef > 0 ? f->ref[i] : NULL,
                                          .logp_begun = f->begun[i],
                                          .advantage = f->advantage[i],
                                          .marks = i % 2 ? f->marks[i] : NULL};
        for (int64_t j = 0; j < m; j++) {
            if (i % 2 && j == 2) f->marks[i][j] = BLOCK_FORCED;
            f->batch.all_tokens += !f->marks[i][j];
        }
    }
    static const int64_t begin[5] = {0, 2, 3, 5, TURNS};
    memcpy(f->begin, begin, sizeof begin);
    f->batch.turns = f->turns;
    f->batch.turn_count = f->batch.all_turns = TURNS;
    f->batch.begin = f->begin;
    tokens_read(f, f->start, entropy);
    for (int i = 0, at = 0; i < TURNS; i++)
        for (int64_t j = 0; j < f->turns[i].reply_count; j++, at++) {
            f->ref[i][j] = f->start[at] + uniform_at(42, (uint32_t)(i * 16 + j)) - 0.5f;
            f->old[i][j] = f->start[at] + spread * (2 * uniform_at(43, (uint32_t)(i * 16 + j)) - 1);
        }
}

static void close_fixture(struct fixture *f)
{
    learner_free(f->learner);
    model_destroy(f->policy);
    f->q->op->destroy(f->q);
}

static bool chosen(const struct learn_turn *turn, int64_t j)
{
    return !turn->marks || !turn->marks[j];
}

static double chosen_count(const struct learn_turn *turn)
{
    double count = 0;
    for (int64_t j = 0; j < turn->reply_count; j++) count += chosen(turn, j);
    return count;
}

/* log r of token j of a turn whose tokens begin at `at`: its own, or the mean of its reply's. */
static double log_ratio(const struct fixture *f, const struct learn_turn *turn, const float *logp,
                        int64_t at, int64_t j)
{
    if (f->learner->settings.lag_truncated) return (double)logp[at + j] - (double)f->start[at + j];
    if (f->learner->settings.ppo_ratio == PPO_RATIO_TOKEN)
        return (double)logp[at + j] - (double)turn->logp_old[j];
    double sum = 0;
    for (int64_t t = 0; t < turn->reply_count; t++)
        if (chosen(turn, t)) sum += (double)logp[at + t] - (double)turn->logp_old[t];
    return sum / chosen_count(turn);
}

/* The weight of a token that an older policy sampled, by the policy before any step. */
static double importance(const struct fixture *f, const struct learn_turn *turn, int64_t at,
                         int64_t j)
{
    const struct learn_settings *s = &f->learner->settings;
    if (!s->lag_truncated) return 1;
    return fmin(exp((double)f->start[at + j] - (double)turn->logp_old[j]), s->lag_cap);
}

static double weight_of(const struct fixture *f, const struct learn_turn *turn)
{
    const struct learn_settings *s = &f->learner->settings;
    const double each = 1.0 / TURNS;
    return s->ppo_loss == PPO_LOSS_CONSTANT   ? each / (double)s->max_new_tokens
           : s->ppo_loss == PPO_LOSS_SEQUENCE ? each / chosen_count(turn)
                                              : 1.0 / (double)f->batch.all_tokens;
}

/* docs/reward.md's loss.  cispo's weight is of the log-probabilities before any step: it is no
 * part of what is differentiated. */
static double loss_by_hand(void *context)
{
    const struct fixture *f = context;
    const struct learn_settings *s = &f->learner->settings;
    const double high = 1 + (s->clip_high > 0 ? s->clip_high : s->clip);
    float logp[MOST], entropy[MOST];
    double loss = 0;
    CHECK(model_refresh(f->policy));
    tokens_read((struct fixture *)context, logp, entropy);
    int64_t at = 0;
    for (int i = 0; i < TURNS; at += f->turns[i++].reply_count) {
        const struct learn_turn *turn = &f->turns[i];
        for (int64_t j = 0; j < turn->reply_count; j++) {
            if (!chosen(turn, j)) continue;
            const bool cispo = s->ppo_form == PPO_FORM_CISPO;
            const double r = exp(log_ratio(f, turn, cispo ? f->start : logp, at, j));
            const double a = turn->advantage[j], cut = fmin(fmax(r, 1 - s->clip), high);
            const double weight = weight_of(f, turn);
            loss -= importance(f, turn, at, j) * weight *
                    (cispo ? cut * a * (double)logp[at + j] : fmin(r * a, cut * a));
            loss -= weight * s->entropy_coef * (double)entropy[at + j];
            if (!turn->logp_ref) continue;
            const double k1 =
                kl_bounded(&s->kl_bounds, (double)logp[at + j] - (double)turn->logp_ref[j]);
            loss += weight * s->kl_coef * (exp(-k1) - 1 + k1);
        }
    }
    return loss;
}

/* A first epoch of truncated weights has ratios of 1: none is clipped. */
static bool clips(const struct fixture *f)
{
    return !f->learner->settings.lag_truncated || f->batch.begun;
}

static const char *const forms[][6] = {
    {"ppo.clip_high=0.5", "ppo.loss=constant", "rollout.max_new_tokens=9", NULL},
    {"ppo.ratio=sequence", "ppo.loss=sequence", "kl.coef=0", NULL},
    {"ppo.ratio=sequence", "ppo.clip=0.05", "ppo.clip_high=0.1", "kl.coef=0", NULL},
    {"ppo.form=cispo", "ppo.clip_high=0.3", NULL},
    {"ppo.form=cispo", "ppo.ratio=sequence", "ppo.clip=0.02", "ppo.loss=constant", NULL},
    {"entropy.coef=0.7", "ppo.loss=sequence", NULL},
    {"entropy.coef=2", "ppo.ratio=sequence", "ppo.form=cispo", NULL},
    {"ppo.lag_correction=truncated", "ppo.lag_cap=1.1", "ppo.loss=sequence", NULL},
    {"pipeline.lag=2", "ppo.lag_cap=1.2", "ppo.form=cispo", "ppo.clip=0.02", "entropy.coef=0.5",
     NULL},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* What the last step left in the policy's tree. */
static void expect_gradient_by_hand(struct fixture *f)
{
    struct parameters *p = model_parameters(f->policy);
    float *gradients;
    CHECK(gradient_tree_result(f->learner->policy_tree, &gradients));
    float *host = host_of(f->q, gradients, p->size);
    check_gradient(p, host, loss_by_hand, f);
    free(host);
}

static void every_form_steps_along_the_gradient_of_its_loss(void **state)
{
    (void)state;
    for (int kind = 0; kind < FORMS; kind++) {
        struct fixture f;
        struct step_metrics metrics;
        open_fixture(&f, 0.15f, forms[kind]);
        const double want = loss_by_hand(&f);
        CHECK(learner_step(f.learner, &loss_ppo, &f.batch, 0, &metrics));
        /* fp32 log-probabilities near 3: 1e-6 of their differences. */
        if (!(fabs(metrics.loss - want) < 1e-5))
            fail_msg("form %d: the loss is %.8g, by hand %.8g", kind, metrics.loss, want);
        expect_gradient_by_hand(&f);
        close_fixture(&f);
    }
}

static void every_form_counts_what_its_bounds_change(void **state)
{
    (void)state;
    for (int kind = 0; kind < FORMS; kind++) {
        struct fixture f;
        struct step_metrics metrics;
        open_fixture(&f, 0.8f, forms[kind]);
        const double want = loss_by_hand(&f);
        CHECK(learner_step(f.learner, &loss_ppo, &f.batch, 0, &metrics));
        if (!(fabs(metrics.loss - want) < 2e-5))
            fail_msg("form %d: the loss is %.8g, by hand %.8g", kind, metrics.loss, want);
        if (clips(&f))
            assert_true(metrics.clip_fraction > 0.05 && metrics.clip_fraction < 1.01);
        else
            assert_true(metrics.clip_fraction == 0);
        close_fixture(&f);
    }
}

/* The second step's ratios are to what the first began with; the weights stay, and their figures
 * are as by hand. */
static void later_epochs_are_held_against_the_first(void **state)
{
    (void)state;
    static const char *const options[] = {"ppo.lag_correction=truncated", "ppo.lag_cap=1.1",
                                          "ppo.clip=0.01", NULL};
    struct fixture f;
    struct step_metrics first, second;
    double sum = 0, squares = 0, most = 0, cut = 0;
    open_fixture(&f, 0.3f, options);
    const double n = (double)f.batch.all_tokens;
    int64_t at = 0;
    for (int i = 0; i < TURNS; at += f.turns[i++].reply_count)
        for (int64_t j = 0; j < f.turns[i].reply_count; j++) {
            if (!chosen(&f.turns[i], j)) continue;
            const double whole = exp((double)f.start[at + j] - (double)f.old[i][j]);
            const double w = fmin(whole, 1.1);
            sum += w / n, squares += w * w / n, cut += whole > 1.1;
            most = fmax(most, whole);
        }
    CHECK(learner_step(f.learner, &loss_ppo, &f.batch, 0.02, &first));
    f.batch.begun = true;
    const double want = loss_by_hand(&f);
    CHECK(learner_step(f.learner, &loss_ppo, &f.batch, 0, &second));
    if (!(fabs(second.loss - want) < 2e-5))
        fail_msg("the loss is %.8g, by hand %.8g", second.loss, want);
    assert_true(first.clip_fraction == 0 && second.clip_fraction > 0.05);
    const struct step_metrics *const steps[] = {&first, &second};
    for (int k = 0; k < 2; k++) {
        assert_true(fabs(steps[k]->importance - sum) < 1e-12);
        assert_true(fabs(steps[k]->importance_squares - squares) < 1e-12);
        assert_true(fabs(steps[k]->truncated * n - cut) < 1e-9 && cut > 1 && cut < n);
        assert_true(fabs(steps[k]->importance_most - most) < 1e-12);
    }
    expect_gradient_by_hand(&f);
    close_fixture(&f);
}

/* Where behaviour and policy are one, no form clips, and all but the KL and the bonus agree on the
 * gradient. */
static void a_first_epoch_has_ratios_of_one_in_every_form(void **state)
{
    (void)state;
    static const char *const equal[][4] = {{"kl.coef=0", NULL},
                                           {"kl.coef=0", "ppo.lag_correction=truncated", NULL},
                                           {"kl.coef=0", "ppo.ratio=sequence", NULL},
                                           {"kl.coef=0", "ppo.form=cispo", NULL},
                                           {"kl.coef=0", "ppo.clip_high=0.4", NULL}};
    float *first = NULL;
    int64_t size = 0;
    for (int kind = 0; kind < 5; kind++) {
        struct fixture f;
        struct step_metrics metrics;
        float *gradients;
        open_fixture(&f, 0, equal[kind]);
        CHECK(learner_step(f.learner, &loss_ppo, &f.batch, 0, &metrics));
        assert_true(metrics.ratio_deviation == 0 && metrics.clip_fraction == 0);
        CHECK(gradient_tree_result(f.learner->policy_tree, &gradients));
        size = model_parameters(f.policy)->size;
        float *host = host_of(f.q, gradients, size);
        if (kind) check_bits(host, first, size, "gradient of form", kind);
        if (kind) free(host);
        if (!kind) first = host;
        close_fixture(&f);
    }
    free(first);
}

/* Replies that lie across pieces of the head have one ratio still. */
static void the_head_in_pieces_gives_the_same_step(void **state)
{
    (void)state;
    for (int kind = 0; kind < FORMS; kind++) {
        float *first = NULL;
        double loss = 0;
        for (int limit = 0; limit < 2; limit++) {
            struct fixture f;
            struct step_metrics metrics;
            float *gradients;
            open_fixture(&f, 0.15f, forms[kind]);
            for (int i = 1; i < 5; i++) f.begin[i] = TURNS; /* one pass */
            model_run_limit_head(f.learner->policy_run, limit ? 4 : 0);
            CHECK(learner_step(f.learner, &loss_ppo, &f.batch, 0, &metrics));
            CHECK(gradient_tree_result(f.learner->policy_tree, &gradients));
            const int64_t size = model_parameters(f.policy)->size;
            float *host = host_of(f.q, gradients, size);
            /* The head's weights add up in other places: fp32 of numbers up to 1. */
            for (int64_t i = 0; limit && i < size; i++)
                if (!(fabsf(host[i] - first[i]) < 1e-6f))
                    fail_msg("form %d: gradient %lld is %.9g in pieces, %.9g in one", kind,
                             (long long)i, host[i], first[i]);
            if (limit) assert_true(metrics.loss == loss);
            if (limit) free(host);
            if (!limit) first = host;
            loss = metrics.loss;
            close_fixture(&f);
        }
        free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_steps_along_the_gradient_of_its_loss),
        cmocka_unit_test(every_form_counts_what_its_bounds_change),
        cmocka_unit_test(later_epochs_are_held_against_the_first),
        cmocka_unit_test(a_first_epoch_has_ratios_of_one_in_every_form),
        cmocka_unit_test(the_head_in_pieces_gives_the_same_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
