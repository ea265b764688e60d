/* The folder of a run, of any kind: who may use it, what is resumed, what is reported. */
#ifndef REGARD_MPI_FOLDER_H
#define REGARD_MPI_FOLDER_H

#include "mpi/inputs.h"
#include "mpi/run.h"
#include "src/checkpoint/checkpoint.h"
#include "src/report/metric_list.h"
#include "src/report/metrics.h"
#include "src/report/progress.h"
#include "src/report/tensorboard.h"

/* What the held-out evaluations came to; of the metric that is watched, higher is better here.
 * Steps are -1 where there is none. */
struct run_evaluations {
    int64_t evaluated; /* the step evaluated last */
    double metric;
    int64_t best; /* the step that was best */
    double best_metric;
    int64_t worse;      /* evaluations since that were not better */
    int64_t best_saved; /* the best of those that have a checkpoint */
    double best_saved_metric;
};

struct run_folder {
    const struct run_options *options;
    struct world *world;
    const char *kind;                     /* "train", "sft" or "reward" */
    char checkpoint[CHECKPOINT_PATH_MAX]; /* resumed from; empty: none */
    int64_t start;                        /* updates done by it */
    struct run_evaluations evaluations;
    struct run_inputs inputs;  /* what the run is made from */
    int64_t attempt;           /* rank 0: this job's fence, taken by run_folder_start */
    char changed[1024];        /* rank 0: what --change made otherwise, as text; or empty */
    struct metric_list change; /* rank 0: their new numbers, for the next line of metrics */
    struct metrics *metrics;   /* rank 0 */
    struct tensorboard *board; /* rank 0 */
    struct progress progress;
    bool unlinked;           /* a warning that links are not possible was given */
    char reference_hash[65]; /* of the reference's parameters, once they were hashed; or empty */
    struct run_save *save;   /* a checkpoint that is being written (run_checkpoint.h); NULL: none */
    bool save_waited;        /* that one waited for the one before was said */
};

/* Refuses a folder in use, finds the checkpoint to go on from (collective), checks that
 * configuration and inputs may go on with it.  Nothing is written in a dry run. */
status run_folder_open(struct world *world, const struct run_options *options, const char *kind,
                       const struct run_inputs *inputs, struct run_folder *folder);
/* Rank 0: resolved config, metrics, TensorBoard, progress. */
status run_folder_start(struct run_folder *folder, int64_t total);
status run_folder_close(struct run_folder *folder);
/* Rank 0: whether a step has a line in metrics.jsonl: every log.metrics_every, and the last. */
bool run_folder_due(const struct run_folder *folder, int64_t step);
/* Rank 0: measurements into metrics.jsonl and TensorBoard; a step's, where it has a line, and to
 * the progress line. */
status run_folder_record(struct run_folder *folder, int64_t step, const struct metric *list,
                         int64_t count);
status run_folder_report(struct run_folder *folder, int64_t step, double seconds, double tokens,
                         const char *times, const struct metric *list, int64_t count);
/* Rank 0: checkpoints/newest is the step, checkpoints/best the best that was saved; a file system
 * without symbolic links costs a warning.  While a checkpoint is being written nothing is done: it
 * links when it is there. */
void run_folder_link(struct run_folder *folder, int64_t newest);
/* Takes note of an evaluation at a step. */
void evaluations_add(struct run_evaluations *e, int64_t step, double metric);
/* Takes note that this step has a checkpoint: it may be the best of those. */
void evaluations_saved(struct run_evaluations *e, int64_t step);

#endif
