/* Whole PPO steps and updates on tiny models: gradients against differences, the sign and the
 * size of what a reward does, the critic, KL, and the same bits for any number of learners. */
#include <pthread.h>

#include "src/base/config.h"
#include "src/base/slices.h"
#include "src/learn/update.h"
#include "src/rollout/dialogues.h"
#include "tests/model/model_test.h"

enum { PROMPTS = 4, CANDIDATES = 8, ROWS = PROMPTS * CANDIDATES, STEPS = 8, WANTED = 7 };

struct fixture {
    struct queue *q;
    struct model *policy, *reference;
    struct generator *generator;
    struct learner *learner;
    struct config config;
    struct rollout_settings settings;
    struct prompt prompts[PROMPTS];
    struct reply_row rows[ROWS];
};

static void config_tiny(struct config *config, const char *advantage)
{
    char text[64];
    config_defaults(config);
    snprintf(text, sizeof text, "advantage=%s", advantage);
    CHECK(config_set(config, text));
    config->rollout.temperature = 1;
    config->rollout.top_k = 0;
    config->rollout.top_p = 1;
    config->rollout.max_new_tokens = STEPS;
    config->rollout.candidates = CANDIDATES;
    config->rollout.turns = 1;
    config->kl.coef = 0;
    config->policy.lr = 3e-3;
    config->critic.lr = 3e-3;
    config->reward.scale = SCALE_NONE;
    config->train.updates = 1000;
}

/* The counts are the reward: coverage alone, which the test rigs. */
static void open_fixture(struct fixture *f, const char *advantage, double kl)
{
    memset(f, 0, sizeof *f);
    f->q = queue_new(1);
    f->policy = tiny_model(f->q, true);
    config_tiny(&f->config, advantage);
    f->config.kl.coef = kl;
    f->config.reward.beta = f->config.reward.gamma = 0;
    f->config.reward.alpha = 1;
    f->settings = rollout_settings_of(&f->config);
    if (kl > 0) f->reference = tiny_model(f->q, true);
    CHECK(generator_create(f->policy, &statistics_standard, &f->generator));
    struct learner_exchange alone;
    learner_exchange_alone(&alone);
    const struct learn_settings settings = learn_settings_of(&f->config);
    CHECK(learner_create(&settings, &alone, f->policy, f->reference,
                         f->config.advantage != ADVANTAGE_GROUP, &f->learner));
    for (int p = 0; p < PROMPTS; p++) {
        const int64_t count = 3 + 2 * p;
        int32_t tokens[16];
        uint8_t salient[16];
        for (int64_t i = 0; i < count; i++) {
            tokens[i] = 2 + (int32_t)(uniform_at((uint32_t)p, (uint32_t)i) * 21);
            salient[i] = i % 3 == 0;
        }
        tokens[count - 1] = 1;
        const struct special_ids special = {0, (const int32_t[]){1}, 1};
        CHECK(
            prompt_from_tokens(tokens, salient, count, 1, &special, &f->settings, &f->prompts[p]));
    }
}

static void close_fixture(struct fixture *f)
{
    for (int p = 0; p < PROMPTS; p++) prompt_free(&f->prompts[p]);
    learner_free(f->learner);
    generator_destroy(f->generator);
    model_destroy(f->policy);
    if (f->reference) model_destroy(f->reference);
    f->q->op->destroy(f->q);
}

/* One batch of single-turn dialogues; coverage becomes the count of the wanted token. */
static double batch_make(struct fixture *f, int64_t update, struct experience *out[PROMPTS])
{
    struct reply replies[ROWS];
    const struct experience_format format = {&statistics_standard,
                                             &f->settings.reward,
                                             f->settings.layers,
                                             model_shape(f->policy)->heads,
                                             {0}};
    double mean = 0;
    for (int r = 0; r < ROWS; r++)
        f->rows[r] = (struct reply_row){
            r / CANDIDATES,
            {(uint32_t)(update * PROMPTS + r / CANDIDATES), 1, (uint32_t)(r % CANDIDATES)},
            0};
    CHECK(generate_replies(f->generator, &f->settings, RANDOM_SAMPLING, f->prompts, f->rows, ROWS,
                           replies));
    for (int p = 0; p < PROMPTS; p++) {
        out[p] = experience_create(&format, update * PROMPTS + p, update, CANDIDATES);
        for (int k = 0; k < CANDIDATES; k++) {
            struct reply *reply = &replies[p * CANDIDATES + k];
            struct experience_turn *turn = &out[p]->turns[k];
            CHECK(experience_turn_fill(&format, out[p]->dialogue, k, &f->prompts[p], reply, NULL,
                                       turn));
            turn->chosen = true;
            turn->terms[0] = 0;
            for (int64_t t = 0; t < reply->count; t++) turn->terms[0] += reply->tokens[t] == WANTED;
            mean += turn->terms[0] / ROWS;
            reply_free(reply);
        }
    }
    return mean;
}

