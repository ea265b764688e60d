/* The CUDA table of operations, and the module's one entry. */
#include "cuda.cuh"

#include <stdlib.h>

enum operation {
#define NUMBER(name) operation_##name,
    CUDA_OPERATIONS(NUMBER)
#undef NUMBER
};

static const char *const operation_names[] = {
#define NAME(name) #name,
    CUDA_OPERATIONS(NAME)
#undef NAME
};

/* Stands for an operation that is not there yet: fails with its name. */
template <class F, int number> struct missing;
template <class R, class... P, int number> struct missing<R (*)(struct queue *, P...), number> {
    static R call(struct queue *q, P...)
    {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "device: cuda has no operation %s yet",
                           operation_names[number]));
        return R();
    }
};

static struct ops table_new(void)
{
    struct ops table = {};
    table.name = "cuda";
#define FILL(operation)                                                                            \
    table.operation = &cuda_##operation                                                            \
                          ? &cuda_##operation                                                      \
                          : missing<decltype(ops::operation), operation_##operation>::call;
    CUDA_OPERATIONS(FILL)
#undef FILL
    return table;
}

status cuda_queue_open(const struct ops *operations, int device, int threads, size_t real_bytes,
                       struct queue **out);

/* A queue on GPU `device` (modulo those there are), whose `real` has real_bytes bytes. */
extern "C" __attribute__((visibility("default"))) status
regard_cuda_queue_create(int device, int threads, size_t real_bytes, struct queue **out)
{
    const struct ops table = table_new();
    return cuda_queue_open(&table, device, threads, real_bytes, out);
}
