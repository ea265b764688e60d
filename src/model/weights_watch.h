/* Weights that change only when somebody says so.  Between `take`, after they were written, and
 * `check`, before they are written again or kept, nothing may touch them: another hash then means
 * that memory failed, or that a program wrote where it must not. */
#ifndef REGARD_MODEL_WEIGHTS_WATCH_H
#define REGARD_MODEL_WEIGHTS_WATCH_H

#include "src/model/fingerprint.h"

#include <stdbool.h>

enum { WATCHED_MAX = 4 };

struct weights_watch {
    struct fingerprint *fingerprint;
    bool on;         /* else take and check do nothing */
    const char *who; /* "rank 1 (hosta), update 12": begins an error; NULL: nothing */
    int count;
    struct watched {
        const char *name; /* "policy": reads well after "the weights of the" */
        const float *values;
        int64_t size;
        bool known;
        uint64_t hash; /* where known */
    } list[WATCHED_MAX];
};

/* Empty. */
status weights_watch_open(struct queue *queue, bool on, struct weights_watch *out);
void weights_watch_close(struct weights_watch *watch);
/* Its place in the list; its hash is not known yet. */
int weights_watch_add(struct weights_watch *watch, const char *name, const float *values,
                      int64_t size);
/* They were written: their hash from here on. */
status weights_watch_take(struct weights_watch *watch, int place);
/* They are what they were when their hash was taken. */
status weights_watch_check(struct weights_watch *watch, int place);
/* Hashes that are not known yet are taken. */
status weights_watch_begin(struct weights_watch *watch);
status weights_watch_check_all(struct weights_watch *watch);

#endif
