/* The ranks of a run and what they say to each other.  Everything that waits does so by
 * testing and sleeping (docs/pitfalls.md: a blocked rank burns a core), and the watchdog ends all
 * ranks where a wait is in vain (mpi/watchdog.h).  World size 1 needs no mpirun. */
#ifndef REGARD_MPI_TRANSPORT_H
#define REGARD_MPI_TRANSPORT_H

#include "mpi/roles.h"
#include "src/base/status.h"
#include "src/base/version.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world_groups; /* communicators, transport_mpi.c's */

struct world {
    int rank, size;
    struct roles roles;
    int local_rank;       /* among the ranks of this host */
    double patience;      /* watchdog.seconds */
    _Atomic int64_t step; /* set by the caller; the watchdog's thread names it */
    struct world_groups *groups;
};

/* MPI_Init (once a process); rank and size are known, roles are those of one learner and
 * patience is 600 s until world_roles. */
status world_create(int *argc, char ***argv, struct world **out);
/* learners: a power of two, at most the size.  When all ranks learn, all are actors too.
 * Collective; patience in seconds. */
status world_roles(struct world *world, int64_t learners, double patience);
/* MPI_Finalize, in which ranks wait for each other; a broken world is left as it is. */
void world_destroy(struct world *world);

/* An error that other ranks do not share, while they may wait for this one: nothing is exchanged
 * any more, and what NCCL has under way is given up.  What follows is freeing at most, and main,
 * which ends all ranks.  The world of a single rank never breaks. */
void world_break(struct world *world);
bool world_is_broken(const struct world *world);
/* For main, as its last act: ends all ranks where MPI still runs and there are others. */
void transport_end(int code);

/* The name of a rank's host. */
const char *world_host(const struct world *world, int rank);

/* Turns a local outcome into one that all ranks share: NULL when it is NULL everywhere, else
 * on every rank an error with the greatest code and the message of the lowest rank that has
 * that code, which it names.  Frees the local one.  Collective. */
status world_agree(struct world *world, status local);
/* The greatest of the ranks' values.  Collective. */
status world_maximum(struct world *world, int64_t value, int64_t *out);

/* The sums of the ranks' values [count], on all.  Collective. */
status world_sum(struct world *world, int64_t *values, int64_t count);

status world_barrier(struct world *world, const char *what);
/* data [size] from root to all; size known on every rank. */
status world_broadcast(struct world *world, void *data, size_t size, int root);
/* data [size] from rank 0 to the actors; only they call it. */
status actors_broadcast(struct world *world, void *data, size_t size, const char *what);

/* Between learners only. */
status learners_barrier(struct world *world);
/* Bytes of every learner to every learner, in learner order; the caller frees both. */
status learners_allgather_bytes(struct world *world, const void *data, size_t size, char **all,
                                size_t **sizes);

/* Messages of any size up to 2^40 bytes, tagged (tag 0 .. 1000), that leave while the caller
 * works: begun here, their data untouched until they are finished.  *out may be NULL; after an
 * error in finish the data must stay, since the transport may still read it. */
struct sending;
status world_send_begin(struct world *world, const void *data, size_t size, int to, int tag,
                        struct sending **out);
status world_send_finish(struct world *world, struct sending *sending, const char *what);
/* The next one from any rank; the caller frees *data.  *sender is known even when it is bad. */
status world_receive(struct world *world, int tag, const char *what, void **data, size_t *size,
                     int *sender);

/* Moves on what is under way: MPI does so only while it is called. */
void transport_progress(const struct world *world);

/* Whether MPI takes pointers to a GPU's memory (CUDA-aware; Debian's is not). */
bool transport_reads_devices(void);

void transport_library_version(char out[LIBRARY_VERSION_TEXT]); /* "Open MPI v4.1.4" */

#endif
