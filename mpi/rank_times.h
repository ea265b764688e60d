/* Every rank's seconds by kind, and what came to it, gathered at rank 0.  A report is of an update:
 * what the rank spent between its report of the update before and this one.  An actor's is sent
 * when its part of the update's batch is made, a learner's when the update is done.  So rank 0,
 * which has learned from the batch when it asks for them, has no rank to wait for, however far
 * actors are ahead.  */
#ifndef REGARD_MPI_RANK_TIMES_H
#define REGARD_MPI_RANK_TIMES_H

#include "mpi/transport.h"
#include "src/base/timeline.h"
#include "src/base/traffic.h"

struct rank_times;

struct rank_times *rank_times_open(struct world *world);
void rank_times_close(struct rank_times *times);
/* This rank's report of an update; steps rise. */
status rank_times_report(struct rank_times *times, int64_t step);
/* Rank 0, once for every update in turn, after its own report: seconds [ranks, TIME_KINDS], which
 * stay until the next call. */
status rank_times_gather(struct rank_times *times, int64_t step, const double **seconds);
/* After it: what the updates came to that were gathered since this was called last: seconds [ranks,
 * TIME_KINDS], and bytes that came to ranks from others, [TRAFFIC_KINDS] over all ranks.  Both stay
 * until the next update is gathered. */
void rank_times_since(struct rank_times *times, const double **seconds, const int64_t **bytes);
/* At the end of a run, by all ranks: reports that nobody asked for are taken; on rank 0 what every
 * rank spent since rank_times_open, otherwise NULL. */
status rank_times_finish(struct rank_times *times, const double **seconds);

#endif
