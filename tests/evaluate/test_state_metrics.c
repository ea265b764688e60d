/* Texts as token states, and what is measured by them: a small T5 and a small Llama over bytes. */
#include "src/evaluate/others.h"
#include "src/evaluate/state_metrics.h"

#include "src/base/file.h"
#include "src/model/states.h"
#include "tests/model/model_test.h"

enum { TURNS = 6, WIDTH = 16, TOO_LONG = 3000 };

static struct text_encoder *encoder_new(struct queue *q, const char *type, int64_t layer)
{
    const struct model_setting settings[] = {
        {"vocabulary", 300}, {"d_model", WIDTH},       {"d_kv", 8},           {"d_ff", 24},
        {"heads", 2},        {"kv_heads", 2},          {"encoder_layers", 2}, {"decoder_layers", 2},
        {"end", 1},          {"context", 2 * TOO_LONG}};
    struct model_shape *shape;
    struct model *model;
    struct text_encoder *encoder;
    CHECK(model_shape_from_settings(type, settings, sizeof settings / sizeof *settings, &shape));
    CHECK(model_create(q, shape, false, &model));
    free(shape);
    CHECK(model_initialize(model, 3));
    CHECK(model_refresh(model));
    CHECK(text_encoder_create(model, tokenizer_bytes(0), "small", layer, &encoder));
    return encoder;
}

static const struct state_turn turns[TURNS] = {
    {"Is it open?", "Yes, from ten.", "Yes, from ten.", 3},
    {"And on Monday?", "", "No, not on Mondays.", 5},
    {"A table for two.", "What name?", "At what time?", 0},
    {"At six, for Ann.", "That is noted, Ann.", "Noted.", 0},
    {"Thank you.", "Bye.", "See you, Ann.", 5},
    {"My parcel is late.", "I am sorry.", "Which number has it?", 2},
};

static void expect_same_scores(const struct state_scores *a, const struct state_scores *b)
{
    for (int i = 0; i < TURNS; i++) {
        assert_true(a[i].score.f1 == b[i].score.f1 && a[i].score_other == b[i].score_other);
        assert_true(a[i].relevance == b[i].relevance);
        assert_true(a[i].relevance_other == b[i].relevance_other);
        assert_true(a[i].relevance_gold == b[i].relevance_gold);
    }
}

static void scores_are_those_of_pairs_whatever_the_batch(void **unused)
{
    (void)unused;
    const char *const types[] = {"t5", "llama"};
    struct queue *q = queue_new(1);
    for (int k = 0; k < 2; k++) {
        struct text_encoder *encoder = encoder_new(q, types[k], -1);
        struct state_scores all[TURNS], few[TURNS];
        bool stopped = false;
        assert_int_equal(text_encoder_layer(encoder), 2);
        CHECK(text_encoder_reserve(encoder));
        CHECK(state_metrics(encoder, turns, TURNS, TURNS, NULL, &stopped, all));
        CHECK(state_metrics(encoder, turns, TURNS, 2, NULL, &stopped, few));
        assert_false(stopped);
        expect_same_scores(all, few);
        for (int i = 0; i < TURNS; i++) {
            /* a turn by itself, its other's gold reply in place of its own */
            const char *const texts[] = {turns[i].prompt, turns[i].reply, turns[i].gold,
                                         turns[turns[i].other].gold, turns[turns[i].other].reply};
            struct token_states states[5];
            double mean[5][WIDTH];
            CHECK(text_encoder_read(encoder, texts, 5, states));
            assert_true(bert_score_of(&states[1], &states[2], WIDTH).f1 == all[i].score.f1);
            assert_true(bert_score_of(&states[3], &states[2], WIDTH).f1 == all[i].score_other);
            for (int t = 0; t < 5; t++) token_states_mean(&states[t], WIDTH, mean[t]);
            assert_true(vectors_cosine(mean[0], mean[1], WIDTH) == all[i].relevance);
            assert_true(vectors_cosine(mean[0], mean[2], WIDTH) == all[i].relevance_gold);
            assert_true(vectors_cosine(mean[0], mean[4], WIDTH) == all[i].relevance_other);
        }
        /* the gold reply itself; an empty one */
        assert_true(fabs(all[0].score.f1 - 1) < 1e-12 && all[0].relevance == all[0].relevance_gold);
        assert_true(all[1].score.f1 == 0 && all[1].relevance == 0);
        assert_true(all[2].score.f1 < 0.999 && all[2].score.f1 > 0);
        text_encoder_close(encoder);
    }
    q->op->destroy(q);
}

