/* A turn of replies with attention captured and without, with the statistics of every head, and a
 * wide decode step beside the bytes that it cannot do without. */
#include "src/base/clock.h"
#include "src/base/memory.h"
#include "tools/regard/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is read of attention. */
enum { READ_NOTHING, READ_CAPTURE, READ_ALL_HEADS, READINGS };

/* Generators at work on prompts, one for each of those, since what is recorded for one is of no use
 * to another; and the replies of the last round. */
struct round {
    const struct bench *bench;
    struct rollout_settings settings;
    struct model *model;
    struct generator *generator[READINGS];
    struct bench_prompts prompts;
    struct reply *replies;
    int64_t tokens; /* of all replies of the last round of long_steps */
};

static void replies_drop(struct round *r)
{
    for (int64_t i = 0; r->replies && i < r->prompts.row_count; i++) {
        reply_free(&r->replies[i]);
        r->replies[i] = (struct reply){0};
    }
}

static void round_close(struct round *r)
{
    replies_drop(r);
    free(r->replies);
    bench_prompts_free(&r->prompts);
    for (int i = 0; i < READINGS; i++) generator_destroy(r->generator[i]);
    if (r->model) model_destroy(r->model);
}

static status round_open(const struct bench *b, int64_t histories, int64_t candidates,
                         struct round *r)
{
    *r = (struct round){.bench = b, .settings = rollout_settings_of(&b->config)};
    r->settings.batch = histories * candidates;
    status s = bench_model(b, b->queue, false, &r->model);
    for (int i = 0; !s && i < READINGS; i++)
        s = generator_create(r->model, statistics_of(model_shape(r->model), i == READ_ALL_HEADS),
                             &r->generator[i]);
    if (!s)
        s = bench_prompts_make(&r->settings, model_shape(r->model), histories,
                               b->scale->history_tokens, candidates, &r->prompts);
    r->replies = memory_allocate((size_t)(histories * candidates) * sizeof *r->replies);
    if (s) round_close(r);
    return s;
}

/* One batch of replies in place of the last one, with the seconds it took: from the prompts on the
 * host to the replies on the host. */
static status round_run(struct round *r, int reading, int64_t new_tokens, double *seconds)
{
    const int64_t rows = r->prompts.row_count;
    const int64_t layers = reading == READ_NOTHING ? 0 : r->bench->config.attention.layers;
    struct reply *fresh = memory_allocate((size_t)rows * sizeof *fresh);
    r->settings.layers = layers;
    r->settings.max_new_tokens = new_tokens;
    const double start = seconds_now();
    status s = generate_replies(r->generator[reading], &r->settings, RANDOM_SAMPLING,
                                r->prompts.prompts, r->prompts.rows, rows, fresh);
    *seconds = seconds_now() - start;
    bool same = true; /* sampling does not look at capture, nor at how many tokens are to come */
    for (int64_t i = 0; i < rows; i++) {
        const struct reply *was = &r->replies[i], *is = &fresh[i];
        const int64_t both = !was->tokens || was->count > is->count ? is->count : was->count;
        if (!s && was->tokens && memcmp(was->tokens, is->tokens, (size_t)both * sizeof(int32_t)))
            same = false;
        reply_free(&r->replies[i]);
        r->replies[i] = fresh[i];
    }
    free(fresh);
    if (!s && !same)
        s = ERROR(STATUS_INTERNAL, "the same seed gave other replies with attention.layers %lld",
                  (long long)layers);
    return s;
}

/* What is measured: rounds of long_steps, and of short_steps unless 0, with one thing read and with
 * another. */
struct plan {
    int readings[2];
    int64_t short_steps, long_steps;
    bool fresh; /* other histories every round: a causal model's decoder keeps those it has read */
};

/* Times with the second reading (on) and with the first, alternated so that a drift falls on both:
 * of whole rounds, and of one step.  A step's is what a round of long_steps takes longer than one
 * of short_steps, divided by the difference of their tokens. */
struct capture_times {
    double on, off, step_on, step_off; /* medians */
    struct spread {
        double median, lowest, highest, interval[2]; /* bench_median_interval */
    } ratio, step_ratio;                             /* off over on; on over off */
};

static struct spread spread_of(double *values, int count)
{
    struct spread spread = {.median = bench_median(values, count)};
    spread.lowest = values[0];
    spread.highest = values[count - 1];
    bench_median_interval(values, count, spread.interval);
    return spread;
}

