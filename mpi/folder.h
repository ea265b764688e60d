/* The folder of a run, of both kinds: who may use it, what is resumed, what is reported. */
#ifndef REGARD_MPI_FOLDER_H
#define REGARD_MPI_FOLDER_H

#include "mpi/run.h"
#include "src/checkpoint/checkpoint.h"
#include "src/report/metric_list.h"
#include "src/report/metrics.h"
#include "src/report/progress.h"
#include "src/report/tensorboard.h"

struct run_folder {
    const struct run_options *options;
    struct world *world;
    const char *kind;                     /* "train" or "sft" */
    char checkpoint[CHECKPOINT_PATH_MAX]; /* resumed from; empty: none */
    int64_t start;                        /* updates done by it */
    int64_t best;                         /* step of the best evaluation, -1 */
    double best_metric;
    int64_t worse;             /* evaluations since */
    int64_t attempt;           /* rank 0: this job's fence, taken by run_folder_start */
    char changed[1024];        /* rank 0: what --change made otherwise, as text; or empty */
    struct metric_list change; /* rank 0: their new numbers, for the first update's metrics */
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
/* Rank 0: measurements into metrics.jsonl and TensorBoard; a step's also to the progress line. */
status run_folder_record(struct run_folder *folder, int64_t step, const struct metric *list,
                         int64_t count);
status run_folder_report(struct run_folder *folder, int64_t step, double seconds, double tokens,
                         const struct metric *list, int64_t count);
/* Keeps the best of the held-out scores (higher is better); true once `patience` in a row (0:
 * any number) were not better. */
bool run_folder_judge(struct run_folder *folder, int64_t step, double score, int64_t patience);

#endif