static void batch_free(struct experience *list[PROMPTS])
{
    for (int p = 0; p < PROMPTS; p++) experience_destroy(list[p]);
}

/* Mean count over the last five of so many updates; *kl: the last update's behaviour KL. */
static double train(struct fixture *f, int updates, double *first, double *kl)
{
    double last = 0;
    *first = 0;
    for (int u = 0; u < updates; u++) {
        struct experience *batch[PROMPTS];
        struct update_metrics metrics;
        const double mean = batch_make(f, u, batch);
        if (u < 5) *first += mean / 5;
        if (u >= updates - 5) last += mean / 5;
        CHECK(ppo_update(f->learner, batch, PROMPTS, PROMPTS, u, &metrics));
        /* Sampler and trainer give the same bits: the first epoch's ratio is 1. */
        if (metrics.first_ratio_deviation != 0)
            fail_msg("update %d: log-probabilities differ by %g in the first epoch", u,
                     metrics.first_ratio_deviation);
        if (!(metrics.policy.ratio_deviation > 0))
            fail_msg("update %d: the policy did not move", u);
        assert_false(metrics.policy.skipped);
        assert_true(fabs(metrics.reward - mean) < 1e-9);
        *kl = metrics.kl_behaviour;
        batch_free(batch);
    }
    return last;
}

static void a_rewarded_token_is_said_more(const char *advantage)
{
    struct fixture f;
    double first, kl;
    open_fixture(&f, advantage, 0);
    const double last = train(&f, 30, &first, &kl);
    close_fixture(&f);
    print_message("%s: %.3f of the wanted token a reply, then %.3f\n", advantage, first, last);
    /* A policy that does not learn stays within 0.3 of where it was (160 replies a mean). */
    if (!(last > 2 * first + 1)) fail_msg("%s: %g became only %g", advantage, first, last);
}

static void a_rewarded_token_is_said_more_with_a_critic(void **state)
{
    (void)state;
    a_rewarded_token_is_said_more("turn");
}

static void a_rewarded_token_is_said_more_with_a_group(void **state)
{
    (void)state;
    a_rewarded_token_is_said_more("group");
}

static void a_high_kl_keeps_the_policy_near_its_reference(void **state)
{
    (void)state;
    double last[2], kl[2], first;
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        open_fixture(&f, "group", i ? 5 : 1e-9);
        last[i] = train(&f, 20, &first, &kl[i]);
        close_fixture(&f);
    }
    print_message("KL %.3f and %.3f, counts %.3f and %.3f\n", kl[0], kl[1], last[0], last[1]);
    if (!(kl[0] > 0.1 && kl[1] < 0.25 * kl[0]))
        fail_msg("kl.coef 5 left a KL of %g, next to none %g", kl[1], kl[0]);
    assert_true(last[1] < last[0]);
}

static void the_critic_learns_a_reward_that_stays(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "turn", 0);
    f.learner->settings.critic_warmup = 1000; /* the policy stays */
    f.learner->settings.policy_lr = 0;
    double explained = 0, start = 0;
    for (int u = 0; u < 60; u++) {
        struct experience *batch[PROMPTS];
        struct update_metrics metrics;
        batch_make(&f, u, batch);
        /* What the history is worth, and a little that nobody can foresee. */
        for (int p = 0; p < PROMPTS; p++)
            for (int k = 0; k < CANDIDATES; k++) batch[p]->turns[k].terms[0] = p + 0.2 * (k % 2);
        CHECK(ppo_update(f.learner, batch, PROMPTS, PROMPTS, u, &metrics));
        if (!u) start = metrics.explained_variance;
        explained = metrics.explained_variance;
        batch_free(batch);
    }
    close_fixture(&f);
    print_message("explained variance %.3f, then %.3f\n", start, explained);
    assert_true(start < 0.1 && explained > 0.5);
}

