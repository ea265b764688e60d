/* Experience messages: what goes in comes out; a flipped or cut one never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/config.h"
#include "src/rollout/experience_spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct reward_settings reward;
static const struct experience_format format = {&statistics_standard, &reward, 2, 3, {0}};

static float *floats(struct experience_turn *turn, int statistic)
{
    return turn->statistics.array[statistic];
}

static struct experience *example(void)
{
    struct experience *e = experience_create(&format, 7, 12, 3);
    e->prompt = 99;
    for (int k = 0; k < 3; k++) {
        struct experience_turn *t = &e->turns[k];
        experience_turn_allocate(&format, t, 11 + k, k == 2 ? 0 : 5 + k, 1 + k);
        t->candidate = k;
        t->turn = k / 2;
        t->ended = k != 1;
        t->interrupted = k == 1;
        t->chosen = k == 1;
        for (int i = 0; i < t->history_length; i++) {
            t->history_tokens[i] = 100 + i;
            t->visible[i] = (uint8_t)(i % 5 != 0);
            t->salient[i] = t->visible[i] && i % 3 == 0;
            t->salient_count += t->salient[i];
            t->visible_count += t->visible[i];
            t->turn_of[i] = (uint8_t)(i / 4);
            t->part[i] = (uint8_t)(i % 3);
        }
        for (int i = 0; i < t->reply_length; i++) {
            t->reply_tokens[i] = 3 + i;
            t->logp[i] = -0.1f * (float)i;
            t->token_entropy[i] = 1.5f + (float)i;
            floats(t, STATISTIC_SALIENT_MASS)[i] = 0.25f;
        }
        for (int i = 0; i < t->reply_length * STATISTICS_TOP; i++) {
            ((int32_t *)t->statistics.array[STATISTIC_TOP_POSITION])[i] = i % t->history_length;
            floats(t, STATISTIC_TOP_WEIGHT)[i] = statistic_from_log8((uint8_t)(255 - i));
        }
        t->terms[0] = 0.1 * k;
        t->terms[1] = -3;
        t->reward = 1.0 / 3.0;
        if (k) continue;
        experience_turn_cut(t, (const int32_t[]){0, 2}, 2);
        t->spans[0].terms[0] = 0.75;
    }
    return e;
}

static void a_message_comes_back_to_the_same_bytes(void **state)
{
    (void)state;
    struct experience *e = example(), *back;
    void *one, *two;
    size_t one_size, two_size;
    assert_null(experience_pack(e, &one, &one_size));
    assert_null(experience_unpack(one, one_size, &format, "rank 3", &back));
    assert_null(experience_pack(back, &two, &two_size));
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
    assert_int_equal(back->dialogue, 7);
    assert_int_equal(back->prompt, 99);
    assert_int_equal(back->weight_version, 12);
    assert_int_equal(back->turns[1].reply_tokens[5], 8);
    assert_true(back->turns[1].chosen && !back->turns[1].ended);
    assert_true(back->turns[1].interrupted && !back->turns[0].interrupted);
    assert_true(back->turns[0].reward == 1.0 / 3.0);
    assert_int_equal(experience_spans(&back->turns[0]), 2);
    assert_int_equal(back->turns[0].spans[1].begin, 2);
    assert_true(back->turns[0].spans[0].terms[0] == 0.75 && back->turns[0].spans[1].terms[1] == -3);
    const struct experience_span whole = experience_span(&back->turns[1], 0);
    assert_true(whole.begin == 0 && whole.end == 6 && whole.terms[0] == 0.1);
    assert_true(back->turns[2].terms[0] == 0.1 * 2 && back->turns[2].terms[1] == -3);
    free(one);
    free(two);
    experience_destroy(e);
    experience_destroy(back);
}

static void no_flipped_bit_is_accepted(void **state)
{
    (void)state;
    struct experience *e = example(), *back;
    void *message;
    size_t size;
    assert_null(experience_pack(e, &message, &size));
    for (size_t bit = 0; bit < size * 8; bit++) {
        ((uint8_t *)message)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        status s = experience_unpack(message, size, &format, "rank 3", &back);
        if (!s) fail_msg("bit %zu flipped and accepted", bit);
        assert_non_null(strstr(status_message(s), "rank 3"));
        assert_null(back);
        status_free(s);
        ((uint8_t *)message)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(message);
    experience_destroy(e);
}

static void no_cut_or_longer_message_is_accepted(void **state)
{
    (void)state;
    struct experience *e = example(), *back;
    void *message;
    size_t size;
    assert_null(experience_pack(e, &message, &size));
    for (size_t cut = 0; cut < size; cut++) {
        /* A buffer of its own, so that the sanitizer sees a read past the end. */
        void *part = malloc(cut ? cut : 1);
        memcpy(part, message, cut);
        status s = experience_unpack(part, cut, &format, "rank 1", &back);
        if (!s) fail_msg("cut at %zu and accepted", cut);
        status_free(s);
        free(part);
    }
    uint8_t *longer = malloc(size + 1);
    memcpy(longer, message, size);
    longer[size] = 0;
    status s = experience_unpack(longer, size + 1, &format, "rank 1", &back);
    assert_non_null(s);
    status_free(s);
    free(longer);
    free(message);
    experience_destroy(e);
}

