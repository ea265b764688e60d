/* The threshold of a reward model that tells replies of one dialogue from another's, by hand and by
 * brute force; its scores, whatever they are asked with. */
#include "src/evaluate/on_topic.h"

#include "src/base/file.h"
#include "src/data/corpus.h"
#include "tests/model/model_test.h"

static void thresholds_by_hand(void **unused)
{
    (void)unused;
    /* parted: half-way in the gap; the accuracy is of right and wrong replies alike */
    struct on_topic_threshold t =
        on_topic_choose((const double[]){3, 2}, (const double[]){-1, 1}, 2);
    assert_true(t.value == 1.5 && t.accuracy == 1 && t.turns == 2);
    /* upside down: half is right by taking all or none; nearest to 0 of (-1) - 1 and 2 + 1 */
    t = on_topic_choose((const double[]){-1, -1}, (const double[]){2, 2}, 2);
    assert_true(t.value == -2 && t.accuracy == 0.5);
    /* two cuts that are equally good, at -2 and 0.5: the one nearest to 0 */
    t = on_topic_choose((const double[]){-1, 1, 1}, (const double[]){-3, 0, 0}, 3);
    assert_true(t.value == 0.5 && fabs(t.accuracy - 5.0 / 6) < 1e-15);
    /* a turn that one of them has no score of is left out */
    t = on_topic_choose((const double[]){1, NAN, 5}, (const double[]){0, 9, NAN}, 3);
    assert_true(t.value == 0.5 && t.accuracy == 1 && t.turns == 1);
    t = on_topic_choose((const double[]){NAN}, (const double[]){1}, 1);
    assert_true(t.turns == 0 && isnan(t.accuracy));
    /* equal scores cannot be parted */
    t = on_topic_choose((const double[]){1, 1}, (const double[]){1, 1}, 2);
    assert_true(t.accuracy == 0.5);
}

static double accuracy_at(const double *right, const double *wrong, int64_t count, double threshold)
{
    int64_t good = 0;
    for (int64_t i = 0; i < count; i++) good += (right[i] >= threshold) + (wrong[i] < threshold);
    return (double)good / (double)(2 * count);
}

static void no_threshold_is_better(void **unused)
{
    (void)unused;
    enum { COUNT = 20, TRIALS = 200 };
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        double right[COUNT], wrong[COUNT];
        for (uint32_t i = 0; i < COUNT; i++) { /* coarse, so that scores are equal now and then */
            right[i] = floor(8 * (double)uniform_at(trial, 2 * i)) / 2 - 1;
            wrong[i] = floor(8 * (double)uniform_at(trial, 2 * i + 1)) / 2 - 2;
        }
        const struct on_topic_threshold t = on_topic_choose(right, wrong, COUNT);
        assert_true(fabs(t.accuracy - accuracy_at(right, wrong, COUNT, t.value)) < 1e-15);
        for (int k = -20; k <= 20; k++)
            assert_true(accuracy_at(right, wrong, COUNT, k / 4.0 + 0.1) <= t.accuracy + 1e-15);
    }
}

static struct on_topic *judge_new(struct queue *q, const char *type, int64_t max_tokens)
{
    const struct model_setting settings[] = {
        {"vocabulary", 400}, {"d_model", 16}, {"d_kv", 8},           {"d_ff", 24},
        {"heads", 2},        {"kv_heads", 2}, {"encoder_layers", 2}, {"decoder_layers", 2},
        {"end", 1},          {"context", 512}};
    struct language_settings words = {.tokenizer = "bytes",
                                      .user_marker = "U: ",
                                      .assistant_marker = "A: ",
                                      .chat = "auto",
                                      .max_tokens = max_tokens,
                                      .idf_quantile = 0.8};
    struct model_shape *shape;
    struct value_model *model;
    struct language *language;
    struct reward_reader *reader;
    struct on_topic *judge;
    words.encoder = !strcmp(type, "t5");
    if (!words.encoder) strcpy(words.chat, "plain");
    CHECK(model_shape_from_settings(type, settings, sizeof settings / sizeof *settings, &shape));
    CHECK(value_model_create(q, shape, false, &model));
    free(shape);
    CHECK(model_initialize(value_model_trunk(model), 3));
    parameters_stir(value_model_parameters(model), 5);
    CHECK(value_model_refresh(model));
    CHECK(language_open(&words, "", NULL, &language));
    CHECK(reward_reader_create(model, language, NULL, 1024, &reader));
    CHECK(on_topic_create(reader, "small", &judge));
    return judge;
}

