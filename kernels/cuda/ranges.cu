/* Named ranges of a thread's time for Nsight Systems, around the spans of src/base/timeline.h.  A
 * toolkit may come without NVTX's headers (they need no library): the entries are missing then, and
 * the program does without (kernels/load.c). */
#ifndef __CUDACC__
#include "nvtx_host.h"
#define HAS_RANGES
#elif __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define HAS_RANGES
#endif

#ifdef HAS_RANGES
/* Nest; one thread pushes and pops its own. */
extern "C" __attribute__((visibility("default"))) void regard_cuda_range_push(const char *name)
{
    (void)nvtxRangePushA(name);
}

extern "C" __attribute__((visibility("default"))) void regard_cuda_range_pop(void)
{
    (void)nvtxRangePop();
}
#endif
