/* A run's schedule as discrete events: who works, who waits for whom, and for how long.
 *
 * The schedule is mpi/train.c's (its head comment): in step b actors take the weights of update b,
 * X(b), and generate batch b + lag; learners receive batch b and update; then all ranks agree on
 * going on.  Batches 0 to lag - 1 are generated before step 0.  Where all ranks have both roles
 * nobody generates ahead.  From lag 2 on, where weights are streamed, learners alone agree, and
 * actors wait for weights.  Ranks are numbered as in mpi/roles.c, hosts hold ranks in a row.
 *
 * A rank's times depend on others only where they meet (weights, learners' sums, checkpoints, the
 * agreement), where a batch has not arrived, and where the ranks of a host share what they work
 * with: its cores, its memory. */
#ifndef REGARD_PLAN_EVENTS_H
#define REGARD_PLAN_EVENTS_H

#include "src/base/status.h"
#include "src/base/timeline.h"

#include <stdint.h>

/* How fast each of k ranks of a host goes on that work at once, 1: as one alone.  Empty: every rank
 * has a device of its own, and is not among the k. */
struct sharing {
    double cores; /* min(1, cores / k), where nothing was measured; 0: not shared */
    const double
        *speed; /* [count] of k = 1, 2, ...; of more they do as much together as the last */
    int64_t count;
};

struct schedule {
    int64_t learners, actors; /* learners alone where they have both roles: `both` */
    int both;
    int64_t ranks_a_host;  /* 0: one host */
    struct sharing device; /* passes and decoding */
    struct sharing memory; /* the optimizer's steps */
    struct sharing sums;   /* copying and adding between learners */
    int64_t lag, steps;
    int64_t dialogues; /* of a batch; 0: as many as actors and learners divide */
    /* Work that moves between actors (mpi/stealing.c): so many dialogues are generated together;
     * 0: nothing moves.  An answer takes `ask` seconds. */
    int64_t part;
    double ask;
    /* Seconds of work by batch: [steps + lag, actors, schedule_parts()] of an actor's parts, the
     * last of them one that is not whole; and [steps, learners]. */
    const double *generate, *learn;
    double slowest; /* times as long the last rank's device takes; 0: as the others' */
    double
        jitter; /* sigma of a factor of every rank's time for a batch, as the stub's sleep.jitter */
    uint64_t seed;  /* of it */
    double refresh; /* an actor's, once new weights are there */
    double apply;   /* a learner's, once gradients are summed */
    double step;    /* the optimizer's of a learner's slice, bound by memory */
    /* Seconds that ranks spend together, from the last one's arrival on. */
    double weights;  /* X: learner 0 and the actors; streamed: until all have come */
    int streamed;    /* learner 0 sends them while it updates, and waits for nobody */
    double gather;   /* learners', before an update */
    double exchange; /* gradients and parameters between learners: waits for messages */
    double copy;     /* then each learner's copying and adding */
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

/* Parts of an actor's slice at most. */
int64_t schedule_parts(const struct schedule *schedule);
/* The same schedule gives the same result. */
void schedule_run(const struct schedule *schedule, struct schedule_result *out);

#endif
