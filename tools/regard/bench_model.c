/* Generation with capture on and off, and one update on its replies.  Without --model the
 * model is random: model.d_model and its sisters, or T5-small's layers when d_model is 0. */
#include "src/base/arena.h"
#include "src/base/clock.h"
#include "src/base/philox.h"
#include "src/checkpoint/model_folder.h"
#include "src/learn/learner.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

enum {
    BENCH_HISTORIES = 4,
    BENCH_HISTORY_TOKENS = 128,
    BENCH_CANDIDATES = 8,
    BENCH_NEW_TOKENS = 32,
    BENCH_ROWS = BENCH_HISTORIES * BENCH_CANDIDATES,
    BENCH_VOCABULARY = 2000,
    BENCH_FIRST_WORD = 3 /* ids below it are special */
};

struct model_bench {
    struct config config; /* the command's, with what the benchmark fixes */
    struct queue *queue;
    const struct bench_peaks *peaks;
    struct t5 *model;
    struct generator *generator;
    int32_t tokens[BENCH_HISTORIES][BENCH_HISTORY_TOKENS];
    struct prompt prompts[BENCH_HISTORIES];
    struct reply_row rows[BENCH_ROWS];
    struct reply replies[BENCH_ROWS];
};

static status random_model(const struct config *config, struct queue *queue, bool with_gradients,
                           struct t5 **out)
{
    const bool given = config->model.d_model > 0;
    const struct t5_shape shape = {.vocabulary = config->model.vocabulary ? config->model.vocabulary
                                                                          : BENCH_VOCABULARY,
                                   .d_model = given ? config->model.d_model : 512,
                                   .d_kv = given ? config->model.d_kv : 64,
                                   .d_ff = given ? config->model.d_ff : 2048,
                                   .heads = given ? config->model.heads : 8,
                                   .encoder_layers = given ? config->model.encoder_layers : 6,
                                   .decoder_layers = given ? config->model.decoder_layers : 6,
                                   .buckets = 32,
                                   .max_distance = 128,
                                   .gated = given ? config->model.gated : false,
                                   .tied = given ? config->model.tied : true,
                                   .scale_logits = given ? config->model.tied : true,
                                   .eps = 1e-6f,
                                   .pad = 0,
                                   .end = 1,
                                   .decoder_start = 0};
    if (shape.vocabulary <= BENCH_FIRST_WORD)
        FAIL(STATUS_INPUT, "model.vocabulary is %lld; bench wants more than %d ids",
             (long long)shape.vocabulary, BENCH_FIRST_WORD);
    TRY(t5_create(queue, &shape, with_gradients, out));
    status s = t5_initialize(*out, config->seed);
    if (!s) s = t5_refresh(*out);
    if (s) {
        t5_destroy(*out);
        *out = NULL;
    }
    return s;
}

static status prompts_make(struct model_bench *b)
{
    const struct t5_shape *shape = t5_shape(b->model);
    uint8_t salient[BENCH_HISTORY_TOKENS];
    for (int i = 0; i < BENCH_HISTORY_TOKENS; i++) salient[i] = i % 4 == 0;
    for (int h = 0; h < BENCH_HISTORIES; h++) {
        bench_ids(b->tokens[h], BENCH_HISTORY_TOKENS, BENCH_FIRST_WORD, (int32_t)shape->vocabulary,
                  16 + (uint32_t)h);
        TRY(prompt_from_tokens(b->tokens[h], salient, BENCH_HISTORY_TOKENS, 1, shape->pad,
                               shape->end, &b->config, &b->prompts[h]));
    }
    for (int r = 0; r < BENCH_ROWS; r++)
        b->rows[r] = (struct reply_row){
            .prompt = r / BENCH_CANDIDATES,
            .counter = {(uint32_t)(r / BENCH_CANDIDATES), 1, (uint32_t)(r % BENCH_CANDIDATES)}};
    return NULL;
}

static void replies_free(struct reply *replies)
{
    for (int r = 0; r < BENCH_ROWS; r++) reply_free(&replies[r]);
}

static int64_t replies_tokens(const struct reply *replies)
{
    int64_t tokens = 0;
    for (int r = 0; r < BENCH_ROWS; r++) tokens += replies[r].count;
    return tokens;
}

