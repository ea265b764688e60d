/* What `plan` holds: a cluster, a run, its prices, and the runs that were tried. */
#ifndef REGARD_TOOLS_PLAN_H
#define REGARD_TOOLS_PLAN_H

#include "mpi/rehearsal.h"
#include "src/plan/cluster.h"
#include "src/plan/model.h"

#include <stdio.h>

/* What a choice was tried for. */
enum plan_trial { TRIED_SPLIT, TRIED_LAG, TRIED_MICROBATCHES };

struct plan_tried {
    enum plan_trial trial;
    struct plan_run run;
    struct plan_outcome outcome;
};

/* Ranks that hold alike. */
enum { PLAN_RANK_0, PLAN_LEARNER, PLAN_ACTOR, PLAN_ROLES };

struct plan_interval {
    double cost; /* seconds that a checkpoint keeps the run */
    double mtbf; /* seconds between failures of any host */
    double young, daly;
    int64_t steps; /* Daly's, in updates */
    double lost;   /* share of time, by it */
};

struct plan_case {
    struct cluster cluster;
    struct config config;
    struct lengths lengths;
    struct rehearsal *rehearsal;
    struct prices prices;
    double generate_scale, learn_scale, other; /* by from_run; 0: not calibrated */
    struct plan_run asked, best;
    struct plan_outcome asked_outcome, best_outcome;
    bool asked_runs; /* the configuration's own learners and microbatches fit this cluster */
    struct plan_tried *tried;
    int64_t tried_count;
    size_t memory[PLAN_ROLES][MEMORY_KINDS]; /* of the best; no such rank: zeros */
    double evaluation_cost;                  /* seconds that an evaluation keeps the run */
    struct plan_interval interval;
    double seconds; /* that the plan took */
};

struct cost_rates plan_rates(const struct cluster *cluster);
/* Whether weights go to actors by the host: no GPUs that NCCL connects. */
bool plan_streams(const struct plan_case *plan);
size_t plan_real_bytes(const struct plan_case *plan);
status plan_take_bench(struct plan_case *plan, const char *path);
status plan_lengths(struct plan_case *plan);
/* Scales the prices by what from_run measured. */
status plan_calibrate(struct plan_case *plan);
/* Tries splits, lags and microbatches, and takes the best. */
status plan_search(struct plan_case *plan);
void plan_print_text(const struct plan_case *plan, FILE *out);
void plan_print_json(const struct plan_case *plan, FILE *out);

#endif
