/* A run on a cluster, predicted: draws what its batches are, lets the schedule run (events.h), and
 * says what came of it. */
#ifndef REGARD_PLAN_MODEL_H
#define REGARD_PLAN_MODEL_H

#include "src/plan/cluster.h"
#include "src/plan/events.h"
#include "src/plan/lengths.h"
#include "src/plan/prices.h"

/* What is asked. */
struct plan_run {
    int64_t learners, size; /* of size ranks; learners = size: all have both roles */
    int64_t lag, dialogues, microbatches;
    int64_t save_every, evaluate_every; /* updates; 0: never */
    int64_t updates;                    /* that are simulated */
    int64_t seed;
    bool steals;     /* rollout.steal: actors' parts are of prices.batch rows */
    bool streamed;   /* weights go by mpi/weight_stream.c, as without NCCL */
    bool background; /* checkpoints are copied, and written behind the run's back */
};

/* Bytes a step, of all ranks together. */
struct plan_bytes {
    double weights, experience, learners; /* to the actors; to the learners; between learners */
};

struct plan_outcome {
    struct schedule_result times;
    double dialogues_s, tokens_s; /* reply tokens */
    struct plan_bytes bytes;
    double checkpoint_bytes, checkpoint_seconds; /* to write */
    double save;                                 /* that the learners spend on it */
    /* Seconds of the parts, before anybody waits: mean and longest of a batch. */
    double generate, generate_longest, learn, weights, exchange;
};

/* Seconds that an actor takes for `dialogues` of its own; `stream` numbers the draw. *tokens: of
 * their replies. */
double plan_generate(const struct prices *prices, const struct lengths *lengths, int64_t seed,
                     int64_t dialogues, uint32_t stream, int64_t *tokens);
/* Seconds of a sum over learners in mpi/values_mpi.c's tree, or of the gather after it: of waiting
 * for messages, and in *copy of a learner's work in its host's memory if it did so alone. */
double plan_exchange(const struct cluster *cluster, int64_t learners, double bytes, double *copy);
void plan_predict(const struct cluster *cluster, const struct prices *prices,
                  const struct lengths *lengths, const struct plan_run *run,
                  struct plan_outcome *out);

#endif