/* One batch of replies in place of the last one, with the seconds it took. */
static status round_generate(struct model_bench *b, int64_t layers, double *seconds)
{
    struct reply fresh[BENCH_ROWS];
    struct config config = b->config;
    config.attention.layers = layers;
    const double start = seconds_now();
    TRY(generate_replies(b->generator, &config, RANDOM_SAMPLING, b->prompts, b->rows, BENCH_ROWS,
                         fresh));
    *seconds = seconds_now() - start;
    bool same = true; /* sampling does not look at capture */
    for (int r = 0; r < BENCH_ROWS; r++) {
        const struct reply *was = &b->replies[r], *is = &fresh[r];
        if (was->tokens && (was->count != is->count ||
                            memcmp(was->tokens, is->tokens, (size_t)is->count * sizeof(int32_t))))
            same = false;
        reply_free(&b->replies[r]);
    }
    memcpy(b->replies, fresh, sizeof fresh);
    if (!same)
        FAIL(STATUS_INTERNAL, "the same seed gave other replies with attention.layers %lld",
             (long long)layers);
    return NULL;
}

static status generate_measure(struct model_bench *b, json_t *out)
{
    const int64_t layers = b->config.attention.layers;
    double on[BENCH_ROUNDS], off[BENCH_ROUNDS], ratio[BENCH_ROUNDS], warm;
    TRY(round_generate(b, layers, &warm));
    TRY(round_generate(b, 0, &warm));
    for (int i = 0; i < BENCH_ROUNDS; i++) {
        const bool on_first = i % 2 == 0; /* alternated, so that a drift falls on both */
        TRY(round_generate(b, on_first ? layers : 0, on_first ? &on[i] : &off[i]));
        TRY(round_generate(b, on_first ? 0 : layers, on_first ? &off[i] : &on[i]));
        ratio[i] = off[i] / on[i];
    }
    const double tokens = (double)replies_tokens(b->replies);
    json_t *line = json_object();
    json_object_set_new(out, "generate", line);
    json_object_set_new(line, "histories", json_integer(BENCH_HISTORIES));
    json_object_set_new(line, "history_tokens", json_integer(BENCH_HISTORY_TOKENS));
    json_object_set_new(line, "candidates", json_integer(BENCH_CANDIDATES));
    json_object_set_new(line, "reply_tokens", json_integer((json_int_t)tokens));
    json_object_set_new(line, "capture_layers", json_integer(layers));
    json_object_set_new(line, "tokens_s_capture_on",
                        json_real(tokens / bench_median(on, BENCH_ROUNDS)));
    json_object_set_new(line, "tokens_s_capture_off",
                        json_real(tokens / bench_median(off, BENCH_ROUNDS)));
    json_object_set_new(line, "on_over_off", json_real(bench_median(ratio, BENCH_ROUNDS)));
    json_object_set_new(line, "on_over_off_lowest", json_real(ratio[0]));
    json_object_set_new(line, "on_over_off_highest", json_real(ratio[BENCH_ROUNDS - 1]));
    json_object_set_new(line, "rounds", json_integer(BENCH_ROUNDS));
    json_object_set_new(line, "matmul_gflops", json_real(b->peaks->flops * 1e-9));
    json_object_set_new(line, "copy_gb_s", json_real(b->peaks->bytes * 1e-9));
    return NULL;
}

/* Parameters a token passes through: the encoder's, and the decoder's with its head.  The
 * embedding is a look-up, but is the head when no lm_head is there. */
static void parameters_split(struct t5 *model, int64_t *encoder, int64_t *decoder)
{
    const struct parameters *p = t5_parameters(model);
    *encoder = *decoder = 0;
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        const bool head = t5_shape(model)->tied ? !strncmp(one->name, "shared", 6)
                                                : !strncmp(one->name, "lm_head", 7);
        if (!strncmp(one->name, "encoder.", 8)) *encoder += one->count;
        if (!strncmp(one->name, "decoder.", 8) || head) *decoder += one->count;
    }
}

/* History tokens as the learner encodes them: once for neighbours in a microbatch. */
static int64_t encoded_tokens(const struct learn_turn *turns, const int64_t *begin,
                              int64_t microbatches)
{
    int64_t tokens = 0;
    for (int64_t m = 0; m < microbatches; m++)
        for (int64_t i = begin[m]; i < begin[m + 1]; i++)
            if (i == begin[m] || turns[i].history != turns[i - 1].history)
                tokens += turns[i].history_count;
    return tokens;
}

static status step_run(struct model_bench *b, struct learner *learner,
                       const struct learn_batch *batch, bool ppo, double *seconds)
{
    const double lr = b->config.policy.lr;
    struct step_metrics metrics;
    const double start = seconds_now();
    TRY(ppo ? ppo_policy_step(learner, batch, lr, &metrics)
            : sft_step(learner, batch, b->config.sft.lr, &metrics));
    *seconds = seconds_now() - start;
    if (metrics.skipped)
        FAIL(STATUS_INTERNAL, "the %s step's gradient was not finite", ppo ? "ppo" : "sft");
    return NULL;
}

