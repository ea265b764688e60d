/* The loop under every kind of run: resume, then step, report, save, evaluate and agree on stopping
 * until the updates are done.  A checkpoint that is due is written before the evaluation that is
 * due with it, so that an evaluation which fails or is interrupted costs no update; a run that goes
 * on from such a checkpoint begins with the evaluation.  A kind (train.c, sft.c) supplies what
 * differs as a table of functions.  All of them are called by all ranks, each rank doing what its
 * roles ask. */
#ifndef REGARD_MPI_RUN_LOOP_H
#define REGARD_MPI_RUN_LOOP_H

#include "mpi/exchange.h"
#include "mpi/folder.h"
#include "mpi/plan.h"
#include "mpi/rank_times.h"
#include "mpi/replicas.h"
#include "mpi/run_end.h"
#include "mpi/trace_file.h"
#include "src/learn/learner.h"
#include "src/report/metric_list.h"
#include "src/rollout/language.h"

#include <stdio.h>

/* What every kind of run has on every rank.  A kind's own struct begins with it. */
struct run {
    const struct config *config;
    struct world *world;
    int64_t updates; /* of the whole run */
    struct run_folder folder;
    struct queue *queue;
    bool profiled;                /* --profile */
    struct profile *profile;      /* rank 0's then, else NULL */
    bool traced;                  /* --trace */
    struct clock_offset clock;    /* when the trace began */
    struct rank_times *times;     /* while updates are made */
    struct dataset *data, *valid; /* valid NULL: none */
    struct language *language;
    struct exchange exchange;
    struct run_end *end;     /* NULL: all ranks agree after every update whether to go on */
    int64_t parameter_count; /* that are trained */
    int64_t frozen_count;    /* of the base under adapters */
    int64_t snapshot_bytes; /* planned: host memory of a learner's copy for a checkpoint, at most */
    struct learner *learner;  /* NULL on a rank that does not learn */
    char here[RANK_NAME_MAX]; /* "rank 1 (hosta), update 12": for errors of this rank's weights */
};

/* A held-out evaluation that decides when a run stops.  The metric's name is the one in
 * metrics.jsonl. */
struct run_watch {
    char metric[64];
    bool lower_is_better;
    int64_t
        patience; /* evaluations in a row that are not better end the run; 0: any number may be */
};

struct run_kind {
    const char *name; /* the verb; stands in checkpoints */
    /* Data, models, optimizer: all that may fail before anything is written. */
    status (*open)(struct run *run);
    /* --dry-run: lines that begin with '#'. */
    status (*describe)(struct run *run, FILE *out);
    /* Reads folder.checkpoint, where there is one. */
    status (*resume)(struct run *run);
    /* Connects ranks, once it is sure that the run begins.  An error is the same on all ranks: what
     * one rank meets is agreed on before the next thing that all do together. */
    status (*connect)(struct run *run);
    /* Before the first step, where there is one to do; NULL: nothing. */
    status (*begin)(struct run *run);
    /* Update number `step`, counted from 0.  Rank 0 fills in the update's metrics; tokens is how
     * many were learned from. */
    status (*step)(struct run *run, int64_t step, struct metric_list *metrics, int64_t *tokens);
    /* Whether the held-out metrics are due after so many updates. */
    bool (*evaluates)(const struct run *run, int64_t step);
    /* Held-out metrics; rank 0 fills them in.  *stopped, on rank 0: a signal came before they were
     * complete. */
    status (*evaluate)(struct run *run, struct metric_list *metrics, bool *stopped);
    /* What an audit that was due with the last update found, on rank 0: metrics (else none), and
     * whether the run is to end for it.  NULL: there are no audits. */
    void (*audit)(struct run *run, int64_t done, struct metric_list *metrics, bool *against);
    /* What decides about stopping. */
    struct run_watch (*watch)(const struct run *run);
    /* Learners: a checkpoint after so many updates. */
    status (*save)(struct run *run, int64_t step);
    /* Once, after the last step; before the last of the run after a stop.  NULL: nothing.  What was
     * sent ahead is taken. */
    status (*finish)(struct run *run);
    /* Whatever of it was opened. */
    status (*close)(struct run *run);
};

/* Collective over all ranks.  run is all zeros but for config, world and updates. */
status run_loop(struct run *run, const struct run_options *options, const struct run_kind *kind);

/* For open and close: the queue, data.train, data.valid, tokenizer; and each by itself.  data:
 * builds the idf table where the model's folder has none; or NULL. */
status run_open(struct run *run);
status run_open_queue(struct run *run);
status run_open_data(struct run *run);
status run_open_language(struct run *run, const struct dataset *data);
status run_close(struct run *run);
/* For a plan: what a learner that is there in it (NULL: none) will copy for a checkpoint; past:
 * with so many older versions. */
void run_plan_snapshot(struct run *run, const struct learner *learner, int64_t past);

#endif
