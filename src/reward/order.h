/* The order in which a batch's rewards are counted: dialogue, turn, candidate, span.  Every mean
 * and running statistic adds in it, so that ranks and message order change no bit. */
#ifndef REGARD_REWARD_ORDER_H
#define REGARD_REWARD_ORDER_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names one reward of a batch: that of a span of a reply (span.h).  dialogue is unique in the
 * batch; turn counts from 1, candidate and span from 0. */
struct turn_key {
    int64_t dialogue;
    int32_t turn, candidate, span;
};

/* Whether both are of one reply. */
bool turn_key_same_reply(const struct turn_key *a, const struct turn_key *b);

/* order[i] is the index of the i-th item.  Items are `stride` bytes apart and begin with their
 * struct turn_key.  Two items with one key are an internal error that names it. */
status turn_order(const void *items, size_t stride, int64_t count, int64_t *order);
/* Past the last place of the group (one dialogue and turn) that begins at place `begin`. */
int64_t turn_group_end(const void *items, size_t stride, int64_t count, const int64_t *order,
                       int64_t begin);

#endif
