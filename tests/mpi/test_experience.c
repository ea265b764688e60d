/* Experience messages: what goes in comes out; a flipped or cut one never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/rollout/experience.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct experience *example(void)
{
    struct experience *e = experience_create(7, 12, 3);
    e->prompt = 99;
    for (int k = 0; k < 3; k++) {
        struct experience_turn *t = &e->turns[k];
        experience_turn_allocate(t, 11 + k, k == 2 ? 0 : 5 + k, 2, k == 1 ? 0 : 4);
        t->candidate = k;
        t->turn = k / 2;
        t->ended = k != 1;
        t->chosen = k == 1;
        t->dialogue_over = k == 2;
        for (int i = 0; i < t->history_length; i++) {
            t->history_tokens[i] = 100 + i;
            t->salient[i] = (uint8_t)(i % 3 == 0);
            t->visible[i] = (uint8_t)(i % 5 != 0);
            t->salient_count += t->salient[i];
            t->visible_count += t->visible[i];
            t->turn_of_token[i] = i / 4 - 1;
        }
        for (int i = 0; i < t->reply_length; i++) {
            t->reply_tokens[i] = 3 + i;
            t->logp[i] = -0.1f * (float)i;
            t->entropy[i] = 1.5f + (float)i;
            t->salient_mass[i] = 0.25f;
        }
        for (int i = 0; i < t->reply_length * t->top; i++) {
            t->top_position[i] = i % t->history_length;
            t->top_weight[i] = (uint8_t)(255 - i);
        }
        t->term_count = 2;
        t->terms[0] = 0.1 * k;
        t->terms[1] = -3;
        t->reward = 1.0 / 3.0;
        t->extra[3] = NAN;
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
    assert_null(experience_unpack(one, one_size, "rank 3", &back));
    assert_null(experience_pack(back, &two, &two_size));
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
    assert_int_equal(back->dialogue, 7);
    assert_int_equal(back->prompt, 99);
    assert_int_equal(back->weight_version, 12);
    assert_int_equal(back->turns[1].reply_tokens[5], 8);
    assert_true(back->turns[1].chosen && !back->turns[1].ended);
    assert_true(back->turns[0].reward == 1.0 / 3.0);
    assert_int_equal(back->turns[2].term_count, 2);
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
        status s = experience_unpack(message, size, "rank 3", &back);
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
        status s = experience_unpack(part, cut, "rank 1", &back);
        if (!s) fail_msg("cut at %zu and accepted", cut);
        status_free(s);
        free(part);
    }
    uint8_t *longer = malloc(size + 1);
    memcpy(longer, message, size);
    longer[size] = 0;
    status s = experience_unpack(longer, size + 1, "rank 1", &back);
    assert_non_null(s);
    status_free(s);
    free(longer);
    free(message);
    experience_destroy(e);
}

static void weight_codes_come_back_and_stay_within_a_32nd_of_an_octave(void **state)
{
    (void)state;
    for (int code = 0; code < 256; code++)
        assert_int_equal(experience_weight_encode(experience_weight_decode((uint8_t)code)), code);
    /* Half a step of 1/16 octave: 2^(1/32) - 1 = 2.2%; the margin is float rounding's. */
    for (float w = 1.0f; w > 3e-5f; w *= 0.97f) {
        float back = experience_weight_decode(experience_weight_encode(w));
        if (fabsf(back / w - 1.0f) > 0.0221f)
            fail_msg("%g came back as %g", (double)w, (double)back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_to_the_same_bytes),
        cmocka_unit_test(no_flipped_bit_is_accepted),
        cmocka_unit_test(no_cut_or_longer_message_is_accepted),
        cmocka_unit_test(weight_codes_come_back_and_stay_within_a_32nd_of_an_octave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