static void spread_write(json_t *line, const char *name, const struct spread *spread)
{
    const struct {
        const char *end;
        double value;
    } all[] = {{"", spread->median},
               {"_lowest", spread->lowest},
               {"_highest", spread->highest},
               {"_from", spread->interval[0]},
               {"_to", spread->interval[1]}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s%s", name, all[i].end);
        json_object_set_new(line, key, json_real(all[i].value));
    }
}

/* One reading or the other, of both lengths: seconds [long, short]. */
static status side_run(struct round *r, const struct plan *plan, bool on, double seconds[2])
{
    const int reading = plan->readings[on];
    seconds[1] = 0;
    TRY(round_run(r, reading, plan->long_steps, &seconds[0]));
    r->tokens = 0;
    for (int64_t i = 0; i < r->prompts.row_count; i++) r->tokens += r->replies[i].count;
    return plan->short_steps ? round_run(r, reading, plan->short_steps, &seconds[1]) : NULL;
}

static status rounds_measure(struct round *r, const struct plan *plan, struct capture_times *out)
{
    enum { MOST = BENCH_ROUNDS_MAX };
    const int rounds = r->bench->rounds;
    double times[4][MOST], ratio[MOST], step_ratio[MOST], warm[2];
    /* A first use may allocate, choose algorithms, record graphs. */
    for (int i = 0; i < (r->bench->queue->on_host ? 1 : 2); i++) {
        TRY(side_run(r, plan, true, warm));
        TRY(side_run(r, plan, false, warm));
    }
    for (int i = 0; i < rounds; i++) {
        double seconds[2][2]; /* [on][short_steps] */
        if (plan->fresh) {
            replies_drop(r);
            bench_prompts_change(&r->prompts, model_shape(r->model), 1000 * (uint32_t)(i + 1));
        }
        for (int k = 0; k < 2; k++) TRY(side_run(r, plan, (i + k) % 2, seconds[(i + k) % 2]));
        for (int on = 0; on < 2; on++) {
            times[on][i] = seconds[on][0];
            times[2 + on][i] =
                (seconds[on][0] - seconds[on][1]) / (double)(plan->long_steps - plan->short_steps);
        }
        ratio[i] = times[0][i] / times[1][i];
        step_ratio[i] = times[3][i] / times[2][i];
    }
    *out = (struct capture_times){.on = bench_median(times[1], rounds),
                                  .off = bench_median(times[0], rounds),
                                  .step_on = bench_median(times[3], rounds),
                                  .step_off = bench_median(times[2], rounds),
                                  .ratio = spread_of(ratio, rounds),
                                  .step_ratio = spread_of(step_ratio, rounds)};
    return NULL;
}

static json_t *round_line(const struct round *r, int64_t new_tokens)
{
    const struct bench_scale *scale = r->bench->scale;
    json_t *line = json_object();
    json_object_set_new(line, "histories", json_integer(r->prompts.prompt_count));
    json_object_set_new(line, "history_tokens", json_integer(scale->history_tokens));
    json_object_set_new(line, "candidates",
                        json_integer(r->prompts.row_count / r->prompts.prompt_count));
    json_object_set_new(line, "new_tokens", json_integer(new_tokens));
    json_object_set_new(line, "capture_layers", json_integer(r->bench->config.attention.layers));
    json_object_set_new(line, "temperature", json_real(r->settings.temperature));
    json_object_set_new(line, "top_k", json_integer(r->settings.top_k));
    json_object_set_new(line, "top_p", json_real(r->settings.top_p));
    json_object_set_new(line, "rounds", json_integer(r->bench->rounds));
    return line;
}

static int64_t short_of(int64_t new_tokens)
{
    return new_tokens >= 16 ? new_tokens / 8 : 1;
}