static void a_batch_counts_in_the_deviations_that_divide_its_own_rewards(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "group", 0);
    f.learner->settings.reward.scale = SCALE_RUNNING;
    double count = 0, sum = 0, squares = 0;
    for (int u = 0; u < 3; u++) {
        struct experience *batch[PROMPTS];
        struct update_metrics metrics;
        double mean = 0;
        batch_make(&f, u, batch);
        for (int p = 0; p < PROMPTS; p++)
            for (int k = 0; k < CANDIDATES; k++) {
                const float value = (float)(1 << 2 * u) * (float)(p + k % 3);
                batch[p]->turns[k].terms[0] = value;
                mean += (double)value / ROWS;
                count++;
                sum += (double)value;
                squares += (double)value * (double)value;
            }
        const double want = mean / sqrt(squares / count - sum / count * (sum / count));
        CHECK(ppo_update(f.learner, batch, PROMPTS, PROMPTS, u, &metrics));
        /* Float64 throughout; the deviation is by another formula. */
        if (!(fabs(metrics.scaled[0] - want) < 1e-9 * want))
            fail_msg("update %d: coverage scaled to %.12g, by hand %.12g", u, metrics.scaled[0],
                     want);
        if (!(fabs(metrics.reward_scaled - want) < 1e-9 * want))
            fail_msg("update %d: a reward of %.12g, by hand %.12g", u, metrics.reward_scaled, want);
        batch_free(batch);
    }
    close_fixture(&f);
}

/* ---- One step on given turns. ---- */

enum { TURNS = 8 };
struct given {
    int32_t history[TURNS][9], reply[TURNS][6];
    float old[TURNS][6], ref[TURNS][6], advantage[TURNS][6];
    struct learn_turn turns[TURNS];
    int64_t begin[5]; /* of four microbatches */
    struct learn_batch batch;
};

/* Behaviour off the policy by up to 0.05: within the clip of 0.2, or by 0.5: some outside. */
static void given_make(struct given *g, struct learner *learner, float spread)
{
    memset(g, 0, sizeof *g);
    int64_t tokens = 0;
    float *logp[TURNS];
    for (int i = 0; i < TURNS; i++) {
        const int64_t n = 2 + (i * 3) % 7, m = 1 + (i * 5) % 6;
        for (int64_t j = 0; j < n; j++)
            g->history[i][j] = 2 + (int32_t)(uniform_at(40, (uint32_t)(i * 16 + j)) * 21);
        /* Every token has an advantage of its own. */
        for (int64_t j = 0; j < m; j++) g->advantage[i][j] = (float)(i % 3 - 0.8 + 0.1 * (double)j);
        for (int64_t j = 0; j < m; j++)
            g->reply[i][j] = 1 + (int32_t)(uniform_at(41, (uint32_t)(i * 16 + j)) * 22);
        g->turns[i] = (struct learn_turn){.history = g->history[i],
                                          .reply = g->reply[i],
                                          .history_count = n,
                                          .reply_count = m,
                                          .logp_old = g->old[i],
                                          .logp_ref = learner->reference ? g->ref[i] : NULL,
                                          .advantage = g->advantage[i],
                                          .target = 0.3 * i - 1};
        logp[i] = g->old[i];
        tokens += m;
        g->begin[(i / 2) + 1] = i + 1;
    }
    CHECK(learner_logp(learner, learner->policy_run, g->turns, TURNS, logp));
    for (int i = 0; i < TURNS; i++)
        for (int64_t j = 0; j < g->turns[i].reply_count; j++) {
            g->ref[i][j] = g->old[i][j] + uniform_at(42, (uint32_t)(i * 16 + j)) - 0.5f;
            g->old[i][j] += spread * (2 * uniform_at(43, (uint32_t)(i * 16 + j)) - 1);
        }
    g->batch = (struct learn_batch){.turns = g->turns,
                                    .turn_count = TURNS,
                                    .begin = g->begin,
                                    .all_tokens = tokens,
                                    .all_turns = TURNS};
}

