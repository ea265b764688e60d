/* cot.history: reencode: where blocks begin, by hand; and each block is scored as a turn of its own
 * whose history is the question and what was said before. */
#include "src/reward/blocks.h"
#include "src/rollout/reencode.h"
#include "tests/rollout/reasoning_fixture.h"

enum { MOST = 40 };

/* Ids of a text's bytes. */
static int64_t ids_of(const char *text, int32_t *ids)
{
    int64_t count = 0;
    for (; text[count]; count++) ids[count] = (unsigned char)text[count] + 3;
    return count;
}

static void a_block_ends_with_the_marker(void **state)
{
    const struct fixture *f = *state;
    const struct rollout_settings settings =
        settings_of(f, (const char *[]){"cot.history=reencode", "cot.block_form=rows", NULL});
    static const struct {
        const char *text;
        int32_t count, begin[6];
        bool answered;
    } cases[] = {
        {"abcdefg#### 7", 4, {0, 4, 8, 11}, true}, /* the marker ends in token 10 */
        {"abcd#### 7", 3, {0, 4, 8}, true},        /* with a block */
        {"#### 12345", 2, {0, 4}, true},           /* the answer is one block however long */
        {"ab####", 2, {0, 4}, false},              /* nothing behind it */
        {"ab####x####y", 3, {0, 4, 6}, true},      /* the first one counts */
        {"abcdefghi", 3, {0, 4, 8}, false},        /* there is none */
        {"", 0, {0}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t ids[MOST], begin[MOST], count = 0;
        bool answered = !cases[i].answered;
        const int64_t length = ids_of(cases[i].text, ids);
        CHECK(reencode_cut(&settings.cot, ids, length, begin, &count, &answered));
        if (count != cases[i].count || answered != cases[i].answered ||
            memcmp(begin, cases[i].begin, (size_t)count * sizeof *begin) != 0)
            fail_msg("\"%s\": %d blocks", cases[i].text, count);
    }
}

/* A prompt of tokens that are all in V; every third is salient. */
struct question {
    int32_t tokens[MOST];
    uint8_t visible[MOST], salient[MOST], turn_of[MOST], part[MOST];
    struct prompt prompt;
};

static void question_make(struct question *q, const int32_t *tokens, int64_t count)
{
    memset(q, 0, sizeof *q);
    q->prompt = (struct prompt){.tokens = q->tokens,
                                .visible = q->visible,
                                .salient = q->salient,
                                .turn_of = q->turn_of,
                                .part = q->part,
                                .count = count,
                                .visible_count = count,
                                .turns = 1,
                                .turn = 1};
    for (int64_t i = 0; i < count; i++) {
        q->tokens[i] = tokens[i];
        q->visible[i] = 1;
        q->prompt.salient_count += q->salient[i] = i % 3 == 0;
    }
}

static void statistic_compare(const struct reply *saw, int64_t at, const struct reply *want,
                              int which)
{
    for (int64_t t = 0; t < want->count; t++) {
        const float a = statistics_floats(&saw->statistics, which)[at + t];
        const float b = statistics_floats(&want->statistics, which)[t];
        /* Rows of blocks go through float64 and back. */
        if (!(fabsf(a - b) < 1e-5f))
            fail_msg("%s of token %lld: %g, as a turn of its own %g",
                     statistics_standard.rows[which].name, (long long)(at + t), (double)a,
                     (double)b);
    }
}

static void a_block_is_scored_as_a_turn_of_its_own(void **state)
{
    const struct fixture *f = *state;
    const struct rollout_settings settings =
        settings_of(f, (const char *[]){"cot.history=reencode", "cot.block_form=steps", NULL});
    struct rollout_settings plain =
        settings_of(f, (const char *[]){"cot.history=joint", "cot.block_form=steps", NULL});
    int32_t all[MOST], begin[MOST], count;
    uint8_t marks[MOST];
    bool answered;
    ids_of("3 + 4?", all);
    int32_t *ids = all + QUESTION;
    const int64_t length = ids_of("so 3+4=7\n#### 7", ids) + 1;
    ids[length - 1] = model_shape(f->model)->end; /* the reply ends */
    CHECK(reencode_cut(&settings.cot, ids, length, begin, &count, &answered));
    assert_int_equal(count, 5);
    for (int64_t i = 0; i < length; i++)
        marks[i] = (uint8_t)(BLOCK_VISIBLE | ((QUESTION + i) % 3 ? 0 : BLOCK_SALIENT));
    const struct reply_blocks blocks = {begin, marks, count, answered, false};
    struct question question, extended;
    question_make(&question, all, QUESTION);
    const struct reply_row row = {0, {7, 1, 2}, 0};
    const struct given_reply given = {ids, length, true, &blocks};
    struct reply saw;
    CHECK(score_replies(f->generator, &settings, &question.prompt, &row, 1, &given, &saw));
    assert_int_equal(saw.count, length);
    assert_int_equal(saw.blocks.count, count);
    assert_true(saw.ended);
    for (int32_t u = 0; u < count; u++) {
        const int64_t end = u + 1 < count ? begin[u + 1] : length;
        const struct given_reply block = {ids + begin[u], end - begin[u], false, NULL};
        struct reply want;
        question_make(&extended, all, QUESTION + begin[u]);
        CHECK(score_replies(f->generator, &plain, &extended.prompt, &row, 1, &block, &want));
        check_bits(saw.logp + begin[u], want.logp, want.count, "logp of a block", u);
        assert_memory_equal(saw.tokens + begin[u], want.tokens,
                            (size_t)want.count * sizeof *want.tokens);
        statistic_compare(&saw, begin[u], &want, STATISTIC_ENTROPY);
        statistic_compare(&saw, begin[u], &want, STATISTIC_ENTROPY_FLOORED);
        statistic_compare(&saw, begin[u], &want, STATISTIC_SALIENT_MASS);
        reply_free(&want);
    }
    reply_free(&saw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_ends_with_the_marker, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_block_is_scored_as_a_turn_of_its_own, open_fixture,
                                        close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
