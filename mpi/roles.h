/* Which ranks learn, which generate, and whose part of a batch is whose: the only place that knows.
 */
#ifndef REGARD_MPI_ROLES_H
#define REGARD_MPI_ROLES_H

#include <stdbool.h>
#include <stdint.h>

/* What a rank is.  Ranks 0 .. learners - 1 learn and the others generate; where every rank
 * learns, every rank generates too. */
struct roles {
    int learners, actors; /* how many ranks of each */
    bool is_learner, is_actor;
    int learner, actor; /* this rank's place among them; -1: it is none */
};

/* 1 <= learners <= size, 0 <= rank < size. */
struct roles roles_of(int rank, int size, int learners);
/* Whether every rank has both roles. */
bool roles_both(const struct roles *roles);

/* Places [first, first + count) of a batch. */
struct slice {
    int64_t first, count;
};
/* What this rank generates of a batch, and what it learns from; empty where it has no such role. */
struct slice roles_generated(const struct roles *roles, int64_t dialogues);
struct slice roles_learned(const struct roles *roles, int64_t dialogues);
/* The rank that learns from a place of the batch. */
int roles_owner(const struct roles *roles, int64_t place, int64_t dialogues);

#endif