static status generate_measure(struct round *r, json_t *out)
{
    struct capture_times t;
    const int64_t new_tokens = r->bench->scale->new_tokens;
    const bool causal = model_shape_is_causal(model_shape(r->model));
    struct capture_times heads;
    struct plan plan = {.readings = {READ_NOTHING, READ_CAPTURE},
                        .short_steps = causal ? 0 : short_of(new_tokens),
                        .long_steps = new_tokens,
                        .fresh = causal};
    TRY(rounds_measure(r, &plan, &t));
    plan.readings[0] = READ_CAPTURE, plan.readings[1] = READ_ALL_HEADS;
    TRY(rounds_measure(r, &plan, &heads));
    const double tokens = (double)r->tokens;
    json_t *line = round_line(r, new_tokens);
    json_object_set_new(out, "generate", line);
    json_object_set_new(line, "reply_tokens", json_integer(r->tokens));
    json_object_set_new(line, "turn_ms", json_real(t.on * 1e3));
    json_object_set_new(line, "turn_ms_capture_off", json_real(t.off * 1e3));
    json_object_set_new(
        line, "turn_of",
        json_string("prompts on the host to replies on the host, histories included"));
    if (plan.short_steps) {
        json_object_set_new(line, "steps_ms", json_real(t.step_on * (double)new_tokens * 1e3));
        json_object_set_new(line, "steps_of",
                            json_string("what more tokens take longer, a token, times new_tokens"));
    }
    json_object_set_new(line, "tokens_s_capture_on", json_real(tokens / t.on));
    json_object_set_new(line, "tokens_s_capture_off", json_real(tokens / t.off));
    json_object_set_new(
        line, "on_over_off_of",
        json_string("tokens a second; _from and _to hold the median with 95% or more"));
    spread_write(line, "on_over_off", &t.ratio);
    json_object_set_new(line, "tokens_s_all_heads", json_real(tokens / heads.on));
    json_object_set_new(line, "all_heads_over_capture_of", json_string("tokens a second"));
    spread_write(line, "all_heads_over_capture", &heads.ratio);
    json_object_set_new(line, "matmul_gflops", json_real(r->bench->peaks.flops * 1e-9));
    json_object_set_new(line, "copy_gb_s", json_real(r->bench->peaks.bytes * 1e-9));
    return NULL;
}

status bench_generate(const struct bench *b, json_t *out)
{
    struct round r;
    TRY(round_open(b, b->scale->histories, b->scale->candidates, &r));
    status s = generate_measure(&r, out);
    round_close(&r);
    return s;
}

static status decode_measure(struct round *r, json_t *out)
{
    const struct bench *b = r->bench;
    const struct plan plan = {.readings = {READ_NOTHING, READ_CAPTURE},
                              .short_steps = short_of(b->scale->decode_tokens),
                              .long_steps = b->scale->decode_tokens};
    struct capture_times t;
    TRY(rounds_measure(r, &plan, &t));
    const double token = bench_key_bytes(r->model);
    const double weights = (double)b->queue->real_bytes * bench_weights_of(r->model).reply;
    const double histories = token * (double)(r->prompts.prompt_count * b->scale->history_tokens);
    /* Steps short_steps + 1 to long_steps read as many keys, their own among them. */
    const double self =
        token * (double)r->prompts.row_count * (double)(plan.short_steps + 1 + plan.long_steps) / 2;
    const double floor = weights + histories + self;
    json_t *line = round_line(r, plan.long_steps);
    json_object_set_new(out, "decode", line);
    json_object_set_new(line, "step_ms", json_real(t.step_on * 1e3));
    json_object_set_new(line, "step_ms_capture_off", json_real(t.step_off * 1e3));
    json_object_set_new(
        line, "floor",
        json_string("weights that are applied to a reply's token, the head's among them, once + "
                    "keys and values of each history once + each row's own keys and values so far, "
                    "in the type of the activations"));
    json_object_set_new(line, "floor_bytes", json_integer((json_int_t)floor));
    json_object_set_new(line, "floor_bytes_weights", json_integer((json_int_t)weights));
    json_object_set_new(line, "floor_bytes_histories", json_integer((json_int_t)histories));
    json_object_set_new(line, "floor_bytes_replies", json_integer((json_int_t)self));
    json_object_set_new(line, "floor_gb_s", json_real(floor / t.step_on * 1e-9));
    json_object_set_new(line, "share_of_copy", json_real(floor / t.step_on / b->peaks.bytes));
    if (b->peaks.read > 0)
        json_object_set_new(line, "share_of_read", json_real(floor / t.step_on / b->peaks.read));
    json_object_set_new(line, "tokens_s", json_real((double)r->prompts.row_count / t.step_on));
    json_object_set_new(line, "capture_on_over_off_of", json_string("seconds of a step"));
    spread_write(line, "capture_on_over_off", &t.step_ratio);
    return NULL;
}

status bench_decode(const struct bench *b, json_t *out)
{
    struct round r;
    TRY(round_open(b, b->scale->decode_histories, b->scale->decode_candidates, &r));
    status s = decode_measure(&r, out);
    round_close(&r);
    return s;
}
