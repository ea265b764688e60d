/* The CUDA table of operations, and the module's one entry. */
#include "cuda.cuh"

static struct ops table_new(void)
{
    struct ops table = {};
    table.name = "cuda";
#define FILL(operation) table.operation = cuda_##operation;
    CUDA_OPERATIONS(FILL)
#undef FILL
#define COUNT(operation) +1
    static_assert(sizeof table == sizeof(void *) * (1 CUDA_OPERATIONS(COUNT)),
                  "an operation is not in CUDA_OPERATIONS");
#undef COUNT
    return table;
}

/* A queue on GPU `device`, modulo those there are. */
extern "C" __attribute__((visibility("default"))) status
regard_cuda_queue_create(int device, const struct queue_options *options, struct queue **out)
{
    const struct ops table = table_new();
    return cuda_queue_open(&table, device, options, out);
}
