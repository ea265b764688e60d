/* One update of the policy, supervised and PPO, beside the matrix rate of the same run. */
#include "src/base/clock.h"
#include "src/base/memory.h"
#include "src/learn/step.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

struct update {
    const struct bench *bench;
    struct config config;
    struct model *model;
    struct learner *learner;
    struct bench_prompts prompts;
    int32_t *replies; /* [rows, reply_tokens] */
    float *logp;      /* the same */
    float *advantage; /* the same */
    struct learn_turn *turns;
    int64_t *begin;
    struct learn_batch batch;
};

static void update_close(struct update *u)
{
    learner_free(u->learner);
    if (u->model) model_destroy(u->model);
    bench_prompts_free(&u->prompts);
    free(u->replies);
    free(u->logp);
    free(u->advantage);
    free(u->turns);
    free(u->begin);
}

/* Random replies; the log-probabilities that PPO starts from are the model's own. */
static status turns_make(struct update *u)
{
    const struct bench_scale *scale = u->bench->scale;
    const int64_t rows = u->prompts.row_count, length = scale->reply_tokens;
    u->replies = memory_allocate((size_t)(rows * length) * sizeof *u->replies);
    u->logp = memory_allocate((size_t)(rows * length) * sizeof *u->logp);
    u->advantage = memory_allocate((size_t)(rows * length) * sizeof *u->advantage);
    u->turns = memory_allocate((size_t)rows * sizeof *u->turns);
    u->begin = memory_allocate((size_t)(scale->microbatches + 1) * sizeof *u->begin);
    bench_ids(u->replies, rows * length, 3, (int32_t)model_shape(u->model)->vocabulary, 9);
    float **logp = memory_allocate((size_t)rows * sizeof *logp);
    for (int64_t r = 0; r < rows; r++) {
        const struct prompt *prompt = &u->prompts.prompts[u->prompts.rows[r].prompt];
        logp[r] = u->logp + r * length;
        for (int64_t i = 0; i < length; i++) u->advantage[r * length + i] = r % 2 ? 1 : -1;
        u->turns[r] = (struct learn_turn){.history = prompt->tokens,
                                          .history_count = prompt->count,
                                          .reply = u->replies + r * length,
                                          .reply_count = length,
                                          .logp_old = logp[r],
                                          .advantage = u->advantage + r * length};
    }
    for (int64_t m = 0; m <= scale->microbatches; m++)
        u->begin[m] = microbatch_first(scale->microbatches, rows, m);
    u->batch = (struct learn_batch){.turns = u->turns,
                                    .turn_count = rows,
                                    .begin = u->begin,
                                    .all_tokens = rows * length,
                                    .all_turns = rows};
    status s = learner_logp(u->learner, u->learner->policy_run, u->turns, rows, logp);
    free(logp);
    return s;
}

static status update_open(const struct bench *b, struct update *u)
{
    struct learner_exchange exchange;
    const struct rollout_settings rollout = rollout_settings_of(&b->config);
    *u = (struct update){.bench = b, .config = b->config};
    u->config.roles.learners = 1;
    u->config.kl.coef = 0; /* no reference model */
    u->config.learn.microbatches = b->scale->microbatches;
    learner_exchange_alone(&exchange);
    status s = bench_model(b, b->queue, true, &u->model);
    if (!s)
        s = bench_prompts_make(&rollout, model_shape(u->model), b->scale->update_histories,
                               b->scale->history_tokens, b->scale->update_candidates, &u->prompts);
    const struct learn_settings settings = learn_settings_of(&u->config);
    if (!s) s = learner_create(&settings, &exchange, u->model, NULL, false, &u->learner);
    if (!s) s = turns_make(u);
    if (s) update_close(u);
    return s;
}

/* Multiplications and additions of a forward pass over the batch, each history read once a
 * microbatch: of the weights' products, and of attention's. */
