/* A turn of replies with attention captured and without, and a wide decode step beside the bytes
 * that it cannot do without. */
#include "src/base/clock.h"
#include "src/base/memory.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

/* Two generators at work on prompts, one without capture and one with it, since what is recorded
 * for one is of no use to the other; and the replies of the last round. */
struct round {
    const struct bench *bench;
    struct rollout_settings settings;
    struct model *model;
    struct generator *generator[2];
    struct bench_prompts prompts;
    struct reply *replies;
};

static void round_close(struct round *r)
{
    for (int64_t i = 0; r->replies && i < r->prompts.row_count; i++) reply_free(&r->replies[i]);
    free(r->replies);
    bench_prompts_free(&r->prompts);
    for (int i = 0; i < 2; i++) generator_destroy(r->generator[i]);
    if (r->model) model_destroy(r->model);
}

static status round_open(const struct bench *b, int64_t histories, int64_t candidates,
                         struct round *r)
{
    *r = (struct round){.bench = b, .settings = rollout_settings_of(&b->config)};
    r->settings.batch = histories * candidates;
    status s = bench_model(b, b->queue, false, &r->model);
    for (int i = 0; !s && i < 2; i++)
        s = generator_create(r->model, &statistics_standard, &r->generator[i]);
    if (!s)
        s = bench_prompts_make(&r->settings, model_shape(r->model), histories,
                               b->scale->history_tokens, candidates, &r->prompts);
    r->replies = memory_allocate((size_t)(histories * candidates) * sizeof *r->replies);
    if (s) round_close(r);
    return s;
}

/* One batch of replies in place of the last one, with the seconds it took: from the prompts on the
 * host to the replies on the host. */
