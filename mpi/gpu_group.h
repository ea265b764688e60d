/* The GPUs of a communicator's ranks, where they can exchange by themselves (NCCL,
 * kernels/collective.h).  MPI agrees on whether they can and makes the first contact; every wait
 * polls, sleeps, and ends at the watchdog with rank, operation and step. */
#ifndef REGARD_MPI_GPU_GROUP_H
#define REGARD_MPI_GPU_GROUP_H

#include "kernels/collective.h"
#include "mpi/transport.h"

struct gpu_group;

/* Ranks of a world that exchange something. */
enum gpu_members { GPU_LEARNERS, GPU_WEIGHTS };

/* By all of these ranks together, and a no-op on others: *out is a group where every rank has a
 * GPU of its own and the calls for it, else NULL, and then their first rank logs why, where GPUs
 * are there at all.  size: floats of the vectors to come, which must agree.  REGARD_NCCL=off:
 * never; force: also where a GPU is shared, which NCCL then refuses.  Ranks of one GPU whose
 * NCCL_HOSTID differs do not share it, for NCCL neither (docs/gpu.md). */
status gpu_group_open(struct world *world, struct queue *queue, enum gpu_members members,
                      int64_t size, struct gpu_group **out);
/* Collective, after the last call; NULL is allowed. */
status gpu_group_close(struct gpu_group *group);
/* This rank alone gives up: what is under way ends, other ranks see it.  NULL is allowed. */
void gpu_group_abort(struct gpu_group *group);

/* Of kernels/collective.h, until they are ordered on the device (begin) or done (finish).  what
 * names the operation in errors. */
status gpu_group_reduce(struct gpu_group *group, float *values,
                        const struct collective_range *ranges, int count, const char *what);
status gpu_group_broadcast(struct gpu_group *group, float *values,
                           const struct collective_range *ranges, int count, const char *what);
status gpu_group_finish(struct gpu_group *group, const char *what);

#endif