static status steps_measure(struct model_bench *b, struct learner *learner,
                            const struct learn_batch *batch, json_t *out)
{
    const int64_t history =
        encoded_tokens(batch->turns, batch->begin, b->config.learn.microbatches);
    int64_t encoder, decoder;
    parameters_split(b->model, &encoder, &decoder);
    const double flops =
        6 * ((double)encoder * (double)history + (double)decoder * (double)batch->all_tokens);
    json_object_set_new(out, "parameters", json_integer(t5_parameters(b->model)->size));
    json_object_set_new(out, "reply_tokens", json_integer(batch->all_tokens));
    json_object_set_new(out, "history_tokens_encoded", json_integer(history));
    json_object_set_new(out, "estimate",
                        json_string("6 x (encoder parameters x history tokens encoded + decoder "
                                    "and head parameters x reply tokens) FLOP a step"));
    json_object_set_new(out, "matmul_gflops", json_real(b->peaks->flops * 1e-9));
    for (int ppo = 0; ppo < 2; ppo++) {
        double rounds[BENCH_SLOW_ROUNDS], warm;
        TRY(step_run(b, learner, batch, ppo, &warm));
        for (int i = 0; i < BENCH_SLOW_ROUNDS; i++)
            TRY(step_run(b, learner, batch, ppo, &rounds[i]));
        const double seconds = bench_median(rounds, BENCH_SLOW_ROUNDS);
        json_t *line = json_object();
        json_object_set_new(out, ppo ? "ppo_step" : "sft_step", line);
        json_object_set_new(line, "seconds", json_real(seconds));
        json_object_set_new(line, "reply_tokens_s", json_real((double)batch->all_tokens / seconds));
        json_object_set_new(line, "model_gflops", json_real(flops / seconds * 1e-9));
        json_object_set_new(line, "share_of_matmul_peak",
                            json_real(flops / seconds / b->peaks->flops));
        json_object_set_new(line, "rounds", json_integer(BENCH_SLOW_ROUNDS));
    }
    return NULL;
}

static status update_measure(struct model_bench *b, json_t *out)
{
    struct learn_turn turns[BENCH_ROWS];
    const int64_t microbatches = b->config.learn.microbatches;
    for (int r = 0; r < BENCH_ROWS; r++) {
        const struct prompt *prompt = &b->prompts[b->rows[r].prompt];
        turns[r] = (struct learn_turn){.history = prompt->tokens,
                                       .history_count = prompt->count,
                                       .reply = b->replies[r].tokens,
                                       .reply_count = b->replies[r].count,
                                       .logp_old = b->replies[r].logp,
                                       .advantage = r % 2 ? 1 : -1};
    }
    int64_t *begin = memory_allocate((size_t)(microbatches + 1) * sizeof *begin);
    for (int64_t m = 0; m <= microbatches; m++)
        begin[m] = microbatch_first(&b->config, BENCH_ROWS, m);
    const struct learn_batch batch = {.turns = turns,
                                      .turn_count = BENCH_ROWS,
                                      .begin = begin,
                                      .all_tokens = replies_tokens(b->replies),
                                      .all_turns = BENCH_ROWS};
    struct learner_exchange exchange;
    learner_exchange_alone(&exchange);
    struct learner *learner = NULL;
    json_t *line = json_object();
    json_object_set_new(out, "update", line);
    status s = learner_create(&b->config, &exchange, b->model, NULL, false, &learner);
    if (!s) s = steps_measure(b, learner, &batch, line);
    learner_free(learner);
    free(begin);
    return s;
}

/* What the benchmark fixes over the configuration. */
static void config_fix(struct config *config)
{
    config->rollout.temperature = 1;
    config->rollout.top_k = 0;
    config->rollout.top_p = 1;
    config->rollout.max_new_tokens = BENCH_NEW_TOKENS;
    config->roles.learners = 1;
    config->kl.coef = 0; /* no reference model */
}

status bench_model(const struct command *command, struct queue *queue,
                   const struct bench_peaks *peaks, bool generate, bool update, json_t *out)
{
    struct model_bench *b = memory_allocate(sizeof *b);
    b->config = command->config;
    b->queue = queue;
    b->peaks = peaks;
    config_fix(&b->config);
    const char *folder = command->model            ? command->model
                         : b->config.model.path[0] ? b->config.model.path
                                                   : NULL;
    status s = folder ? model_open(folder, queue, update, &b->model)
                      : random_model(&b->config, queue, update, &b->model);
    if (!s) s = generator_create(b->model, &b->generator);
    if (!s) s = prompts_make(b);
    double untimed;
    if (!s)
        s = generate ? generate_measure(b, out)
                     : round_generate(b, b->config.attention.layers, &untimed);
    if (!s && update) s = update_measure(b, out);
    replies_free(b->replies);
    for (int h = 0; h < BENCH_HISTORIES; h++) prompt_free(&b->prompts[h]);
    generator_destroy(b->generator);
    if (b->model) t5_destroy(b->model);
    free(b);
    return s;
}
