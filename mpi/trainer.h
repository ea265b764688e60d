/* What a rank of `train` holds, opened from the configuration by its roles, and what it reports. */
#ifndef REGARD_MPI_TRAINER_H
#define REGARD_MPI_TRAINER_H

#include "mpi/experience.h"
#include "mpi/inbox.h"
#include "mpi/past_weights.h"
#include "mpi/run_checkpoint.h"
#include "mpi/run_loop.h"
#include "mpi/stealing.h"
#include "mpi/weight_stream.h"
#include "src/evaluate/evaluation_first.h"
#include "src/learn/update.h"
#include "src/model/matrices_watch.h"
#include "src/rollout/dialogues.h"
#include "src/rollout/reward_reader.h"

struct trainer {
    struct run run;
    struct rollout_settings settings, user_settings; /* of the policy and of a user's model */
    struct evaluate_settings evaluation;
    struct source_set
        *sources; /* that give reward here: to an actor, and to rank 0's evaluations */
    struct reward_reader *reward_reader; /* of the source model, beside `sources`; NULL: none */
    struct model *base;                  /* under the rank's adapters; NULL: there are none */
    /* learner */
    struct model *policy, *reference;
    struct evaluators evaluators;  /* rank 0 */
    struct evaluation_first first; /* rank 0: the run's first evaluation */
    bool overlong_logged;          /* by the first evaluation */
    struct audit_report audit;     /* rank 0: of the last update */
    struct past_weights past;      /* of pipeline.lag, on rank 0 and where actors learn */
    struct inbox *inbox;
    /* actor */
    struct model *actor_model, *scorer_model, *user_model;
    struct rollout rollout;
    struct stealing *stealing; /* NULL: actors keep their slices */
    /* Messages in flight, NULL: none.  Of batch b, from lag 2 on: b mod (lag + 1), since the
     * messages of the batch before those that are in flight have come. */
    struct experience_outbox *outboxes[PIPELINE_LAG_MAX + 1];
    int64_t *sent;   /* [learners] dialogues */
    int64_t version; /* of the weights passed last */
    /* An actor's weights, from when it took them to when its replies are made: the policy's
     * parameters are first.  NULL: nobody looks. */
    struct weights_watch watch;
    struct matrices_watch *policy_matrices, *base_matrices;
    struct weight_stream *stream; /* NULL: weights do not go through the host */
    int64_t first_version;        /* that this job's actors sample with */
    int64_t learned;              /* the batch that is learned, or was last */
};

/* Whether actors will sample with this version, from first_version on. */
bool trainer_wants(const struct trainer *t, int64_t version);

/* By the settings; nothing is opened.  config and world stay the caller's. */
struct trainer trainer_of(const struct config *config, struct world *world);
/* Opening's parts, for whoever does a rank's work without a run's folder (rehearsal.h): data that
 * are there are checked; models, sources and evaluators by the world's roles. */
status trainer_check_data(struct run *run);
status trainer_open_models(struct trainer *t, const struct learner_exchange *exchange);
void trainer_close_models(struct trainer *t);
/* What a rank will hold, on a counting queue: a plan_function, whose context is a trainer with data
 * and language. */
status trainer_plan(void *trainer, const struct world *world, struct queue *plan);

/* The functions of a run_kind; struct run is a struct trainer's first member. */
status trainer_open(struct run *run);
status trainer_describe(struct run *run, FILE *out);
status trainer_connect(struct run *run);
status trainer_close(struct run *run);

/* The measurements of update number `step`; its learning rates. */
void trainer_measure_rates(const struct trainer *t, int64_t step, struct metric_list *metrics);
void trainer_measure(const struct trainer *t, int64_t step, const struct update_metrics *m,
                     struct metric_list *metrics);
/* Rank 0: the metrics of t->audit, and its sentence in the log. */
void trainer_audit(const struct trainer *t, int64_t done, struct metric_list *metrics);
/* Learners together: RUN/samples/step-N.jsonl, the turns of the batch's first two dialogues. */
status trainer_write_samples(const struct trainer *t, int64_t step,
                             struct experience *const *dialogues, int64_t count);
/* Before the update: makes room in those turns for what it does to each token. */
void trainer_record_tokens(const struct trainer *t, struct experience *const *dialogues,
                           int64_t count);
/* Rank 0, of a run that goes on: its first evaluation, from RUN/evaluation-first.json. */
void trainer_resume_evaluations(struct trainer *t);
/* Rank 0: the held-out metrics; *stopped where a signal came before they were complete. */
status trainer_evaluate(struct trainer *t, struct metric_list *metrics, bool *stopped);

#endif