static status round_run(struct round *r, int64_t layers, int64_t new_tokens, double *seconds)
{
    const int64_t rows = r->prompts.row_count;
    struct reply *fresh = memory_allocate((size_t)rows * sizeof *fresh);
    r->settings.layers = layers;
    r->settings.max_new_tokens = new_tokens;
    const double start = seconds_now();
    status s = generate_replies(r->generator[layers > 0], &r->settings, RANDOM_SAMPLING,
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

/* Times with capture and without, alternated so that a drift falls on both: of whole rounds, and
 * of one step.  A step's is what a round of new_tokens takes longer than one of `short_steps`,
 * divided by the difference of their tokens. */
struct capture_times {
    double on, off, step_on, step_off; /* medians */
    double ratio[3];                   /* off over on: median, lowest, highest */
    double step_ratio[3];              /* on over off */
};

static status rounds_measure(struct round *r, int64_t short_steps, struct capture_times *out)
{
    enum { MOST = 16 };
    const int rounds = r->bench->scale->rounds;
    const int64_t layers = r->bench->config.attention.layers,
                  long_steps = r->bench->scale->new_tokens;
    double times[4][MOST], ratio[MOST], step_ratio[MOST], warm;
    for (int i = 0; i < 2; i++) { /* a first use may allocate, choose algorithms, record graphs */
        TRY(round_run(r, layers, long_steps, &warm));
        TRY(round_run(r, 0, long_steps, &warm));
        TRY(round_run(r, layers, short_steps, &warm));
        TRY(round_run(r, 0, short_steps, &warm));
    }
    for (int i = 0; i < rounds; i++) {
        double seconds[2][2]; /* [captured][short_steps] */
        for (int k = 0; k < 2; k++) {
            const int on = (i + k) % 2;
            TRY(round_run(r, on ? layers : 0, long_steps, &seconds[on][0]));
            TRY(round_run(r, on ? layers : 0, short_steps, &seconds[on][1]));
        }
        for (int on = 0; on < 2; on++) {
            times[on][i] = seconds[on][0];
            times[2 + on][i] =
                (seconds[on][0] - seconds[on][1]) / (double)(long_steps - short_steps);
        }
        ratio[i] = times[0][i] / times[1][i];
        step_ratio[i] = times[3][i] / times[2][i];
    }
    *out = (struct capture_times){.on = bench_median(times[1], rounds),
                                  .off = bench_median(times[0], rounds),
                                  .step_on = bench_median(times[3], rounds),
                                  .step_off = bench_median(times[2], rounds),
                                  .ratio = {bench_median(ratio, rounds)},
                                  .step_ratio = {bench_median(step_ratio, rounds)}};
    out->ratio[1] = ratio[0]; /* sorted by now */
    out->ratio[2] = ratio[rounds - 1];
    out->step_ratio[1] = step_ratio[0];
    out->step_ratio[2] = step_ratio[rounds - 1];
    return NULL;
}

static json_t *round_line(const struct round *r)
{
    const struct bench_scale *scale = r->bench->scale;
    json_t *line = json_object();
    json_object_set_new(line, "histories", json_integer(r->prompts.prompt_count));
    json_object_set_new(line, "history_tokens", json_integer(scale->history_tokens));
    json_object_set_new(line, "candidates",
                        json_integer(r->prompts.row_count / r->prompts.prompt_count));
    json_object_set_new(line, "new_tokens", json_integer(scale->new_tokens));
    json_object_set_new(line, "capture_layers", json_integer(r->bench->config.attention.layers));
    json_object_set_new(line, "temperature", json_real(r->settings.temperature));
    json_object_set_new(line, "top_k", json_integer(r->settings.top_k));
    json_object_set_new(line, "top_p", json_real(r->settings.top_p));
    json_object_set_new(line, "rounds", json_integer(scale->rounds));
    return line;
}

static int64_t short_turn(const struct bench_scale *scale)
{
    return scale->new_tokens >= 16 ? scale->new_tokens / 8 : 1;
}

static status generate_measure(struct round *r, json_t *out)
{
    struct capture_times t;
    TRY(rounds_measure(r, short_turn(r->bench->scale), &t));
    double untimed;
    TRY(round_run(r, r->bench->config.attention.layers, r->bench->scale->new_tokens, &untimed));
    int64_t count = 0;
    for (int64_t i = 0; i < r->prompts.row_count; i++) count += r->replies[i].count;
    const double tokens = (double)count, steps = (double)r->bench->scale->new_tokens;
    json_t *line = round_line(r);
    json_object_set_new(out, "generate", line);
    json_object_set_new(line, "reply_tokens", json_integer(count));
    json_object_set_new(line, "turn_ms", json_real(t.on * 1e3));
    json_object_set_new(line, "turn_ms_capture_off", json_real(t.off * 1e3));
    json_object_set_new(
        line, "turn_of",
        json_string("prompts on the host to replies on the host, encoder included"));
    json_object_set_new(line, "steps_ms", json_real(t.step_on * steps * 1e3));
    json_object_set_new(line, "steps_of",
                        json_string("what more tokens take longer, a token, times new_tokens"));
    json_object_set_new(line, "tokens_s_capture_on", json_real(tokens / t.on));
    json_object_set_new(line, "tokens_s_capture_off", json_real(tokens / t.off));
    json_object_set_new(line, "on_over_off", json_real(t.ratio[0]));
    json_object_set_new(line, "on_over_off_of", json_string("tokens a second"));
    json_object_set_new(line, "on_over_off_lowest", json_real(t.ratio[1]));
    json_object_set_new(line, "on_over_off_highest", json_real(t.ratio[2]));
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

/* Bytes of the weights that every decode step reads: the decoder's and the head's, but the
 * cross-attention's keys' and values', which are the history's. */
static double step_weight_bytes(struct model *model)
{
    const struct parameters *p = model_parameters(model);
    const double element = (double)model_queue(model)->real_bytes;
    const bool tied = model_shape_number(model_shape(model), "tied") != 0;
    double bytes = 0;
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        const bool head = !strncmp(one->name, tied ? "shared" : "lm_head", 6);
        const bool history =
            strstr(one->name, "EncDecAttention.k.") || strstr(one->name, "EncDecAttention.v.");
        if (strstr(one->name, "relative_attention_bias")) continue; /* a table made at the start */
        if (head || (!strncmp(one->name, "decoder.", 8) && one->rank == 2 && !history))
            bytes += element * (double)one->count;
    }
    return bytes;
}

static status decode_measure(struct round *r, json_t *out)
{
    const struct bench *b = r->bench;
    const struct model_shape *shape = model_shape(r->model);
    const int64_t short_steps = short_turn(b->scale), long_steps = b->scale->new_tokens;
    struct capture_times t;
    TRY(rounds_measure(r, short_steps, &t));
    const double element = (double)b->queue->real_bytes;
    const double token =
        2 * element * (double)(shape->layers * shape->heads) * model_shape_number(shape, "d_kv");
    const double weights = step_weight_bytes(r->model);
    const double cross = token * (double)(r->prompts.prompt_count * b->scale->history_tokens);
    /* Steps short_steps + 1 to long_steps read as many keys, their own among them. */
    const double self =
        token * (double)r->prompts.row_count * (double)(short_steps + 1 + long_steps) / 2;
    const double floor = weights + cross + self;
    json_t *line = round_line(r);
    json_object_set_new(out, "decode", line);
    json_object_set_new(line, "step_ms", json_real(t.step_on * 1e3));
    json_object_set_new(line, "step_ms_capture_off", json_real(t.step_off * 1e3));
    json_object_set_new(
        line, "floor",
        json_string("decoder's and head's weights once, less the cross-attention's k and v, + keys "
                    "and values of each history once + each row's own keys and values so far, in "
                    "the type of the activations"));
    json_object_set_new(line, "floor_bytes", json_integer((json_int_t)floor));
    json_object_set_new(line, "floor_bytes_weights", json_integer((json_int_t)weights));
    json_object_set_new(line, "floor_bytes_histories", json_integer((json_int_t)cross));
    json_object_set_new(line, "floor_bytes_replies", json_integer((json_int_t)self));
    json_object_set_new(line, "floor_gb_s", json_real(floor / t.step_on * 1e-9));
    json_object_set_new(line, "share_of_copy", json_real(floor / t.step_on / b->peaks.bytes));
    json_object_set_new(line, "tokens_s", json_real((double)r->prompts.row_count / t.step_on));
    json_object_set_new(line, "capture_on_over_off", json_real(t.step_ratio[0]));
    json_object_set_new(line, "capture_on_over_off_of", json_string("seconds of a step"));
    json_object_set_new(line, "capture_on_over_off_lowest", json_real(t.step_ratio[1]));
    json_object_set_new(line, "capture_on_over_off_highest", json_real(t.step_ratio[2]));
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