static void spans_that_leave_tokens_out_are_refused(void **state)
{
    (void)state;
    static const int32_t wrong[][4] = {{1, 2, 2, 5}, {0, 2, 3, 5}, {0, 2, 2, 4}, {0, 0, 0, 5}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct experience *e = example(), *back;
        void *message;
        size_t size;
        for (int s = 0; s < 2; s++) {
            e->turns[0].spans[s].begin = wrong[i][2 * s];
            e->turns[0].spans[s].end = wrong[i][2 * s + 1];
        }
        assert_null(experience_pack(e, &message, &size));
        status s = experience_unpack(message, size, &format, "rank 1", &back);
        assert_non_null(s);
        assert_non_null(strstr(status_message(s), "rank 1: experience of dialogue 7, turn 0"));
        status_free(s);
        free(message);
        experience_destroy(e);
    }
}

/* A rank whose table of statistics, or whose terms, are others'. */
static void other_tables_are_refused_by_name(void **state)
{
    (void)state;
    struct experience *e = example(), *back;
    struct statistic rows[STATISTICS_STANDARD + 1];
    memcpy(rows, statistics_standard.rows, STATISTICS_STANDARD * sizeof *rows);
    rows[STATISTICS_STANDARD] = rows[STATISTIC_ENTROPY];
    rows[STATISTIC_TURN_MASS].name = "mass_of_turns";
    const struct statistic_table renamed = {rows, STATISTICS_STANDARD},
                                 longer = {rows, STATISTICS_STANDARD + 1};
    struct reward_settings fewer = reward;
    fewer.term_count--;
    const struct {
        struct experience_format format;
        const char *words;
    } other[] = {
        {{&renamed, &reward, 2, 3, {0}}, "another statistic in place of mass_of_turns"},
        {{&longer, &reward, 2, 3, {0}}, "of 7 statistics and 4 terms, this run has 8 and 4"},
        {{&statistics_standard, &fewer, 2, 3, {0}}, "this run has 7 and 3"},
        {{&statistics_standard, &reward, 1, 3, {0}},
         "of 2 layers of 3 heads, this run reads 1 of 3"}};
    void *message;
    size_t size;
    assert_null(experience_pack(e, &message, &size));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        status s = experience_unpack(message, size, &other[i].format, "rank 2", &back);
        assert_non_null(s);
        if (!strstr(status_message(s), other[i].words) || !strstr(status_message(s), "rank 2: "))
            fail_msg("\"%s\" does not say \"%s\"", status_message(s), other[i].words);
        status_free(s);
    }
    free(message);
    experience_destroy(e);
}

int main(void)
{
    struct config config;
    config_defaults(&config);
    reward = reward_settings_of(&config);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_to_the_same_bytes),
        cmocka_unit_test(no_flipped_bit_is_accepted),
        cmocka_unit_test(no_cut_or_longer_message_is_accepted),
        cmocka_unit_test(spans_that_leave_tokens_out_are_refused),
        cmocka_unit_test(other_tables_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
