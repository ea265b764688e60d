/* Where the ranks' time went, as metrics and as words.  seconds [ranks, TIME_KINDS]. */
#ifndef REGARD_REPORT_TIMES_H
#define REGARD_REPORT_TIMES_H

#include "src/base/timeline.h"
#include "src/report/metric_list.h"

#include <stddef.h>

enum { TIMES_RANKS_LISTED = 64 };

/* time_KIND, the mean over the ranks, and time_KIND_max, the most that one rank has, of every kind
 * that any rank spent time in; time_slowest, the rank of times_slowest, of several.  The means add
 * up to the mean of the ranks' whole time. */
void times_measure(const double *seconds, int ranks, struct metric_list *out);
/* {"generate":[...],...}: seconds by rank, of the same kinds; the caller frees it.  NULL of more
 * than TIMES_RANKS_LISTED ranks. */
char *times_by_rank(const double *seconds, int ranks);
/* The rank that waited least: the one that the others wait for. */
int times_slowest(const double *seconds, int ranks);
/* "generate 45%, learn 30%, wait_experience 20%": shares of all ranks' time, the greatest first, at
 * most so many of them, and those under 1% left out. */
void times_text(const double *seconds, int ranks, int most, char *out, size_t size);
/* "; rank 3 (HOST) waited least, 2%", host being that rank's.  Empty of one rank, and where this
 * one too waited for more than half of its time: it is not what the others wait for. */
void times_slowest_text(const double *seconds, int ranks, const char *host, char *out, size_t size);

#endif
