/* control random_salience: size, place, determinism and uniformity. */
#include "tests/reward/reward_test.h"

#include "src/reward/salience_control.h"

enum { COUNT = 20 };

static void marks(uint8_t visible[COUNT], uint8_t salient[COUNT])
{
    for (int i = 0; i < COUNT; i++) {
        visible[i] = i % 5 != 4; /* 16 of 20 */
        salient[i] = i < 7;      /* one of them, 4, is not visible: |I| = 6 */
    }
}

static void as_many_visible_positions_are_drawn(void **state)
{
    (void)state;
    for (int dialogue = 0; dialogue < 100; dialogue++) {
        uint8_t visible[COUNT], salient[COUNT];
        marks(visible, salient);
        assert_done(salience_randomize(1, dialogue, 2, visible, salient, COUNT));
        int drawn = 0;
        for (int i = 0; i < COUNT; i++) {
            drawn += salient[i];
            assert_true(!salient[i] || visible[i]);
        }
        assert_int_equal(drawn, 6);
    }
}

static void a_dialogue_and_turn_always_draw_the_same_and_others_do_not(void **state)
{
    (void)state;
    uint8_t visible[COUNT], a[COUNT], b[COUNT];
    marks(visible, a);
    marks(visible, b);
    assert_done(salience_randomize(1, 5, 2, visible, a, COUNT));
    assert_done(salience_randomize(1, 5, 2, visible, b, COUNT));
    assert_memory_equal(a, b, COUNT);
    const int64_t others[3][3] = {{2, 5, 2}, {1, 6, 2}, {1, 5, 3}};
    for (int i = 0; i < 3; i++) {
        marks(visible, b);
        assert_done(
            salience_randomize(others[i][0], others[i][1], others[i][2], visible, b, COUNT));
        assert_memory_not_equal(a, b, COUNT);
    }
}

/* Every visible position is salient with probability 6/16: over 4000 dialogues a count of mean
 * 1500 and deviation 31; five deviations are 153. */
static void every_visible_position_is_as_likely(void **state)
{
    (void)state;
    int counts[COUNT] = {0};
    for (int dialogue = 0; dialogue < 4000; dialogue++) {
        uint8_t visible[COUNT], salient[COUNT];
        marks(visible, salient);
        assert_done(salience_randomize(9, dialogue, 1, visible, salient, COUNT));
        for (int i = 0; i < COUNT; i++) counts[i] += salient[i];
    }
    for (int i = 0; i < COUNT; i++)
        if (i % 5 != 4) assert_in_range(counts[i], 1500 - 153, 1500 + 153);
}

static void nothing_salient_stays_nothing_and_all_stays_all(void **state)
{
    (void)state;
    uint8_t visible[3] = {1, 0, 1}, salient[3] = {0, 0, 0};
    assert_done(salience_randomize(1, 0, 1, visible, salient, 3));
    assert_int_equal(salient[0] + salient[1] + salient[2], 0);
    salient[0] = salient[2] = 1;
    assert_done(salience_randomize(1, 0, 1, visible, salient, 3));
    assert_true(salient[0] && !salient[1] && salient[2]);
    assert_done(salience_randomize(1, 0, 1, visible, salient, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_many_visible_positions_are_drawn),
        cmocka_unit_test(a_dialogue_and_turn_always_draw_the_same_and_others_do_not),
        cmocka_unit_test(every_visible_position_is_as_likely),
        cmocka_unit_test(nothing_salient_stays_nothing_and_all_stays_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
