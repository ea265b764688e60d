/* Which back end a queue is of: the CPU's, which is linked in, or CUDA's, a module that is loaded
 * when it is asked for, so that the program starts without a driver, a GPU or a toolkit. */
#ifndef REGARD_KERNELS_LOAD_H
#define REGARD_KERNELS_LOAD_H

#include "kernels/ops.h"

/* device "auto" is CUDA where it works and the CPU elsewhere, with a line in the log.
 * REGARD_CUDA_MODULE names another module than regard_cuda.so beside the program. */
status queue_create(const struct queue_options *options, struct queue **out);

#endif
