/* Between cuda_host.cc (blocks), cuda_runtime.cc (memory, streams) and cuda_check.cc (accesses). */
#pragma once
#include "cuda_host.h"

namespace cuda_host
{
struct running { /* where the code that runs now stands; owned by cuda_host.cc */
    bool in_kernel;
    unsigned thread;           /* within the block */
    char *stack, *stack_end;   /* of the thread */
    char *shared, *shared_end; /* dynamic shared memory of the block */
    char *fixed, *fixed_end;   /* static shared memory of the block */
    const char *call;          /* the launch's arguments */
    size_t call_bytes;
};
extern running now;

constexpr size_t max_threads = 1024; /* of a block */
struct fault_state {                 /* the first fault stays, as in a broken CUDA context */
    int faults;
    cudaError_t error;
    char message[512];
};
extern fault_state state;
cudaError_t misuse(cudaError_t error, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* reports and returns it */
enum order_kind { forward, backward, shuffled };
struct order { /* of threads and blocks; shuffled: the generator's state */
    order_kind kind;
    uint64_t random;
};
order order_named(const char *name);            /* as CUDA_HOST_ORDER */
void blocks_run(const call *what, order *with); /* all blocks of a launch, now */
void launch_count(const char *name);            /* one more, into CUDA_HOST_LAUNCHES at the end */
void guards_check();                            /* of all live allocations */
struct allocation {
    char *data;
    size_t bytes;
    struct cell *cells; /* one a byte, when accesses are checked */
};
const allocation *allocation_find(const void *pointer); /* the live one that holds it, or null */

/* Work of a stream that goes on by being asked: `poll` is called, with the device's memory open,
 * until it says true; what stands behind it waits. */
cudaError_t stream_poll(cudaStream_t stream, std::function<bool()> poll);
bool range_is_device(const char *call, const void *pointer, size_t bytes); /* else a fault */

struct device_access { /* while one lives, the device's memory is open to this code */
    device_access();
    ~device_access();
    device_access(const device_access &) = delete;
};
char *region_allocate(size_t bytes); /* null when there is no room */
void region_free(char *block, size_t bytes);

/* What follows does nothing unless some code was compiled with -fsanitize=thread (and linked
 * without): see cuda_check.cc. */
struct cell *check_cells_create(size_t bytes);
void check_cells_destroy(struct cell *cells);
void check_written(void *to, const void *from, size_t bytes); /* by a copy (from) or a set (null) */
void check_launch_begins();
void check_block_begins();
void check_barrier(); /* of the block */
void check_syncwarp(unsigned warp, unsigned mask);
void check_fence();
void check_access(const void *address, size_t bytes, bool write, bool atomic, const void *code);
void check_copy(const void *to, size_t bytes, bool landed,
                const void *code); /* cp.async: issued, waited for */
} /* namespace cuda_host */
