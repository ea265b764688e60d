/* How many tokens replies have: fixed, drawn from a list or log-normal.  A draw is a function of
 * its random words alone. */
#ifndef REGARD_PLAN_LENGTHS_H
#define REGARD_PLAN_LENGTHS_H

#include <stdint.h>

struct lengths {
    int64_t most;         /* a longer reply is cut there */
    double median, sigma; /* log-normal; median 0: the list */
    double *list;         /* [count] owned by the caller; count 0: all are `most` */
    double *until;        /* [count] rising to 1: how often those up to here; NULL: all alike */
    int64_t count;
};

/* 1 <= result <= most, by a stream's place: two words of a key, four of a counter. */
int64_t lengths_at(const struct lengths *lengths, const uint32_t key[2], const uint32_t counter[4]);

#endif