/* docs/reward.md's loss from forward log-probabilities, in float64. */
struct loss_of {
    struct learner *learner;
    struct given *given;
};
static double loss_by_hand(void *context)
{
    const struct loss_of *of = context;
    const struct given *g = of->given;
    const struct learn_settings *settings = &of->learner->settings;
    float logp[TURNS][6], *rows[TURNS];
    double loss = 0;
    for (int i = 0; i < TURNS; i++) rows[i] = logp[i];
    CHECK(model_refresh(of->learner->policy));
    CHECK(learner_logp(of->learner, of->learner->policy_run, g->turns, TURNS, rows));
    for (int i = 0; i < TURNS; i++) {
        const struct learn_turn *turn = &g->turns[i];
        const double weight = settings->ppo_loss == PPO_LOSS_SEQUENCE
                                  ? 1.0 / TURNS / (double)turn->reply_count
                                  : 1.0 / (double)g->batch.all_tokens;
        for (int64_t j = 0; j < turn->reply_count; j++) {
            const double ratio = exp((double)logp[i][j] - (double)turn->logp_old[j]);
            const double advantage = (double)turn->advantage[j];
            const double cut = fmin(fmax(ratio, 1 - settings->clip), 1 + settings->clip);
            loss -= weight * fmin(ratio * advantage, cut * advantage);
            if (!turn->logp_ref) continue;
            const double k1 =
                kl_bounded(&settings->kl_bounds, (double)logp[i][j] - (double)turn->logp_ref[j]);
            loss += weight * settings->kl_coef * (exp(-k1) - 1 + k1);
        }
    }
    return loss;
}

static void the_step_follows_the_gradient_of_the_loss(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct fixture f;
        struct given g;
        struct step_metrics metrics;
        float *gradients;
        open_fixture(&f, "group", 0.5);
        f.learner->settings.temperature = kind ? 1.3 : 1;
        f.learner->settings.ppo_loss = kind ? PPO_LOSS_SEQUENCE : PPO_LOSS_TOKEN;
        f.learner->settings.clip = 0.2;
        given_make(&g, f.learner, 0.05f);
        struct loss_of of = {f.learner, &g};
        const double want = loss_by_hand(&of);
        CHECK(learner_step(f.learner, &loss_ppo, &g.batch, 0, &metrics));
        /* fp32 log-probabilities near 3: 1e-6 of their differences. */
        if (!(fabs(metrics.loss - want) < 1e-5))
            fail_msg("the loss is %.8g, by hand %.8g", metrics.loss, want);
        CHECK(gradient_tree_result(f.learner->policy_tree, &gradients));
        struct parameters *p = model_parameters(f.policy);
        float *host = host_of(f.q, gradients, p->size);
        check_gradient(p, host, loss_by_hand, &of);
        free(host);
        close_fixture(&f);
    }
}

static void the_loss_and_the_share_clipped_are_right_far_from_the_behaviour(void **state)
{
    (void)state;
    struct fixture f;
    struct given g;
    struct step_metrics metrics;
    open_fixture(&f, "group", 0.5);
    given_make(&g, f.learner, 0.5f);
    struct loss_of of = {f.learner, &g};
    const double want = loss_by_hand(&of);
    CHECK(learner_step(f.learner, &loss_ppo, &g.batch, 0, &metrics));
    if (!(fabs(metrics.loss - want) < 1e-5))
        fail_msg("the loss is %.8g, by hand %.8g", metrics.loss, want);
    assert_true(metrics.clip_fraction > 0.1 && metrics.clip_fraction < 0.95);
    assert_true(metrics.ratio_deviation > 0.2 && metrics.ratio_deviation < 0.501);
    close_fixture(&f);
}

/* A sampled token that the policy all but forbids and the reference does not: without a bound its
 * k3 of e^12 is the whole gradient. */