enum { REPLIES = 70 };

static void replies_take(const struct dataset *data, struct on_topic_reply *replies)
{
    int64_t count = 0;
    for (int64_t d = 0; count < REPLIES; d++)
        for (int64_t m = 1; m < data->dialogues[d].message_count && count < REPLIES; m += 2)
            replies[count++] =
                (struct on_topic_reply){&data->dialogues[d], data->dialogues[d].messages, m,
                                        data->dialogues[d].messages[m].content};
}

static void scores_are_of_history_and_reply(void **unused)
{
    (void)unused;
    const char *const types[] = {"t5", "llama"};
    struct queue *q = queue_new(1);
    struct dataset *data;
    struct on_topic_reply replies[REPLIES];
    CHECK(dataset_read("synthetic:1:60", DATASET_TRAIN, &data));
    replies_take(data, replies);
    for (int k = 0; k < 2; k++) {
        struct on_topic *judge = judge_new(q, types[k], 256);
        double all[REPLIES], one, other;
        int64_t left_out = 0, read = 0;
        CHECK(on_topic_reserve(judge));
        CHECK(on_topic_read(judge, replies, REPLIES, all));
        for (int i = 0; i < REPLIES; i++) {
            CHECK(on_topic_read(judge, &replies[i], 1, &one));
            assert_true(one == all[i] || (isnan(one) && isnan(all[i])));
            left_out += isnan(one);
            read += !isnan(one);
        }
        assert_true(read > REPLIES / 2);
        /* another reply, and another history, are other scores */
        struct on_topic_reply changed = replies[1];
        changed.reply = "No.";
        CHECK(on_topic_read(judge, &changed, 1, &other));
        assert_true(other != all[1]);
        changed = replies[1];
        changed.message_count -= 2;
        CHECK(on_topic_read(judge, &changed, 1, &other));
        assert_true(other != all[1]);
        /* what the model's longest sequence does not hold has no score */
        if (k == 1) {
            char lengthy[600];
            memset(lengthy, 'x', sizeof lengthy - 1);
            lengthy[sizeof lengthy - 1] = 0;
            changed.reply = lengthy;
            CHECK(on_topic_read(judge, &changed, 1, &other));
            assert_true(isnan(other));
        }
        on_topic_close(judge);
        judge = judge_new(q, types[k], 48); /* most prompts are longer */
        CHECK(on_topic_read(judge, replies, REPLIES, all));
        left_out = 0;
        for (int i = 0; i < REPLIES; i++) left_out += isnan(all[i]);
        assert_in_range(left_out, 1, REPLIES - 1);
        on_topic_close(judge);
    }
    dataset_free(data);
    q->op->destroy(q);
}

static void thresholds_are_of_the_data(void **unused)
{
    (void)unused;
    struct queue *q = queue_new(1);
    struct on_topic *judge = judge_new(q, "t5", 512);
    struct dataset *data;
    CHECK(dataset_read("synthetic:1:8", DATASET_TRAIN, &data));
    CHECK(on_topic_fix(judge, data, 1));
    const struct on_topic_threshold first = *on_topic_threshold(judge);
    assert_in_range(first.turns, 8, 40);
    assert_true(first.accuracy >= 0.5 && isfinite(first.value));
    CHECK(on_topic_fix(judge, data, 1));
    assert_true(on_topic_threshold(judge)->value == first.value);
    dataset_free(data);
    CHECK(dataset_read("synthetic:1:1", DATASET_TRAIN, &data));
    status s = on_topic_fix(judge, data, 1);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "wants replies of two dialogues or more"));
    status_free(s);
    dataset_free(data);
    on_topic_close(judge);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(thresholds_by_hand),
                                       cmocka_unit_test(no_threshold_is_better),
                                       cmocka_unit_test(scores_are_of_history_and_reply),
                                       cmocka_unit_test(thresholds_are_of_the_data)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
