/* The examples of an epoch: every one once, a dialogue's turns side by side and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/task/examples.h"

#include <string.h>

enum { DIALOGUES = 9, EXAMPLES = 21 };

static void an_epoch_keeps_dialogues_together(void **state)
{
    (void)state;
    struct example examples[EXAMPLES] = {0};
    struct example_list list = {.examples = examples, .count = EXAMPLES, .dialogues = DIALOGUES};
    int64_t orders[2][EXAMPLES];
    for (int64_t e = 0; e < EXAMPLES; e++) examples[e].dialogue = e * DIALOGUES / EXAMPLES;
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        const int64_t *order = orders[epoch];
        int changes = 0;
        bool seen[EXAMPLES] = {false};
        examples_order(&list, 5, epoch, orders[epoch]);
        for (int64_t i = 0; i < EXAMPLES; i++) {
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
            if (i == 0) continue;
            if (examples[order[i]].dialogue == examples[order[i - 1]].dialogue)
                assert_int_equal(order[i], order[i - 1] + 1);
            else
                changes++;
        }
        assert_int_equal(changes, DIALOGUES - 1);
    }
    assert_true(memcmp(orders[0], orders[1], sizeof orders[0]) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_epoch_keeps_dialogues_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
