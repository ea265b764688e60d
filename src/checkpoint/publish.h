/* Writing a checkpoint so that it is there whole or not at all: see checkpoint.h for the protocol.
 */
#ifndef REGARD_CHECKPOINT_PUBLISH_H
#define REGARD_CHECKPOINT_PUBLISH_H

#include "src/checkpoint/layout.h"

/* Makes RUN/checkpoints/ this job's: takes a new attempt number with an exclusive create and
 * removes what killed writers left.  Whoever holds an older number may not save any more. */
status checkpoint_claim(const char *run, int64_t *attempt);
/* Makes an empty step-N.tmp/.  *attempt 0 claims first.  This and checkpoint_publish refuse
 * once another job claimed after this one. */
status checkpoint_begin(const char *run, int64_t step, int64_t *attempt);

/* Copies the files that --model needs beside the weights (spiece.model, the tokenizer's
 * JSON files, idf.tsv) from one folder to another, where they exist, fsynced. */
status checkpoint_copy_tokenizer(const char *from, const char *to);

/* Checks that the folder holds exactly these files at their sizes, writes manifest.json,
 * fsyncs, renames step-N.tmp to step-N, fsyncs the parent.  An older step-N is replaced. */
status checkpoint_publish(const char *run, int64_t step, int64_t attempt,
                          const struct checkpoint_file *files, int64_t count);
/* After a failed save: its step-N.tmp goes, unless another job writes there now. */
void checkpoint_abandon(const char *run, int64_t step, int64_t attempt);
/* Deletes all but the last `keep` and `best` (-1: none), once the newest verified. */
status checkpoint_prune(const char *run, int64_t keep, int64_t best);

#endif
