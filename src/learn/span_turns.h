/* What the critic reads, and with cot.history: reencode the policy: for every span the history with
 * the reply's tokens before the span. */
#ifndef REGARD_LEARN_SPAN_TURNS_H
#define REGARD_LEARN_SPAN_TURNS_H

#include "src/learn/batch.h"

struct span_turns {
    struct learn_turn *turns; /* [count] a turn's spans lie together, in the turns' order; the reply
                               * is the span's tokens */
    int64_t count;
    int32_t *tokens, *cuts; /* what histories and cuts of spans behind the first point into */
};

/* Spans of turns [count]: turn i has span_count[i] of them, which begin at the next numbers of
 * `begin`, ascending from 0.  A turn of one span is taken as it is. */
void span_turns_make(struct span_turns *spans, const struct learn_turn *turns, int64_t count,
                     const int64_t *span_count, const int32_t *begin);
void span_turns_free(struct span_turns *spans);

#endif
