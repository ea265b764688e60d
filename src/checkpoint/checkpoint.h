/* Checkpoints: RUN/checkpoints/step-000120/ with model.h5, learner-RRRR-of-LLLL.h5,
 * state.h5, the tokenizer's and idf table's files, and manifest.json, written last.
 * Writing is split into what one rank writes, what it reports (checkpoint_file_entry) and
 * what rank 0 publishes, so that mpi/ can gather and agree in between:
 *
 *   rank 0:      checkpoint_begin            makes step-N.tmp/ if the run is still this job's
 *   any rank:    checkpoint_write_*          files in that folder, flushed and fsynced
 *   any rank:    checkpoint_file_entry       name, size, SHA-256; gathered to rank 0
 *   rank 0:      checkpoint_publish          manifest, fsync, rename, fsync of the parent
 *   rank 0:      checkpoint_prune            only then are old ones deleted
 *
 * A folder is verified against its manifest before HDF5 opens anything in it. */
#ifndef REGARD_CHECKPOINT_CHECKPOINT_H
#define REGARD_CHECKPOINT_CHECKPOINT_H

#include "src/base/file.h"
#include "src/base/status.h"
#include "src/model/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHECKPOINT_FORMAT = 1,
    CHECKPOINT_PATH_MAX = 1024,
    CHECKPOINT_NAME_MAX = 96 /* of a file, a vector or an entry */
};

/* ---- names ---- */
/* RUN/checkpoints/step-000120 (or .tmp) */
void checkpoint_folder(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX]);
void checkpoint_temporary(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX]);
/* learner-0000-of-0002.h5 */
void checkpoint_slice_name(int learner, int learners, char out[CHECKPOINT_NAME_MAX]);

/* ---- writing ---- */
/* Makes RUN/checkpoints/ this job's: takes a new attempt number with an exclusive create and
 * removes what killed writers left.  Whoever holds an older number may not save any more. */
status checkpoint_claim(const char *run, int64_t *attempt);
/* Makes an empty step-N.tmp/.  *attempt 0 claims first.  This and checkpoint_publish refuse
 * once another job claimed after this one. */
status checkpoint_begin(const char *run, int64_t step, int64_t *attempt);

/* model.h5: every parameter as a float32 dataset, host [parameters' layout] holding the
 * values; the shape as attributes. */
status checkpoint_write_model(const char *folder, const struct parameters *parameters,
                              const float *host, const struct model_shape *shape);

/* A learner's part [offset, offset + count) of a flat vector of total floats. */
struct checkpoint_vector {
    const char *name;
    const float *values;
    int64_t count, total, offset;
};
status checkpoint_write_slice(const char *folder, int learner, int learners,
                              const struct checkpoint_vector *vectors, int64_t count);

enum checkpoint_kind {
    CHECKPOINT_TEXT, /* count bytes, no NUL needed */
    CHECKPOINT_BYTES,
    CHECKPOINT_FLOATS,
    CHECKPOINT_DOUBLES,
    CHECKPOINT_INTEGERS /* int64_t */
};
struct checkpoint_entry {
    const char *name;
    int kind;
    const void *values;
    int64_t count; /* elements; 0 is allowed */
};
/* state.h5 */
status checkpoint_write_state(const char *folder, const struct checkpoint_entry *entries,
                              int64_t count);
/* Copies the files that --model needs beside the weights (spiece.model, the tokenizer's
 * JSON files, idf.tsv) from one folder to another, where they exist, fsynced. */
status checkpoint_copy_tokenizer(const char *from, const char *to);

/* What a manifest says about a file.  Plain bytes: gathered as they are. */
struct checkpoint_file {
    char name[CHECKPOINT_NAME_MAX];
    int64_t size;
    char sha256[72]; /* 64 digits */
};
status checkpoint_file_entry(const char *folder, const char *name, struct checkpoint_file *out);
/* All files in a folder, by name; the caller frees *out. */
status checkpoint_list_files(const char *folder, struct checkpoint_file **out, int64_t *count);

/* Checks that the folder holds exactly these files at their sizes, writes manifest.json,
 * fsyncs, renames step-N.tmp to step-N, fsyncs the parent.  An older step-N is replaced. */
status checkpoint_publish(const char *run, int64_t step, int64_t attempt,
                          const struct checkpoint_file *files, int64_t count);
/* After a failed save: its step-N.tmp goes, unless another job writes there now. */
void checkpoint_abandon(const char *run, int64_t step, int64_t attempt);
/* Deletes all but the last `keep` and `best` (-1: none), once the newest verified. */
status checkpoint_prune(const char *run, int64_t keep, int64_t best);
/* manifest.json of a folder whose files are final: an imported model (step -1). */
status checkpoint_write_manifest(const char *folder, int64_t step,
                                 const struct checkpoint_file *files, int64_t count);

/* ---- reading ---- */
/* Manifest, sizes and hashes; anything missing, foreign or changed is one clear error.
 * *step may be NULL; -1 for an imported model. */
status checkpoint_verify(const char *folder, int64_t *step);
/* The newest checkpoint of a run that verifies; *step is -1 where there is none at all.
 * One that fails is set aside as step-N.bad with a warning and the one before it is tried.
 * Checkpoints exist (set aside ones too) and none verifies: an error.  look_only: the same, but
 * nothing is renamed. */
status checkpoint_newest(const char *run, bool look_only, char folder[CHECKPOINT_PATH_MAX],
                         int64_t *step);
/* Steps of the published checkpoints, ascending; the caller frees. */
status checkpoint_steps(const char *run, int64_t **steps, int64_t *count);

/* The next ones want a verified folder. */
status checkpoint_read_shape(const char *folder, struct model_shape **shape);
/* Into host [parameters' size]; a missing, unexpected or misshapen tensor is named. */
status checkpoint_read_model(const char *folder, const struct parameters *parameters, float *host);
/* The full flat vector put together from all slices, at any learner count; the caller frees. */
status checkpoint_read_vector(const char *folder, const char *name, float **values, int64_t *total);
/* An entry of state.h5, of the kind asked for; text gets a NUL after it.  The caller frees. */
status checkpoint_read_state(const char *folder, const char *name, int kind, void **values,
                             int64_t *count);
bool checkpoint_has_state(const char *folder, const char *name);

#endif
