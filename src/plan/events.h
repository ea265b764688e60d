/* A run's schedule as discrete events: who works, who waits for whom, and for how long.
 *
 * The schedule is mpi/train.c's (its head comment): in step b actors take the weights of update b,
 * X(b), and generate batch b + lag; learners receive batch b and update; then all ranks agree on
 * going on.  Batches 0 to lag - 1 are generated before step 0.  Where all ranks have both roles
 * nobody generates ahead.  Ranks are numbered as in mpi/roles.c, hosts hold ranks in a row.
 *
 * A rank's times depend on others only where they meet (weights, learners' sums, checkpoints, the
 * agreement) and where a batch has not arrived.  Where the ranks of a host share its cores
 * (cores > 0), k ranks that work at once go on at min(1, cores / k) of their speed each. */
#ifndef REGARD_PLAN_EVENTS_H
#define REGARD_PLAN_EVENTS_H

#include "src/base/status.h"
#include "src/base/timeline.h"

#include <stdint.h>

struct schedule {
    int64_t learners, actors; /* learners alone where they have both roles: `both` */
    int both;
    int64_t ranks_a_host; /* 0: one host */
    double cores;         /* of a host; 0: every rank has a device of its own */
    int64_t lag, steps;
    /* Seconds of work, [steps + lag, actors] and [steps, learners], by batch. */
    const double *generate, *learn;
    double refresh; /* an actor's, once new weights are there */
    double apply;   /* a learner's, once gradients are summed */
    /* Seconds that ranks spend together, from the last one's arrival on. */
    double weights;  /* X: learner 0 and the actors; streamed: an actor's, until all have come */
    int streamed;    /* learner 0 sends them while it updates, and waits for nobody */
    double gather;   /* learners', before an update */
    double exchange; /* gradients and parameters between learners */
    double agree;    /* of all */
    double send;     /* of experience on its way, while the actor goes on */
    int64_t save_every, evaluate_every; /* steps; 0: never */
    double save;                        /* of all learners */
    double evaluate;                    /* of rank 0 */
    int64_t skip;                       /* steps before those that are counted */
};

struct schedule_result {
    double step; /* seconds a step, after the skipped ones */
    /* Seconds a step by kind: of learners (rank 0 too), of actors; where ranks have both roles all
     * is in the first. */
    double learner[TIME_KINDS], actor[TIME_KINDS];
};

/* The same schedule gives the same result. */
void schedule_run(const struct schedule *schedule, struct schedule_result *out);

#endif
