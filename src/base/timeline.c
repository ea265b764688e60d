/* See timeline.h. */
#include "src/base/timeline.h"

#include "src/base/clock.h"
#include "src/base/heartbeat.h"
#include "src/base/memory.h"
#include "src/base/trace.h"
#include "src/base/traffic.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

struct track {
    const char *name;
    double since; /* seconds_now: until then all is counted */
    double seconds[TIME_KINDS];
    int depth; /* of what is begun; what lies deeper than DEPTH_MAX counts for its outer */
    enum time_kind open[DEPTH_MAX];
    const char *before[DEPTH_MAX]; /* heartbeat_what, outside of it */
    double begun[DEPTH_MAX];
    int64_t bytes[DEPTH_MAX];       /* that had come by then */
    void (*after[DEPTH_MAX])(void); /* span_end, where span_begin was called */
};

static _Thread_local struct track *own;
static void (*span_begin)(const char *name);
static void (*span_end)(void);

const char *time_kind_name(enum time_kind kind)
{
    static const char *const names[TIME_KINDS] = {[TIME_GENERATE] = "generate",
                                                  [TIME_READ] = "read",
                                                  [TIME_REWARD] = "reward",
                                                  [TIME_LEARN] = "learn",
                                                  [TIME_EXCHANGE] = "exchange",
                                                  [TIME_SEND] = "send",
                                                  [TIME_WAIT_WEIGHTS] = "wait_weights",
                                                  [TIME_WAIT_EXPERIENCE] = "wait_experience",
                                                  [TIME_WAIT_SLOWEST] = "wait_slowest",
                                                  [TIME_SAVE] = "save",
                                                  [TIME_EVALUATE] = "evaluate",
                                                  [TIME_OTHER] = "other"};
    return names[kind];
}

void timeline_open(const char *name)
{
    timeline_close();
    own = memory_allocate(sizeof *own);
    own->name = name;
    own->since = seconds_now();
}

void timeline_close(void)
{
    free(own);
    own = NULL;
}

static enum time_kind innermost(const struct track *track)
{
    if (!track->depth) return TIME_OTHER;
    return track->open[(track->depth < DEPTH_MAX ? track->depth : DEPTH_MAX) - 1];
}

/* What has passed belongs to what it was spent in. */
static double count(struct track *track)
{
    const double now = seconds_now();
    track->seconds[innermost(track)] += now - track->since;
    track->since = now;
    return now;
}

void timeline_on_span(void (*begin)(const char *name), void (*end)(void))
{
    span_begin = begin;
    span_end = end;
}

void timeline_begin(enum time_kind kind)
{
    if (!own) return;
    const double now = count(own);
    if (own->depth < DEPTH_MAX) {
        own->begun[own->depth] = now;
        own->bytes[own->depth] = traffic_whole();
        own->open[own->depth] = kind;
        own->before[own->depth] = heartbeat_doing(time_kind_name(kind));
        own->after[own->depth] = span_end;
        if (span_begin) span_begin(time_kind_name(kind));
    }
    own->depth++;
}

void timeline_end(void)
{
    if (!own || !own->depth) return;
    const double now = count(own);
    const int d = --own->depth;
    if (d >= DEPTH_MAX) return;
    heartbeat_doing(own->before[d]);
    if (own->after[d]) own->after[d]();
    if (trace_is_on())
        trace_add(own->name, own->open[d], own->begun[d], now, traffic_whole() - own->bytes[d]);
}

void timeline_take(double seconds[TIME_KINDS])
{
    memset(seconds, 0, TIME_KINDS * sizeof *seconds);
    if (!own) return;
    count(own);
    memcpy(seconds, own->seconds, sizeof own->seconds);
    memset(own->seconds, 0, sizeof own->seconds);
}