static void what_has_no_other_is_not_a_number(void **unused)
{
    (void)unused;
    struct queue *q = queue_new(1);
    struct text_encoder *encoder = encoder_new(q, "t5", 0);
    struct state_scores score;
    struct state_turn turn = turns[0];
    bool stopped = false;
    turn.other = -1;
    CHECK(state_metrics(encoder, &turn, 1, 2, NULL, &stopped, &score));
    assert_true(isnan(score.score_other) && isnan(score.relevance_other));
    assert_true(fabs(score.score.f1 - 1) < 1e-12);
    text_encoder_close(encoder);
    q->op->destroy(q);
}

/* Six dialogues of one to four turns, many times: never one's own, all others about alike often. */
static void others_are_of_other_dialogues(void **unused)
{
    (void)unused;
    enum { DIALOGUES = 6, MOST = 24, SEEDS = 3000 };
    struct turn_place places[MOST];
    int64_t others[MOST], again[MOST], count = 0, times[MOST][MOST] = {{0}};
    for (uint32_t d = 0; d < DIALOGUES; d++)
        for (uint32_t t = 0; t <= d % 4; t++) places[count++] = (struct turn_place){2 * d, t};
    for (int64_t seed = 0; seed < SEEDS; seed++) {
        others_draw(places, count, seed, others);
        for (int64_t i = 0; i < count; i++) times[i][others[i]]++;
    }
    others_draw(places, count, SEEDS - 1, again);
    assert_memory_equal(others, again, (size_t)count * sizeof *others);
    others_draw(places, count, SEEDS - 1 + ((int64_t)1 << 32), again); /* all of a seed counts */
    assert_memory_not_equal(others, again, (size_t)count * sizeof *others);
    for (int64_t i = 0; i < count; i++) {
        int64_t own = 0;
        for (int64_t j = 0; j < count; j++) own += places[j].dialogue == places[i].dialogue;
        const double expected = (double)SEEDS / (double)(count - own);
        for (int64_t j = 0; j < count; j++) { /* five deviations of a count */
            if (places[j].dialogue == places[i].dialogue)
                assert_int_equal(times[i][j], 0);
            else
                assert_true(fabs((double)times[i][j] - expected) < 5 * sqrt(expected));
        }
    }
    others_draw(places + 1, 2, 1, others); /* one dialogue alone */
    assert_true(others[0] == -1 && others[1] == -1);
}

static bool stop_now(void)
{
    return true;
}

static void it_leaves_off_when_asked(void **unused)
{
    (void)unused;
    struct queue *q = queue_new(1);
    struct text_encoder *encoder = encoder_new(q, "t5", -1);
    struct state_scores scores[TURNS];
    bool stopped = false;
    CHECK(state_metrics(encoder, turns, TURNS, 2, stop_now, &stopped, scores));
    assert_true(stopped);
    text_encoder_close(encoder);
    q->op->destroy(q);
}

/* Special tokens have no weight; what is too long ends early; many texts take several passes. */
static void texts_have_their_tokens(void **unused)
{
    (void)unused;
    const char *const types[] = {"t5", "llama"};
    char *lengthy = malloc(TOO_LONG + 1);
    assert_non_null(lengthy);
    memset(lengthy, 'x', TOO_LONG);
    lengthy[TOO_LONG] = 0;
    struct queue *q = queue_new(1);
    for (int k = 0; k < 2; k++) {
        struct text_encoder *encoder = encoder_new(q, types[k], 1);
        enum { MANY = 300 };
        const char *texts[MANY];
        struct token_states states[MANY];
        float first[3 * WIDTH];
        for (int i = 0; i < MANY; i++) texts[i] = i % 2 ? "ab" : "";
        texts[7] = lengthy;
        CHECK(text_encoder_read(encoder, texts, MANY, states));
        assert_int_equal(states[0].count, 1);
        assert_int_equal(states[1].count, 3);
        assert_int_equal(states[7].count, TEXT_ENCODER_LONGEST);
        const int special = k ? 0 : 2; /* the Llama's stands before the text */
        for (int t = 0; t < 3; t++) assert_true(states[1].weights[t] == (t == special ? 0 : 1));
        memcpy(first, states[1].rows, sizeof first);
        assert_memory_equal(first, states[MANY - 1].rows, sizeof first);
        CHECK(text_encoder_read(encoder, texts + 1, 1, states));
        assert_memory_equal(first, states[0].rows, sizeof first);
        text_encoder_close(encoder);
    }
    q->op->destroy(q);
    free(lengthy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_pairs_whatever_the_batch),
        cmocka_unit_test(what_has_no_other_is_not_a_number),
        cmocka_unit_test(others_are_of_other_dialogues), cmocka_unit_test(it_leaves_off_when_asked),
        cmocka_unit_test(texts_have_their_tokens)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