static void one_token_far_from_the_reference_does_not_own_an_update(void **state)
{
    (void)state;
    struct fixture f;
    struct given g;
    struct step_metrics near, far, farther, unbounded;
    open_fixture(&f, "group", 0.5);
    given_make(&g, f.learner, 0.05f);
    struct loss_of of = {f.learner, &g};
    CHECK(learner_step(f.learner, &loss_ppo, &g.batch, 0, &near));
    g.ref[3][0] = g.old[3][0] + 12;
    const double want = loss_by_hand(&of);
    CHECK(learner_step(f.learner, &loss_ppo, &g.batch, 0, &far));
    assert_true(fabs(far.loss - want) < 1e-5);
    g.ref[3][0] = g.old[3][0] + 30;
    CHECK(learner_step(f.learner, &loss_ppo, &g.batch, 0, &farther));
    f.learner->settings.kl_bounds = kl_bounds_of(KL_K3, 0);
    g.ref[3][0] = g.old[3][0] + 12;
    CHECK(learner_step(f.learner, &loss_ppo, &g.batch, 0, &unbounded));
    close_fixture(&f);
    print_message(
        "gradient norm %.3g, with the token %.3g, without a bound %.3g; KL %.3g, %.3g, %.3g\n",
        near.gradient_norm, far.gradient_norm, unbounded.gradient_norm, near.kl, far.kl,
        unbounded.kl);
    /* Its k3 is 10 of the batch's mean, its slope 12.6 kl.coef, beside advantages near 1. */
    assert_true(far.kl <= near.kl + 10.0 / (double)g.batch.all_tokens + 1e-6);
    assert_true(far.gradient_norm < 20 * near.gradient_norm);
    assert_true(unbounded.gradient_norm > 1000 * near.gradient_norm);
    /* How far beyond the bound makes no difference. */
    assert_true(far.loss == farther.loss && far.gradient_norm == farther.gradient_norm);
}

static void a_good_reply_becomes_likelier_and_a_bad_one_less(void **state)
{
    (void)state;
    struct fixture f;
    struct step_metrics metrics;
    open_fixture(&f, "group", 0);
    const int32_t history[2] = {5, 1}, reply[2][1] = {{6}, {9}};
    float old[2], now[2], *old_rows[2] = {old, old + 1}, *now_rows[2] = {now, now + 1};
    const float advantage[2] = {1, -1};
    struct learn_turn turns[2];
    for (int i = 0; i < 2; i++)
        turns[i] = (struct learn_turn){.history = history,
                                       .reply = reply[i],
                                       .history_count = 2,
                                       .reply_count = 1,
                                       .logp_old = old + i,
                                       .advantage = &advantage[i]};
    CHECK(learner_logp(f.learner, f.learner->policy_run, turns, 2, old_rows));
    const int64_t begin[5] = {0, 1, 2, 2, 2};
    const struct learn_batch batch = {turns, 2, begin, 2, 2, false};
    CHECK(learner_step(f.learner, &loss_ppo, &batch, 1e-3, &metrics));
    CHECK(learner_logp(f.learner, f.learner->policy_run, turns, 2, now_rows));
    if (!(now[0] > old[0] + 1e-3f && now[1] < old[1] - 1e-3f))
        fail_msg("advantage 1: %g became %g; -1: %g became %g", old[0], now[0], old[1], now[1]);
    close_fixture(&f);
}

/* ---- Learners in threads, as ranks. ---- */

struct meeting {
    pthread_barrier_t all;
    int count;
    const float *values[4];
    const void *bytes[4];
    size_t sizes[4];
};
struct seat {
    struct meeting *meeting;
    int rank;
    float *gradient, *left; /* the reduction under way, and what has left of it */
    int64_t size, final;
};

static status meeting_reduce_begin(void *context, float *gradient, int64_t size)
{
    struct seat *seat = context;
    seat->gradient = gradient;
    seat->left = malloc((size_t)size * sizeof *seat->left);
    seat->size = seat->final = size;
    return NULL;
}

/* What is final leaves at once: what is added to it afterwards is lost. */
static void meeting_reduce_ready(void *context, int64_t offset)
{
    struct seat *seat = context;
    if (offset > seat->final) fail_msg("ready %lld after less", (long long)offset);
    memcpy(seat->left + offset, seat->gradient + offset,
           (size_t)(seat->final - offset) * sizeof *seat->left);
    seat->final = offset;
}

/* The upper levels of the tree: neighbours first, then neighbours of those.  Nothing is left of
 * the slices of others. */
