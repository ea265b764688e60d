/* Roles follow from rank, size and learners alone, and every place of a batch has one owner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mpi/roles.h"

/* At most so many ranks and dialogues are tried. */
enum { RANKS = 9, DIALOGUES = 20 };

static void learners_come_first_and_the_others_are_actors(void **state)
{
    (void)state;
    const struct roles learner = roles_of(1, 5, 2), actor = roles_of(3, 5, 2);
    assert_true(learner.is_learner && !learner.is_actor && !roles_both(&learner));
    assert_int_equal(learner.learner, 1);
    assert_int_equal(learner.actor, -1);
    assert_true(actor.is_actor && !actor.is_learner);
    assert_int_equal(actor.learner, -1);
    assert_int_equal(actor.actor, 1);
    assert_int_equal(actor.learners, 2);
    assert_int_equal(actor.actors, 3);
}

static void where_all_learn_all_are_actors_too(void **state)
{
    (void)state;
    for (int size = 1; size < RANKS; size++)
        for (int rank = 0; rank < size; rank++) {
            const struct roles roles = roles_of(rank, size, size);
            assert_true(roles_both(&roles));
            assert_int_equal(roles.learner, rank);
            assert_int_equal(roles.actor, rank);
            assert_int_equal(roles.actors, size);
        }
}

/* Counts how often each place is generated and learned from. */
static void places_count(int size, int learners, int64_t dialogues, int *generated, int *learned)
{
    for (int rank = 0; rank < size; rank++) {
        const struct roles roles = roles_of(rank, size, learners);
        const struct slice acts = roles_generated(&roles, dialogues);
        const struct slice learns = roles_learned(&roles, dialogues);
        for (int64_t i = 0; i < acts.count; i++) generated[acts.first + i]++;
        for (int64_t i = 0; i < learns.count; i++) {
            learned[learns.first + i]++;
            assert_int_equal(roles_owner(&roles, learns.first + i, dialogues), rank);
        }
    }
}

static void every_place_is_generated_once_and_learned_from_by_its_owner(void **state)
{
    (void)state;
    for (int size = 1; size < RANKS; size++)
        for (int learners = 1; learners <= size; learners++)
            for (int64_t dialogues = 1; dialogues < DIALOGUES; dialogues++) {
                int generated[DIALOGUES] = {0}, learned[DIALOGUES] = {0};
                places_count(size, learners, dialogues, generated, learned);
                for (int64_t i = 0; i < dialogues; i++) {
                    assert_int_equal(generated[i], 1);
                    assert_int_equal(learned[i], 1);
                }
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learners_come_first_and_the_others_are_actors),
        cmocka_unit_test(where_all_learn_all_are_actors_too),
        cmocka_unit_test(every_place_is_generated_once_and_learned_from_by_its_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
