/* What a rank of `train` holds, opened from the configuration by its roles, and what it tells. */
#ifndef REGARD_MPI_TRAINER_H
#define REGARD_MPI_TRAINER_H

#include "mpi/exchange.h"
#include "mpi/experience.h"
#include "mpi/inbox.h"
#include "mpi/run_checkpoint.h"
#include "src/evaluate/evaluate.h"
#include "src/rollout/dialogues.h"

struct trainer {
    const struct config *config;
    struct reward_settings reward;
    struct world *world;
    struct run_folder folder;
    struct queue *queue;
    struct dataset *data, *valid;
    struct language *language;
    /* learner */
    struct model *policy, *reference;
    struct exchange exchange;
    struct learner *learner;
    struct generator *evaluator;
    bool overlong_told; /* the warning of the first evaluation */
    float *previous;    /* device, lag 1: weights before the last update */
    struct inbox *inbox;
    /* actor */
    struct model *actor_model, *scorer_model, *user_model;
    struct rollout rollout;
    struct experience_outbox *outbox; /* messages that are still leaving, NULL: none */
    int64_t parameter_count;
    /* What goes to the actors: weights, where they go through the host, with the running
     * statistics behind them.  Pinned. */
    float *wire;
    int64_t wire_count;
};

/* Data, tokenizer, models of the rank's roles; folder must be open. */
status trainer_open(struct trainer *t);
/* By all ranks together, once it is sure that the run begins. */
status trainer_connect(struct trainer *t);
status trainer_close(struct trainer *t);
/* Whether this rank's actor takes its weights from its own learner: all ranks have both roles. */
bool trainer_has_both_roles(const struct trainer *t);
/* Which rank does what and how much memory it will take. */
status trainer_print_roles(struct trainer *t, FILE *out);

/* Rank 0: the measurements of an update. */
status trainer_report(struct trainer *t, int64_t step, double seconds,
                      const struct update_metrics *metrics);
/* Learners together: RUN/samples/step-N.jsonl, the turns of the batch's first two dialogues. */
status trainer_write_samples(const struct trainer *t, int64_t step,
                             struct experience *const *dialogues, int64_t count);
/* Rank 0: the held-out metrics; *stop where guard.patience has run out. */
status trainer_evaluate(struct trainer *t, int64_t step, bool *stop);

#endif