static status meeting_reduce_finish(void *context)
{
    struct seat *seat = context;
    struct meeting *m = seat->meeting;
    if (seat->final != 0) fail_msg("finished with %lld not ready", (long long)seat->final);
    m->values[seat->rank] = seat->left;
    pthread_barrier_wait(&m->all);
    const int64_t begin = slice_floats(seat->rank, seat->size, m->count);
    const int64_t end = slice_floats(seat->rank + 1, seat->size, m->count);
    const float *const *v = m->values;
    for (int64_t i = 0; i < seat->size; i++)
        seat->gradient[i] = i < begin || i >= end ? NAN
                            : m->count == 2       ? v[0][i] + v[1][i]
                                                  : (v[0][i] + v[1][i]) + (v[2][i] + v[3][i]);
    pthread_barrier_wait(&m->all);
    free(seat->left);
    return NULL;
}

static status meeting_gather_values(void *context, float *values, int64_t size)
{
    const struct seat *seat = context;
    struct meeting *m = seat->meeting;
    m->values[seat->rank] = values;
    pthread_barrier_wait(&m->all);
    for (int r = 0; r < m->count; r++) {
        const int64_t begin = slice_floats(r, size, m->count);
        const int64_t end = slice_floats(r + 1, size, m->count);
        if (r != seat->rank)
            memcpy(values + begin, m->values[r] + begin, (size_t)(end - begin) * sizeof *values);
    }
    pthread_barrier_wait(&m->all);
    return NULL;
}

static status meeting_gather(void *context, const void *mine, size_t bytes, void **all,
                             size_t *total)
{
    const struct seat *seat = context;
    struct meeting *m = seat->meeting;
    m->bytes[seat->rank] = mine;
    m->sizes[seat->rank] = bytes;
    pthread_barrier_wait(&m->all);
    *total = 0;
    for (int r = 0; r < m->count; r++) *total += m->sizes[r];
    *all = malloc(*total + 1);
    size_t at = 0;
    for (int r = 0; r < m->count; r++) {
        if (m->sizes[r]) memcpy((char *)*all + at, m->bytes[r], m->sizes[r]);
        at += m->sizes[r];
    }
    pthread_barrier_wait(&m->all);
    return NULL;
}

struct worker {
    struct seat seat;
    struct experience **batch;
    const char *const *options; /* of the configuration */
    float *policy, *critic;     /* parameters after the update; without a critic the reference's */
    struct update_metrics metrics;
    const char *error;
};

static void *worker_run(void *context)
{
    struct worker *w = context;
    const int count = w->seat.meeting->count, rank = w->seat.rank;
    struct config config;
    struct queue *q;
    struct model *policy, *reference = NULL;
    struct learner *learner = NULL;
    struct learner_exchange exchange;
    config_tiny(&config, "turn");
    for (const char *const *option = w->options; *option; option++)
        CHECK(config_set(&config, *option));
    const bool with_critic = config.advantage != ADVANTAGE_GROUP;
    config.roles.learners = count;
    learner_exchange_alone(&exchange);
    if (count > 1)
        exchange = (struct learner_exchange){.context = &w->seat,
                                             .rank = rank,
                                             .count = count,
                                             .reduce_begin = meeting_reduce_begin,
                                             .reduce_ready = meeting_reduce_ready,
                                             .reduce_finish = meeting_reduce_finish,
                                             .gather_values = meeting_gather_values,
                                             .gather = meeting_gather};
    struct t5_shape shape = tiny_shape(true);
    status s = cpu_queue_create(1, "auto", &q);
    if (!s) s = model_create(q, &shape.common, true, &policy);
    if (!s) s = model_initialize(policy, 7);
    if (!s) {
        parameters_stir(model_parameters(policy), 5);
        s = model_refresh(policy);
    }
    const struct learn_settings settings = learn_settings_of(&config);
    if (config.kl.coef > 0) reference = tiny_model(q, true);
    if (!s) s = learner_create(&settings, &exchange, policy, reference, with_critic, &learner);
    const int64_t mine = config.learn.microbatches / count;
    const int64_t first = microbatch_first(config.learn.microbatches, PROMPTS, mine * rank);
    const int64_t end = microbatch_first(config.learn.microbatches, PROMPTS, mine * (rank + 1));
    for (int u = 0; !s && u < 2; u++)
        s = ppo_update(learner, w->batch + first, end - first, PROMPTS, u, &w->metrics);
    if (s) {
        w->error = status_message(s);
        return NULL;
    }
    w->policy = malloc((size_t)model_parameters(policy)->size * sizeof(float));
    struct parameters *other =
        with_critic ? value_model_parameters(learner->critic) : model_parameters(reference);
    w->critic = malloc((size_t)other->size * sizeof(float));
    s = parameters_download(model_parameters(policy), w->policy);
    if (!s) s = parameters_download(other, w->critic);
    if (s) w->error = status_message(s);
    learner_free(learner);
    model_destroy(policy);
    if (reference) model_destroy(reference);
    q->op->destroy(q);
    return NULL;
}

