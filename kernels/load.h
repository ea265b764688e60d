/* Which back end a queue is of: the CPU's, which is linked in, or CUDA's, a module that is loaded
 * when it is asked for, so that the program starts without a driver, a GPU or a toolkit. */
#ifndef REGARD_KERNELS_LOAD_H
#define REGARD_KERNELS_LOAD_H

#include "kernels/ops.h"
#include "src/base/config.h"

/* device: "cpu", "cuda" or "auto", which is CUDA where it works and the CPU elsewhere, with a line
 * in the log; ":N" behind it chooses GPU N modulo those there are (a rank's local number).
 * threads and instructions are the CPU's.  REGARD_CUDA_MODULE names another module than
 * regard_cuda.so beside the program. */
status queue_create(const char *device, int threads, const char *instructions, struct queue **out);

/* The same with a `real` of real_bytes bytes: 4 or, on CUDA alone, 2. */
status queue_create_of(size_t real_bytes, const char *device, int threads, const char *instructions,
                       struct queue **out);

/* The queue that the configuration asks for, of the local_rank-th rank of a machine. */
status queue_open(const struct config *config, int local_rank, struct queue **out);

#endif
