/* Copies of memory that is about to change, made while whoever changes it still does other work.
 * One thread begins to copy; the one that wants to change the memory copies what is left along with
 * it, and may change it once live_copies_finish has returned to it. */
#ifndef REGARD_BASE_LIVE_COPIES_H
#define REGARD_BASE_LIVE_COPIES_H

#include <stdatomic.h>
#include <stdint.h>

enum { LIVE_COPIES_MAX = 16 };

/* Zeroed: nothing to copy. */
struct live_copies {
    int count;
    struct live_copy {
        const float *from;
        float *to;
        int64_t floats;
        int64_t first; /* piece of all */
    } list[LIVE_COPIES_MAX];
    int64_t pieces;
    atomic_llong begun, done; /* of the pieces */
};

/* Before any thread has begun to copy. */
void live_copies_add(struct live_copies *copies, const float *from, float *to, int64_t floats);
/* Copies until nothing is left, and waits for the piece that another thread is still at: all is
 * copied when it returns.  On any number of threads. */
void live_copies_finish(struct live_copies *copies);

#endif
