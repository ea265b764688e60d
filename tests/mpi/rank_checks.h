/* For tests that are ranks: a check that fails ends all of them, with one line. */
#ifndef REGARD_TESTS_RANK_CHECKS_H
#define REGARD_TESTS_RANK_CHECKS_H

#include "mpi/transport.h"

#include <stdio.h>
#include <stdlib.h>

/* world: NULL before there is one. */
_Noreturn static inline void rank_fail(struct world *world, status s)
{
    const int code = status_code(s);
    if (status_message(s)[0]) fprintf(stderr, "regard: %s\n", status_message(s));
    if (world) world_break(world);
    transport_end(code);
    exit(code);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            rank_fail(world, ERROR(STATUS_INTERNAL, "line %d: %s", __LINE__, #condition));         \
    } while (0)
#define GOOD(expression)                                                                           \
    do {                                                                                           \
        status good_ = (expression);                                                               \
        if (good_) rank_fail(world, good_);                                                        \
    } while (0)

#endif
