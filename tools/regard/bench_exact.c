/* Exact mode beside fast mode: what it costs a turn, and whether a reply's bits really do not
 * depend on the batch. */
#include "kernels/load.h"
#include "src/base/clock.h"
#include "src/base/memory.h"
#include "tools/regard/bench.h"

#include <stdlib.h>
#include <string.h>

/* A queue, its model and its generator. */
struct side {
    struct queue *queue;
    struct model *model;
    struct generator *generator;
};

static void side_close(struct side *side)
{
    generator_destroy(side->generator);
    if (side->model) model_destroy(side->model);
    if (side->queue) side->queue->op->destroy(side->queue);
}

static status side_open(const struct bench *b, bool exact, struct side *side)
{
    *side = (struct side){NULL, NULL, NULL};
    const struct queue_options options = {.device = b->queue->op->name,
                                          .threads = b->queue->threads,
                                          .instructions = b->config.instructions,
                                          .real_bytes = b->queue->real_bytes,
                                          .exact = exact,
                                          .tune = b->config.tune};
    status s = queue_create(&options, &side->queue);
    if (!s) s = bench_model(b, side->queue, false, &side->model);
    if (!s)
        s = generator_create(side->model, statistics_of(model_shape(side->model), false),
                             &side->generator);
    if (s) side_close(side);
    return s;
}

static status replies_make(const struct side *side, struct rollout_settings *settings,
                           int64_t new_tokens, const struct bench_prompts *prompts, int64_t rows,
                           struct reply *replies)
{
    settings->batch = rows;
    settings->max_new_tokens = new_tokens;
    return generate_replies(side->generator, settings, RANDOM_SAMPLING, prompts->prompts,
                            prompts->rows, rows, replies);
}

static void replies_free(struct reply *replies, int64_t count)
{
    for (int64_t i = 0; i < count; i++) reply_free(&replies[i]);
}

static bool same_numbers(const struct reply *a, const struct reply *b, int statistic)
{
    return !memcmp(statistics_floats(&a->statistics, statistic),
                   statistics_floats(&b->statistics, statistic), (size_t)a->count * sizeof(float));
}

static bool same_bits(const struct reply *a, const struct reply *b)
{
    const size_t floats = (size_t)a->count * sizeof(float);
    return a->count == b->count &&
           !memcmp(a->tokens, b->tokens, (size_t)a->count * sizeof(int32_t)) &&
           !memcmp(a->logp, b->logp, floats) && same_numbers(a, b, STATISTIC_ENTROPY) &&
           same_numbers(a, b, STATISTIC_SALIENT_MASS);
}

/* Rows whose bits differ between a batch of n and the largest batch, over n = 1 .. all. */
static status mismatches_count(const struct side *side, const struct bench *b, int64_t *compared,
                               int64_t *different)
{
    enum { CANDIDATES = 8, TOKENS = 4 };
    const int64_t all = b->scale->exact_batches;
    const int64_t length = b->scale->history_tokens < 64 ? b->scale->history_tokens : 64;
    struct rollout_settings settings = rollout_settings_of(&b->config);
    struct bench_prompts prompts;
    struct reply *want = memory_allocate((size_t)all * sizeof *want);
    struct reply *got = memory_allocate((size_t)all * sizeof *got);
    *compared = *different = 0;
    status s =
        bench_prompts_make(&settings, model_shape(side->model), (all + CANDIDATES - 1) / CANDIDATES,
                           length, CANDIDATES, &prompts);
    if (!s) s = replies_make(side, &settings, TOKENS, &prompts, all, want);
    for (int64_t n = 1; !s && n < all; n++) {
        s = replies_make(side, &settings, TOKENS, &prompts, n, got);
        for (int64_t i = 0; !s && i < n; i++) {
            ++*compared;
            *different += !same_bits(&got[i], &want[i]);
        }
        replies_free(got, n);
        memset(got, 0, (size_t)n * sizeof *got);
    }
    replies_free(want, all);
    bench_prompts_free(&prompts);
    free(want);
    free(got);
    return s;
}

static status turn_time(const struct side *side, const struct bench *b,
                        const struct bench_prompts *prompts, double *seconds)
{
    struct rollout_settings settings = rollout_settings_of(&b->config);
    struct reply *replies = memory_allocate((size_t)prompts->row_count * sizeof *replies);
    const double start = seconds_now();
    status s =
        replies_make(side, &settings, b->scale->new_tokens, prompts, prompts->row_count, replies);
    *seconds = seconds_now() - start;
    replies_free(replies, prompts->row_count);
    free(replies);
    return s;
}

/* A turn on both sides, alternated. */
static status turns_measure(const struct side sides[2], const struct bench *b, json_t *line)
{
    double times[2][BENCH_ROUNDS_MAX], ratio[BENCH_ROUNDS_MAX], warm;
    struct bench_prompts prompts;
    const struct rollout_settings settings = rollout_settings_of(&b->config);
    TRY(bench_prompts_make(&settings, model_shape(sides[0].model), b->scale->histories,
                           b->scale->history_tokens, b->scale->candidates, &prompts));
    status s = NULL;
    for (int i = 0; !s && i < 4; i++) s = turn_time(&sides[i % 2], b, &prompts, &warm);
    for (int i = 0; !s && i < b->rounds; i++) {
        for (int k = 0; !s && k < 2; k++)
            s = turn_time(&sides[(i + k) % 2], b, &prompts, &times[(i + k) % 2][i]);
        ratio[i] = times[1][i] / times[0][i];
    }
    bench_prompts_free(&prompts);
    if (s) return s;
    json_object_set_new(line, "turn_ms_fast", json_real(bench_median(times[0], b->rounds) * 1e3));
    json_object_set_new(line, "turn_ms_exact", json_real(bench_median(times[1], b->rounds) * 1e3));
    json_object_set_new(line, "exact_over_fast", json_real(bench_median(ratio, b->rounds)));
    return NULL;
}

status bench_exact(const struct bench *b, json_t *out)
{
    struct side sides[2] = {{NULL, NULL, NULL}, {NULL, NULL, NULL}};
    json_t *line = json_object();
    json_object_set_new(out, "exact", line);
    status s = side_open(b, false, &sides[0]);
    if (!s) s = side_open(b, true, &sides[1]);
    if (!s) s = turns_measure(sides, b, line);
    static const char *const names[] = {"mismatches_fast", "mismatches"};
    for (int exact = 0; !s && exact < 2; exact++) {
        int64_t compared, different;
        s = mismatches_count(&sides[exact], b, &compared, &different);
        json_object_set_new(line, names[exact], s ? json_null() : json_integer(different));
        if (!s) json_object_set_new(line, "compared", json_integer(compared));
    }
    json_object_set_new(line, "batches", json_integer(b->scale->exact_batches));
    json_object_set_new(line, "mismatches_of",
                        json_string("replies whose tokens, log-probabilities, entropies or salient "
                                    "masses differ in a bit between a batch of n rows and the "
                                    "largest, n from 1 to batches"));
    side_close(&sides[1]);
    side_close(&sides[0]);
    return s;
}
