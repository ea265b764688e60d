/* Whole attention of a reply, beside what the statistics say of the same reply: their rows are
 * means over layers and heads of the maps'. */
#include "src/base/config.h"
#include "src/model/folder.h"
#include "src/rollout/attention_maps.h"
#include "tests/rollout/reply_checks.h"

enum { HISTORY = 9, REPLY = 4, ROWS = 2 };

struct reading {
    struct rollout_settings settings;
    struct prompt prompts[ROWS];
    struct reply_row rows[ROWS];
    struct given_reply given[ROWS];
    struct reply replies[ROWS];
};

static const int32_t tokens[HISTORY] = {2, 5, 7, 3, 9, 4, 8, 6, 1};
static const int32_t reply_tokens[REPLY] = {6, 3, 8, 1};

/* Two histories, of all tokens and of the first five, and a reply to each. */
static void reading_open(struct reading *r, struct generator *generator)
{
    static struct config config;
    const uint8_t salient[HISTORY] = {0, 1, 0, 1, 1, 0, 0, 1, 0};
    const struct special_ids special = {0, (const int32_t[]){1}, 1};
    config_defaults(&config);
    config.attention.layers = 2;
    config.rollout.max_new_tokens = REPLY;
    r->settings = rollout_settings_of(&config);
    for (int i = 0; i < ROWS; i++) {
        CHECK(prompt_from_tokens(tokens, salient, i ? 5 : HISTORY, 1, &special, &r->settings,
                                 &r->prompts[i]));
        r->rows[i] = (struct reply_row){i, {1, 1, (uint32_t)i}, 0};
        r->given[i] = (struct given_reply){.tokens = reply_tokens, .count = REPLY - i};
    }
    CHECK(score_replies(generator, &r->settings, r->prompts, r->rows, ROWS, r->given, r->replies));
}

static void reading_close(struct reading *r)
{
    for (int i = 0; i < ROWS; i++) {
        prompt_free(&r->prompts[i]);
        reply_free(&r->replies[i]);
    }
}

/* Sums of some ten floats of weights below 1: 1e-5 is a hundred times their error. */
static void check_near(const char *what, double wanted, double saw)
{
    if (!(fabs(wanted - saw) < 1e-5)) fail_msg("%s: %.9g, not %.9g", what, saw, wanted);
}

static double weight(const struct attention_maps *maps, int64_t layer, int64_t head, int64_t row,
                     int64_t key)
{
    return (double)
        maps->weight[((layer * maps->heads + head) * maps->rows + row) * maps->keys + key];
}

/* Of all layers and heads, not divided by their number. */
static double summed(const struct attention_maps *maps, int64_t row, int64_t key)
{
    double sum = 0;
    for (int64_t l = 0; l < maps->layers; l++)
        for (int64_t h = 0; h < maps->heads; h++) sum += weight(maps, l, h, row, key);
    return sum;
}

/* Entropy and top position of the row over V, and the salient tokens' part of it. */
static void row_check(const struct attention_maps *maps, const struct prompt *prompt,
                      const struct reply *reply, int64_t row)
{
    double visible = 0, salient = 0, entropy = 0, most = 0;
    int64_t top = -1;
    for (int64_t k = 0; k < prompt->count; k++) {
        const double w = summed(maps, row, k);
        if (!prompt->visible[k]) continue;
        visible += w;
        if (prompt->salient[k]) salient += w;
        if (w > most) {
            most = w;
            top = k;
        }
    }
    for (int64_t k = 0; k < prompt->count; k++) {
        const double share = prompt->visible[k] ? summed(maps, row, k) / visible : 0;
        if (share > 0) entropy -= share * log(share);
    }
    const struct statistics *s = &reply->statistics;
    check_near("entropy", entropy, (double)statistics_floats(s, STATISTIC_ENTROPY)[row]);
    check_near("mass", salient / visible,
               (double)statistics_floats(s, STATISTIC_SALIENT_MASS)[row]);
    assert_int_equal(top, statistics_indices(s, STATISTIC_TOP_POSITION)[STATISTICS_TOP * row]);
}

static void model_check(struct model *model)
{
    struct generator *generator;
    struct reading r;
    const struct model_shape *shape = model_shape(model);
    const bool causal = model_shape_is_causal(shape);
    CHECK(generator_create(model, statistics_of(shape, 0), &generator));
    reading_open(&r, generator);
    for (int i = 0; i < ROWS; i++) {
        const struct prompt *prompt = &r.prompts[i];
        struct attention_maps maps;
        CHECK(
            attention_maps_read(generator, &r.settings, r.prompts, &r.rows[i], &r.given[i], &maps));
        assert_int_equal(maps.layers, 2);
        assert_int_equal(maps.heads, shape->heads);
        assert_int_equal(maps.rows, REPLY - i);
        assert_int_equal(maps.keys, prompt->count + (causal ? maps.rows - 1 : 0));
        assert_int_equal(maps.first_layer, shape->layers - 2);
        assert_true(attention_maps_bytes(generator, prompt->count, maps.rows) ==
                    4 * shape->layers * shape->heads * maps.rows * maps.keys);
        for (int64_t row = 0; row < maps.rows; row++) {
            for (int64_t at = 0; at < maps.layers * maps.heads; at++) {
                double sum = 0;
                for (int64_t k = 0; k < maps.keys; k++)
                    sum += weight(&maps, at / maps.heads, at % maps.heads, row, k);
                check_near("a row's sum", 1, sum);
            }
            for (int64_t k = prompt->count + row; k < maps.keys; k++)
                assert_true(summed(&maps, row, k) == 0); /* not yet there */
            row_check(&maps, prompt, &r.replies[i], row);
        }
        free(maps.weight);
    }
    reading_close(&r);
    generator_destroy(generator);
}

static void of_an_encoder_decoder(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = tiny_model(q, true);
    model_check(model);
    model_destroy(model);
    q->op->destroy(q);
}

static void of_a_decoder_only_model(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model_shape *shape;
    struct model *model;
    static const char path[] = REGARD_SOURCE "/tests/golden/causal/qwen3/model";
    CHECK(model_folder_shape(path, &shape));
    CHECK(model_create(q, shape, false, &model));
    free(shape);
    CHECK(model_folder_load(path, model));
    CHECK(model_refresh(model));
    model_check(model);
    model_destroy(model);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_an_encoder_decoder),
                                       cmocka_unit_test(of_a_decoder_only_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
