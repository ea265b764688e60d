/* Ranks that do not run the same thing train on without a word, to no model in particular.  So at
 * the start each rank compares itself with rank 0: program, options, settings, data, tokenizer,
 * models. */
#ifndef REGARD_MPI_AGREEMENT_H
#define REGARD_MPI_AGREEMENT_H

#include "mpi/inputs.h"
#include "mpi/run.h"

/* Whether all ranks run the same program with the same options and settings; else the same error on
 * all, with rank, host and what differs.  Keys whose values are paths may differ: what lies there
 * is compared by agree_on_inputs.  threads and instructions are each rank's own.  Collective;
 * before roles are given out. */
status agree_on_settings(struct world *world, const struct run_options *options, const char *verb);
/* The same of what the settings name.  *mine is this rank's, with the models' hashes where there
 * are other ranks to compare with. */
status agree_on_inputs(struct world *world, const struct run_options *options,
                       struct run_inputs *mine);

#endif
