/* Spans of the timeline (timeline.h), kept for a trace: the newest TRACE_SPANS of a process,
 * whichever threads they are of.  Off until trace_open; then a span costs a lock and 40 bytes of
 * what was asked for at once. */
#ifndef REGARD_BASE_TRACE_H
#define REGARD_BASE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum { TRACE_SPANS = 1 << 16, TRACE_TRACKS = 8, TRACE_NAME = 16 };

struct trace_span {
    double begin, end; /* seconds_now */
    int64_t step;      /* that the rank was at when it ended */
    int64_t bytes;     /* that came from other ranks meanwhile (traffic.h) */
    int32_t kind;      /* enum time_kind */
    int32_t track;
};

void trace_open(void);
void trace_close(void);
bool trace_is_on(void);
void trace_step(int64_t step);
/* track: a name of up to TRACE_NAME - 1 bytes; those beyond TRACE_TRACKS names are one. */
void trace_add(const char *track, int kind, double begin, double end, int64_t bytes);

/* What is kept, by the order in which spans ended, with the tracks' names; the caller frees *spans.
 * *lost: older ones that are not kept. */
int64_t trace_take(struct trace_span **spans, char names[TRACE_TRACKS][TRACE_NAME], int64_t *lost);

#endif
