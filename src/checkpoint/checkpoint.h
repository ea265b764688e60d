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

#include "src/checkpoint/find.h"
#include "src/checkpoint/layout.h"
#include "src/checkpoint/manifest.h"
#include "src/checkpoint/publish.h"
#include "src/checkpoint/state.h"
#include "src/checkpoint/tensors.h"

#endif
