/* What the watchdog makes of all it knows: who is missing, who is hung, or that all wait for each
 * other.  Pure functions of what was heard. */
#ifndef REGARD_MPI_WATCHDOG_VERDICT_H
#define REGARD_MPI_WATCHDOG_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum { WATCH_NAME_BYTES = 64, WATCH_LINE_BYTES = 1000 };

/* A rank, as its notes say. */
struct watch_peer {
    const char *host;
    bool known;    /* this rank hears from it at all, or is it */
    double silent; /* seconds since its last note */
    double idle;   /* seconds without progress, as of that note */
    bool waiting;  /* for another rank; else at work */
    int64_t step;
    char what[WATCH_NAME_BYTES]; /* what it waits for or works at */
};

/* Ranks that were silent for longer than `least`, as "rank 1 (hosta; in update at step 7), ranks 4,
 * 5 (hostc; waiting for weights at step 7)", cut where it is too long.  Gives how many. */
int watch_silent(const struct watch_peer *peers, int size, double least,
                 char line[WATCH_LINE_BYTES]);

struct watch_limits {
    double patience; /* seconds without progress */
    double silence;  /* seconds without a note; the same but where a job is being ended */
    double late;     /* added to both, for others to end the ranks first */
};

/* Whether to end the ranks, and why. */
bool watch_verdict(const struct watch_peer *peers, int size, const struct watch_limits *limits,
                   char line[WATCH_LINE_BYTES]);

#endif