/* Every number of learners up to `most`. */
static void learners_end_with_the_same_bits(const char *const *options, int most)
{
    struct fixture f;
    struct experience *batch[PROMPTS];
    open_fixture(&f, "turn", 0);
    batch_make(&f, 0, batch);
    const int64_t size = model_parameters(f.policy)->size;
    const int64_t critic_size = strcmp(*options, "advantage=group") != 0
                                    ? value_model_parameters(f.learner->critic)->size
                                    : size;
    float *start = malloc((size_t)size * sizeof *start);
    CHECK(parameters_download(model_parameters(f.policy), start));
    struct worker first = {0};
    for (int count = 1; count <= most; count *= 2) {
        struct meeting meeting = {.count = count};
        struct worker workers[4];
        pthread_t threads[4];
        memset(workers, 0, sizeof workers);
        assert_int_equal(pthread_barrier_init(&meeting.all, NULL, (unsigned)count), 0);
        for (int r = 0; r < count; r++) {
            workers[r].seat = (struct seat){.meeting = &meeting, .rank = r};
            workers[r].batch = batch;
            workers[r].options = options;
            assert_int_equal(pthread_create(&threads[r], NULL, worker_run, &workers[r]), 0);
        }
        for (int r = 0; r < count; r++) pthread_join(threads[r], NULL);
        pthread_barrier_destroy(&meeting.all);
        for (int r = 0; r < count; r++) {
            if (workers[r].error) fail_msg("learner %d of %d: %s", r, count, workers[r].error);
            if (count == 1) {
                first = workers[0];
                assert_memory_not_equal(first.policy, start, (size_t)size * sizeof *start);
                continue;
            }
            check_bits(workers[r].policy, first.policy, size, "policy", count);
            check_bits(workers[r].critic, first.critic, critic_size, "critic", count);
            assert_memory_equal(&workers[r].metrics, &first.metrics, sizeof first.metrics);
            free(workers[r].policy);
            free(workers[r].critic);
        }
    }
    free(first.policy);
    free(first.critic);
    free(start);
    batch_free(batch);
    close_fixture(&f);
}

static void one_two_and_four_learners_end_with_the_same_bits(void **state)
{
    (void)state;
    static const char *const defaults[] = {"advantage=turn", NULL};
    learners_end_with_the_same_bits(defaults, 4);
}

static void options_of_learning_do_not_tie_an_update_to_the_learners(void **state)
{
    (void)state;
    static const char *const critic[] = {
        "advantage=gae",     "credit.form=entropy", "returns.center=true", "reward.overlong=0.5",
        "ppo.loss=constant", "entropy.coef=0.1",    "ppo.form=cispo",      NULL};
    static const char *const group[] = {
        "advantage=group",    "group.form=global",  "group.filter=true",
        "credit.form=random", "ppo.ratio=sequence", "ppo.clip_high=0.02",
        "kl.coef=0.3",        "reference.every=1",  NULL};
    learners_end_with_the_same_bits(critic, 2);
    learners_end_with_the_same_bits(group, 2);
}

/* Two prompts' rewards are all equal: the others' tokens are the mean's, and one without any other
 * prompts changes nothing, though the optimizer remembers the update before. */
