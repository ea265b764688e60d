/* A statistic of the test's own, in no other file: a table that is the standard one and two rows
 * goes through generation, experience, the message and an update, and is in its metrics. */
#include "src/base/config.h"
#include "src/learn/update.h"
#include "src/rollout/dialogues.h"
#include "tests/model/model_test.h"

enum {
    PROMPTS = 2,
    CANDIDATES = 2,
    ROWS = PROMPTS * CANDIDATES,
    STEPS = 6,
    TOKENS = 9,
    LAYERS = 2
};

/* The largest averaged weight on a token of V.  The queue is the CPU's: its memory is ours. */
static void peak_compute(struct queue *q, const struct attention_summary *rows,
                         const struct statistic_sizes *sizes, void *out)
{
    (void)q;
    (void)sizes;
    for (int64_t r = 0; r < rows->rows; r++) {
        const int32_t begin = rows->key_begin[rows->history_of_row[r]];
        const int32_t keys = rows->key_end[rows->history_of_row[r]] - begin;
        const int64_t slot = rows->at.slot ? rows->at.slot[r] : r;
        const int64_t entry = rows->at.slot ? slot * rows->at.stride + rows->step[r] : r;
        float *peak = (float *)out + entry;
        for (int32_t j = 0; j < keys; j++) {
            const float weight = rows->capture[r * rows->capture_stride + j] * rows->weight;
            if (rows->visible[begin + j] && weight > *peak) *peak = weight;
        }
    }
}

/* Any number a layer and head: their place, and how many tokens there were. */
static void place_compute(struct queue *q, const struct attention_summary *rows,
                          const struct statistic_sizes *sizes, void *out)
{
    (void)q;
    const int64_t width = sizes->layers * sizes->heads;
    for (int64_t r = 0; r < rows->rows; r++) {
        const int64_t entry =
            rows->at.slot ? rows->at.slot[r] * rows->at.stride + rows->step[r] : r;
        for (int64_t i = 0; i < width; i++)
            ((float *)out)[entry * width + i] = (float)(10 * i + rows->step[r]);
    }
}

enum { PEAK = STATISTICS_STANDARD, PLACE, OWN_COUNT };
static struct statistic own_rows[OWN_COUNT];
static const struct statistic_table own_table = {own_rows, OWN_COUNT};

static double metric_of(const struct update_metrics *metrics, const char *name)
{
    for (int64_t i = 0; i < metrics->statistics.count; i++)
        if (!strcmp(metrics->statistics.list[i].name, name))
            return metrics->statistics.list[i].value;
    fail_msg("no metric %s", name);
    return 0;
}

static void prompts_make(const struct rollout_settings *settings, struct prompt *prompts,
                         struct reply_row *rows)
{
    for (int p = 0; p < PROMPTS; p++) {
        int32_t tokens[TOKENS];
        for (int i = 0; i < TOKENS; i++)
            tokens[i] = 2 + (int32_t)(uniform_at((uint32_t)p, (uint32_t)i) * 21);
        tokens[TOKENS - 1] = 1;
        const struct special_ids special = {0, (const int32_t[]){1}, 1};
        CHECK(prompt_from_tokens(tokens, NULL, TOKENS, 1, &special, settings, &prompts[p]));
    }
    for (int r = 0; r < ROWS; r++)
        rows[r] = (struct reply_row){
            r / CANDIDATES, {(uint32_t)(r / CANDIDATES), 1, (uint32_t)(r % CANDIDATES)}, 0};
}

/* As it comes to a learner. */
static struct experience *experience_sent(const struct experience_format *format, int dialogue,
                                          const struct prompt *prompt, const struct reply *replies)
{
    struct experience *made = experience_create(format, dialogue, 0, CANDIDATES), *came;
    void *message;
    size_t size;
    for (int k = 0; k < CANDIDATES; k++) {
        CHECK(
            experience_turn_fill(format, dialogue, k, prompt, &replies[k], NULL, &made->turns[k]));
        made->turns[k].chosen = true;
    }
    CHECK(experience_pack(made, &message, &size));
    CHECK(experience_unpack(message, size, format, "rank 1", &came));
    CHECK(experience_verify(came, "rank 1"));
    free(message);
    experience_destroy(made);
    return came;
}

