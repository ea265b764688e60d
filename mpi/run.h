/* Training, supervised fine-tuning and reward models as runs: a folder, checkpoints, resume, all
 * ranks. */
#ifndef REGARD_MPI_RUN_H
#define REGARD_MPI_RUN_H

#include "mpi/transport.h"
#include "src/base/config.h"

enum run_resume { RUN_FRESH, RUN_RESUME, RUN_RESUME_AUTO };

struct run_options {
    struct config config;
    char folder[1024]; /* --run */
    enum run_resume resume;
    bool dry;                      /* --dry-run: check, print, do nothing */
    bool profile;                  /* --profile: rank 0 says where its updates' time went */
    bool trace;                    /* --trace: RUN/trace.json, of all ranks */
    struct config_changes changes; /* --change: of a resumed run's settings */
    const char *line;              /* the command line */
    const char *version;           /* of the program, for the manifest and the log */
};

/* Collective over all ranks of a world whose roles are set.  STATUS_STOPPED after a signal. */
status train_run(struct world *world, const struct run_options *options);
status sft_run(struct world *world, const struct run_options *options);
status reward_run(struct world *world, const struct run_options *options);

#endif