static void a_group_of_equal_rewards_is_left_out(void **state)
{
    (void)state;
    struct fixture f;
    struct experience *batch[PROMPTS];
    struct update_metrics metrics;
    open_fixture(&f, "group", 0);
    f.learner->settings.group_filter = true;
    batch_make(&f, 0, batch);
    int64_t tokens = 0;
    for (int p = 0; p < PROMPTS; p++)
        for (int k = 0; k < CANDIDATES; k++) {
            batch[p]->turns[k].terms[0] = p < 2 ? 0.25 : k;
            if (p >= 2) tokens += batch[p]->turns[k].reply_length;
        }
    CHECK(ppo_update(f.learner, batch, PROMPTS, PROMPTS, 0, &metrics));
    assert_int_equal(metrics.groups_dropped, 2);
    assert_int_equal(metrics.turns, ROWS);
    assert_int_equal(metrics.learned_turns, ROWS / 2);
    assert_int_equal(metrics.learned_tokens, tokens);
    const int64_t size = model_parameters(f.policy)->size;
    float *before = host_of(f.q, model_parameters(f.policy)->values, size);
    for (int p = 0; p < PROMPTS; p++)
        for (int k = 0; k < CANDIDATES; k++) batch[p]->turns[k].terms[0] = 0.25;
    CHECK(ppo_update(f.learner, batch, PROMPTS, PROMPTS, 1, &metrics));
    assert_int_equal(metrics.groups_dropped, PROMPTS);
    float *after = host_of(f.q, model_parameters(f.policy)->values, size);
    check_bits(after, before, size, "policy", 0);
    /* Without the filter that update would have moved it. */
    f.learner->settings.group_filter = false;
    CHECK(ppo_update(f.learner, batch, PROMPTS, PROMPTS, 1, &metrics));
    free(after);
    after = host_of(f.q, model_parameters(f.policy)->values, size);
    assert_memory_not_equal(after, before, (size_t)size * sizeof *after);
    free(before);
    free(after);
    batch_free(batch);
    close_fixture(&f);
}

/* The reference is where it began until so many updates are done, then the policy as it is. */
static void the_reference_becomes_the_policy_when_it_is_due(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, "group", 0.1);
    f.learner->settings.reference_every = 2;
    const int64_t size = model_parameters(f.policy)->size;
    float *begun = host_of(f.q, model_parameters(f.reference)->values, size);
    for (int u = 0; u < 3; u++) {
        struct experience *batch[PROMPTS];
        struct update_metrics metrics;
        batch_make(&f, u, batch);
        CHECK(ppo_update(f.learner, batch, PROMPTS, PROMPTS, u, &metrics));
        float *policy = host_of(f.q, model_parameters(f.policy)->values, size);
        float *reference = host_of(f.q, model_parameters(f.reference)->values, size);
        if (u == 0) check_bits(reference, begun, size, "the reference before it is due", u);
        if (u == 1) check_bits(reference, policy, size, "the reference when it is due", u);
        if (u == 2) assert_memory_not_equal(reference, policy, (size_t)size * sizeof *policy);
        /* Behaviour is the policy of the update before, and the reference at update 2 that too. */
        assert_true((metrics.kl_behaviour == 0) == (u != 1));
        free(policy);
        free(reference);
        batch_free(batch);
    }
    free(begun);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rewarded_token_is_said_more_with_a_critic),
        cmocka_unit_test(a_rewarded_token_is_said_more_with_a_group),
        cmocka_unit_test(a_high_kl_keeps_the_policy_near_its_reference),
        cmocka_unit_test(the_critic_learns_a_reward_that_stays),
        cmocka_unit_test(a_batch_counts_in_the_deviations_that_divide_its_own_rewards),
        cmocka_unit_test(the_step_follows_the_gradient_of_the_loss),
        cmocka_unit_test(the_loss_and_the_share_clipped_are_right_far_from_the_behaviour),
        cmocka_unit_test(one_token_far_from_the_reference_does_not_own_an_update),
        cmocka_unit_test(a_good_reply_becomes_likelier_and_a_bad_one_less),
        cmocka_unit_test(one_two_and_four_learners_end_with_the_same_bits),
        cmocka_unit_test(options_of_learning_do_not_tie_an_update_to_the_learners),
        cmocka_unit_test(a_group_of_equal_rewards_is_left_out),
        cmocka_unit_test(the_reference_becomes_the_policy_when_it_is_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
