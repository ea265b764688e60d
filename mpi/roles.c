/* See roles.h. */
#include "mpi/roles.h"

#include "src/base/slices.h"

struct roles roles_of(int rank, int size, int learners)
{
    const bool both = learners == size;
    struct roles roles = {.learners = learners, .actors = both ? size : size - learners};
    roles.is_learner = rank < learners;
    roles.is_actor = both || !roles.is_learner;
    roles.learner = roles.is_learner ? rank : -1;
    roles.actor = !roles.is_actor ? -1 : both ? rank : rank - learners;
    return roles;
}

bool roles_both(const struct roles *roles)
{
    return roles->is_learner && roles->is_actor;
}

static struct slice slice_of(int part, int parts, int64_t total)
{
    if (part < 0) return (struct slice){0, 0};
    const int64_t first = slice_first(part, total, parts);
    return (struct slice){first, slice_first(part + 1, total, parts) - first};
}

struct slice roles_generated(const struct roles *roles, int64_t dialogues)
{
    return slice_of(roles->actor, roles->actors, dialogues);
}

struct slice roles_learned(const struct roles *roles, int64_t dialogues)
{
    return slice_of(roles->learner, roles->learners, dialogues);
}

int roles_owner(const struct roles *roles, int64_t place, int64_t dialogues)
{
    return (int)slice_owner(place, dialogues, roles->learners);
}