static void check_peak(const struct reply *reply)
{
    const float *peak = statistics_floats(&reply->statistics, PEAK);
    const float *top = statistics_floats(&reply->statistics, STATISTIC_TOP_WEIGHT);
    const float *special = statistics_floats(&reply->statistics, STATISTIC_SPECIAL_MASS);
    /* The heaviest position's weight is renormalized over V; the peak is not. */
    for (int64_t t = 0; t < reply->count; t++) {
        const double want = (double)top[t * STATISTICS_TOP] * (1 - (double)special[t]);
        if (!(fabs((double)peak[t] - want) < 1e-5))
            fail_msg("token %lld: peak %g, not %g", (long long)t, (double)peak[t], want);
    }
}

static void a_statistic_of_ones_own_is_a_row_of_a_table(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = tiny_model(q, true);
    struct generator *generator;
    struct learner *learner;
    struct learner_exchange alone;
    struct config config;
    struct prompt prompts[PROMPTS];
    struct reply_row rows[ROWS];
    struct reply replies[ROWS];
    struct experience *batch[PROMPTS];
    static struct update_metrics metrics;
    memcpy(own_rows, statistics_standard.rows, STATISTICS_STANDARD * sizeof *own_rows);
    own_rows[PEAK] = (struct statistic){
        .name = "peak", .per = PER_TOKEN, .metric = "attention_peak", .compute = peak_compute};
    own_rows[PLACE] = (struct statistic){.name = "place",
                                         .per = PER_HEAD,
                                         .reduction = MEAN_OVER_TOKENS,
                                         .metric = "place",
                                         .compute = place_compute};
    config_defaults(&config);
    CHECK(config_set(&config, "advantage=group"));
    config.rollout.temperature = 1;
    config.rollout.max_new_tokens = STEPS;
    config.rollout.candidates = CANDIDATES;
    config.rollout.turns = 1;
    config.attention.layers = LAYERS;
    config.kl.coef = 0;
    const struct rollout_settings settings = rollout_settings_of(&config);
    prompts_make(&settings, prompts, rows);
    CHECK(generator_create(model, &own_table, &generator));
    learner_exchange_alone(&alone);
    const struct learn_settings learning = learn_settings_of(&config);
    CHECK(learner_create(&learning, &alone, model, NULL, false, &learner));
    learner->table = &own_table;
    CHECK(generate_replies(generator, &settings, RANDOM_SAMPLING, prompts, rows, ROWS, replies));
    const int64_t heads = model_shape(model)->heads;
    const struct experience_format format = {&own_table, &settings.reward, LAYERS, heads, {0}};
    double peak = 0, steps = 0;
    for (int r = 0; r < ROWS; r++) {
        check_peak(&replies[r]);
        assert_int_equal(statistics_numbers(&replies[r].statistics, PLACE), LAYERS * heads);
        double sum = 0;
        for (int64_t t = 0; t < replies[r].count; t++)
            sum += (double)statistics_floats(&replies[r].statistics, PEAK)[t];
        peak += sum / (double)replies[r].count / ROWS;
        steps += (double)(replies[r].count - 1) / 2 / ROWS;
    }
    for (int p = 0; p < PROMPTS; p++)
        batch[p] = experience_sent(&format, p, &prompts[p], &replies[p * CANDIDATES]);
    CHECK(ppo_update(learner, batch, PROMPTS, PROMPTS, 0, &metrics));
    assert_true(fabs(metric_of(&metrics, "attention_peak") - peak) < 1e-12);
    /* Layer 1, head 0 is column `heads`: ten times that, and the mean of steps 0 .. count - 1. */
    assert_true(fabs(metric_of(&metrics, "place_1_0") - (double)(10 * heads) - steps) < 1e-5);
    assert_true(metric_of(&metrics, "sink_mass") > 0);
    assert_true(fabs(metric_of(&metrics, "mass_turn_back_0") - 1) < 1e-5);
    for (int p = 0; p < PROMPTS; p++) experience_destroy(batch[p]);
    for (int p = 0; p < PROMPTS; p++) prompt_free(&prompts[p]);
    for (int r = 0; r < ROWS; r++) reply_free(&replies[r]);
    learner_free(learner);
    generator_destroy(generator);
    model_destroy(model);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_statistic_of_ones_own_is_a_row_of_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
