/* Where a rank's time goes.  A thread that has a track is always in one kind of work: the innermost
 * that it began and has not ended, TIME_OTHER before any.  So the seconds of all kinds together are
 * the time on the clock, and what is done inside something else counts for itself alone.
 *
 * Each thread has its own track, or none, where all of this does nothing: threads of a parallel
 * loop and programs without a run need not care.  The track of the thread that began the timeline
 * is the rank's: its seconds go to metrics.jsonl.  Others (a thread that writes checkpoints) are
 * there for the trace.  begin and end read the clock once each, and tell the heartbeat
 * (heartbeat.h) what this rank is at. */
#ifndef REGARD_BASE_TIMELINE_H
#define REGARD_BASE_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

enum time_kind {
    TIME_GENERATE,        /* sampling replies */
    TIME_READ,            /* teacher-forced passes that teach nothing: reference, critic, scorer,
                             reward models */
    TIME_REWARD,          /* sources of reward, but for their models */
    TIME_LEARN,           /* forward and backward passes, credit, optimizer */
    TIME_EXCHANGE,        /* gradients and parameters between learners */
    TIME_SEND,            /* weights and experience that leave */
    TIME_WAIT_WEIGHTS,    /* until new ones are there, their transfer included */
    TIME_WAIT_EXPERIENCE, /* until it is there */
    TIME_WAIT_SLOWEST,    /* barriers, agreements and gathers: until the last rank came */
    TIME_SAVE,            /* checkpoints */
    TIME_EVALUATE,        /* held-out metrics */
    TIME_OTHER,
    TIME_KINDS
};

/* "generate", "wait_weights" */
const char *time_kind_name(enum time_kind kind);
static inline bool time_kind_waits(enum time_kind kind)
{
    return kind == TIME_WAIT_WEIGHTS || kind == TIME_WAIT_EXPERIENCE || kind == TIME_WAIT_SLOWEST;
}

/* This thread's track, with nothing counted yet.  name: of it in a trace; stays the caller's.  A
 * thread begins one track; a thread of its own ends it before it returns. */
void timeline_open(const char *name);
void timeline_close(void);

/* Nest; every begin has its end on the same thread. */
void timeline_begin(enum time_kind kind);
void timeline_end(void);

/* From now on `begin` is called with a kind's name where one begins on a thread that has a track,
 * and `end` where it ends, on the same thread: a profiler's ranges.  Set before there are more
 * threads; what is begun already ends without. */
void timeline_on_span(void (*begin)(const char *name), void (*end)(void));

/* The seconds by kind of this thread's track since it was opened or last taken; zeros where it has
 * none.  What is begun goes on. */
void timeline_take(double seconds[TIME_KINDS]);

#endif