static void forward_flops(const struct update *u, double *weights, double *attention)
{
    const struct model_shape *shape = model_shape(u->model);
    const struct bench_weights_count matrices = bench_weights_of(u->model);
    *weights = *attention = 0;
    for (int64_t m = 0; m < u->bench->scale->microbatches; m++)
        for (int64_t i = u->begin[m]; i < u->begin[m + 1]; i++) {
            const struct learn_turn *turn = &u->turns[i];
            const double n = (double)turn->history_count, k = (double)turn->reply_count;
            if (i == u->begin[m] || turn->history != turn[-1].history) {
                *weights += 2 * (matrices.history - matrices.history_unread) * n;
                *attention += bench_history_attention(shape, n);
            }
            *weights += 2 * matrices.reply * k;
            *attention += bench_reply_attention(shape, n, k);
        }
}

static status step_run(struct update *u, bool ppo, double *seconds)
{
    struct step_metrics metrics;
    const double start = seconds_now();
    TRY(learner_step(u->learner, ppo ? &loss_ppo : &loss_sft, &u->batch, u->config.policy.lr,
                     &metrics));
    TRY(u->bench->queue->op->synchronize(u->bench->queue));
    *seconds = seconds_now() - start;
    if (metrics.skipped)
        FAIL(STATUS_INTERNAL, "the %s step's gradient was not finite", ppo ? "ppo" : "sft");
    return NULL;
}

static status steps_measure(struct update *u, json_t *out)
{
    const struct bench *b = u->bench;
    double weights, attention;
    forward_flops(u, &weights, &attention);
    const double flops = 3 * (weights + attention);
    const double tokens = (double)u->batch.all_tokens;
    json_object_set_new(out, "parameters", json_integer(model_parameters(u->model)->size));
    json_object_set_new(out, "histories", json_integer(b->scale->update_histories));
    json_object_set_new(out, "history_tokens", json_integer(b->scale->history_tokens));
    json_object_set_new(out, "replies", json_integer(u->batch.turn_count));
    json_object_set_new(out, "reply_tokens", json_integer(u->batch.all_tokens));
    json_object_set_new(out, "microbatches", json_integer(b->scale->microbatches));
    json_object_set_new(out, "tflop", json_real(flops * 1e-12));
    json_object_set_new(out, "tflop_attention", json_real(3 * attention * 1e-12));
    json_object_set_new(
        out, "tflop_of",
        json_string(
            "3 x the forward pass: 2 x weights x tokens, each history's once, by what is "
            "applied to it; and attention, 4 x width x query-key pairs seen; no padding, no "
            "recomputation"));
    json_object_set_new(out, "matmul_gflops", json_real(b->peaks.flops * 1e-9));
    for (int ppo = 0; ppo < 2; ppo++) {
        double rounds[BENCH_ROUNDS_MAX], warm;
        for (int i = 0; i < (b->queue->on_host ? 1 : 2); i++) TRY(step_run(u, ppo, &warm));
        for (int i = 0; i < b->rounds; i++) TRY(step_run(u, ppo, &rounds[i]));
        const double seconds = bench_median(rounds, b->rounds);
        json_t *line = json_object();
        json_object_set_new(out, ppo ? "ppo_step" : "sft_step", line);
        json_object_set_new(line, "seconds", json_real(seconds));
        json_object_set_new(line, "reply_tokens_s", json_real(tokens / seconds));
        json_object_set_new(line, "model_gflops", json_real(flops / seconds * 1e-9));
        json_object_set_new(line, "share_of_matmul_peak",
                            json_real(flops / seconds / b->peaks.flops));
        json_object_set_new(line, "rounds", json_integer(b->rounds));
    }
    return NULL;
}

status bench_update(const struct bench *b, json_t *out)
{
    struct update u;
    TRY(update_open(b, &u));
    json_t *line = json_object();
    json_object_set_new(out, "update", line);
    status s = steps_measure(&u, line);
    update_close(&u);
    return s;
}
