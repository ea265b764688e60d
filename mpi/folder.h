/* What both kinds of runs share: the run folder, its checkpoints and their resume. */
#ifndef REGARD_MPI_FOLDER_H
#define REGARD_MPI_FOLDER_H

#include "mpi/run.h"
#include "src/checkpoint/checkpoint.h"
#include "src/learn/learner.h"
#include "src/report/metrics.h"
#include "src/report/progress.h"
#include "src/report/tensorboard.h"
#include "src/rollout/language.h"

struct run_folder {
    const struct run_options *options;
    struct world *world;
    const char *kind;                     /* "train" or "sft" */
    char checkpoint[CHECKPOINT_PATH_MAX]; /* resumed from; empty: none */
    int64_t start;                        /* updates done by it */
    int64_t best;                         /* step of the best evaluation, -1 */
    double best_metric;
    int64_t worse;             /* evaluations since */
    int64_t attempt;           /* rank 0: this job's fence, 0 before its first save */
    struct metrics *metrics;   /* rank 0 */
    struct tensorboard *board; /* rank 0 */
    struct progress progress;
};

/* Refuses a folder in use, finds the checkpoint to go on from (collective), checks that the
 * configuration may go on with it.  Nothing is written in a dry run. */
status run_folder_open(struct world *world, const struct run_options *options, const char *kind,
                       struct run_folder *folder);
/* Rank 0: resolved config, metrics, TensorBoard, progress. */
status run_folder_start(struct run_folder *folder, int64_t total);
void run_folder_close(struct run_folder *folder);
/* Rank 0: one step's measurements everywhere. */
status run_folder_report(struct run_folder *folder, int64_t step, double seconds, double tokens,
                         const struct metric *list, int64_t count);

/* Builds policy (and language) for a run: model.path, or a new model from the shape keys. */
status run_model_open(const struct config *config, struct queue *queue, bool with_gradients,
                      const struct language *language, struct t5 **out);
/* Collective over learners: writes and publishes step-N with policy, optimizer, critic, running
 * statistics, config and tokenizer.  lagging: NULL, or the weights one update older. */
status run_checkpoint_save(struct run_folder *folder, struct learner *learner,
                           const struct language *language, int64_t step, const float *lagging);
/* Policy values, optimizer, critic and statistics from folder->checkpoint; *lagging is
 * allocated where it was saved, else NULL. */
status run_checkpoint_load(struct run_folder *folder, struct learner *learner, float **lagging);

/* The exchange of a learner over the learners' communicator. */
void run_exchange(struct world *world, struct learner_exchange *exchange);

#endif
