/* A learner's part of a checkpoint: taken from the learner and written, piece by piece.  Taking
 * wants the thread that learns.  Where training goes on meanwhile, what a checkpoint holds is
 * copied into memory of its own: what changes at any time (counters, statistics, older versions)
 * and what lies on a device when it is taken; policy, critic, reference and moments on the host,
 * which stand still until an optimizer's next step, by run_snapshot_settle, before they are written
 * and before they change.  Writing then touches nothing that learning changes. */
#ifndef REGARD_MPI_RUN_SNAPSHOT_H
#define REGARD_MPI_RUN_SNAPSHOT_H

#include "mpi/folder.h"
#include "mpi/past_weights.h"
#include "src/learn/learner.h"
#include "src/rollout/language.h"

enum run_snapshot_piece {
    SNAPSHOT_POLICY, /* learner 0: model.h5 */
    SNAPSHOT_STATE,  /* learner 0: state.h5, tokenizer, idf table */
    SNAPSHOT_SLICE,  /* learner-RRRR-of-LLLL.h5 */
    SNAPSHOT_PIECES
};

/* Whose it is; all of it stays while the snapshot is there. */
struct run_snapshot_source {
    struct run_folder *folder;
    struct learner *learner;
    const struct language *language;
    int64_t step;              /* updates done */
    struct past_weights *past; /* the versions before; NULL: none */
    bool apart;                /* training goes on while it is written */
};

struct run_snapshot;

struct run_snapshot *run_snapshot_create(const struct run_snapshot_source *source);
status run_snapshot_take(struct run_snapshot *snapshot, enum run_snapshot_piece piece);
/* After all pieces are taken, and on any threads: when it returns the learner may change anything.
 */
void run_snapshot_settle(struct run_snapshot *snapshot);
/* Into the folder `path`; the piece's memory is given back, whatever comes of it. */
status run_snapshot_write(struct run_snapshot *snapshot, enum run_snapshot_piece piece,
                          const char *path);
void run_snapshot_destroy(struct run_snapshot *snapshot);

/* Host memory of all pieces of a learner, in bytes; past: how many older versions there are. */
int64_t run_snapshot_bytes(const struct learner *learner, int64_t past);

#endif
