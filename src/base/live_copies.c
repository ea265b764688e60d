/* See live_copies.h.  Pieces are taken in order by whoever comes. */
#include "src/base/live_copies.h"

#include "src/base/heartbeat.h"

#include <assert.h>
#include <string.h>
#include <time.h>

enum { PIECE = 1 << 20 }; /* floats: a millisecond or two */

void live_copies_add(struct live_copies *copies, const float *from, float *to, int64_t floats)
{
    assert(copies->count < LIVE_COPIES_MAX);
    copies->list[copies->count++] =
        (struct live_copy){.from = from, .to = to, .floats = floats, .first = copies->pieces};
    copies->pieces += (floats + PIECE - 1) / PIECE;
}

static void piece_copy(const struct live_copies *copies, int64_t piece)
{
    int which = 0;
    while (which + 1 < copies->count && copies->list[which + 1].first <= piece) which++;
    const struct live_copy *copy = &copies->list[which];
    const int64_t begin = (piece - copy->first) * PIECE, left = copy->floats - begin;
    memcpy(copy->to + begin, copy->from + begin,
           (size_t)(left < PIECE ? left : PIECE) * sizeof *copy->to);
}

void live_copies_finish(struct live_copies *copies)
{
    const struct timespec moment = {.tv_nsec = 50000};
    for (int64_t piece; (piece = atomic_fetch_add(&copies->begun, 1)) < copies->pieces;) {
        piece_copy(copies, piece);
        atomic_fetch_add(&copies->done, 1);
        heartbeat_note();
    }
    while (atomic_load(&copies->done) < copies->pieces) nanosleep(&moment, NULL);
}
