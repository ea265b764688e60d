/* The CUDA queue: one stream, copies, and the first error until somebody waits. */
#include "cuda.cuh"

#include <stdlib.h>

void cuda_fail(struct queue *q, status error)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    if (cuda->error)
        status_free(error);
    else
        cuda->error = error;
}

void cuda_check(struct queue *q, cudaError_t error, const char *call)
{
    if (error == cudaSuccess || cuda_queue_of(q)->error) return;
    cuda_fail(q, ERROR(STATUS_INTERNAL, "%s: %s", call, cudaGetErrorString(error)));
}

void cuda_allow_shared(struct queue *q, const void *kernel, size_t bytes)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    const int room = int(sizeof cuda->large_kernel / sizeof *cuda->large_kernel);
    if (bytes <= kernel_shared_default) return;
    for (int i = 0; i < cuda->large_kernels; i++)
        if (cuda->large_kernel[i] == kernel) return;
    const cudaError_t error = kernel_allow_shared(kernel, cuda->block_shared);
    cuda_check(q, error, "cudaFuncSetAttribute");
    if (error == cudaSuccess && cuda->large_kernels < room)
        cuda->large_kernel[cuda->large_kernels++] = kernel;
}

status cuda_host_allocate(struct queue *q, size_t bytes, void **out)
{
    (void)q;
    *out = NULL;
    const cudaError_t error = cudaMallocHost(out, bytes ? bytes : 1);
    if (error != cudaSuccess)
        FAIL(STATUS_INTERNAL, "%zu bytes of pinned host memory: %s", bytes,
             cudaGetErrorString(error));
    return NULL;
}

void cuda_host_release(struct queue *q, void *memory)
{
    if (memory) cuda_check(q, cudaFreeHost(memory), "cudaFreeHost");
}

static void copy(struct queue *q, void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                 const char *what)
{
    if (!bytes) return;
    cuda_check(q, cudaMemcpyAsync(to, from, bytes, kind, cuda_queue_of(q)->stream), what);
    cuda_node(q, what, 0, 0, 0);
}

void cuda_upload(struct queue *q, void *to, const void *host_from, size_t bytes)
{
    copy(q, to, host_from, bytes, cudaMemcpyHostToDevice, "upload");
}

void cuda_download(struct queue *q, void *host_to, const void *from, size_t bytes)
{
    copy(q, host_to, from, bytes, cudaMemcpyDeviceToHost, "download");
}

void cuda_copy(struct queue *q, void *to, const void *from, size_t bytes)
{
    copy(q, to, from, bytes, cudaMemcpyDeviceToDevice, "copy");
}

void cuda_zero(struct queue *q, void *to, size_t bytes)
{
    if (!bytes) return;
    cuda_check(q, cudaMemsetAsync(to, 0, bytes, cuda_queue_of(q)->stream), "zero");
    cuda_node(q, "zero", 0, 0, 0);
}

static status mistake_status(int mistake)
{
    static const char *const said[CUDA_MISTAKES] = {"", "a target lies outside the vocabulary",
                                                    "a token lies outside the vocabulary"};
    const bool known = mistake > 0 && mistake < CUDA_MISTAKES;
    return ERROR(STATUS_INTERNAL, "%s", known ? said[mistake] : "a kernel found a bad input");
}

status cuda_synchronize(struct queue *q)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    copy(q, cuda->mistake_seen, cuda->mistake, sizeof *cuda->mistake, cudaMemcpyDeviceToHost,
         "synchronize");
    cuda_check(q, cudaStreamSynchronize(cuda->stream), "synchronize");
    if (*cuda->mistake_seen) {
        cuda_fail(q, mistake_status(*cuda->mistake_seen));
        *cuda->mistake_seen = 0;
        cuda_zero(q, cuda->mistake, sizeof *cuda->mistake);
    }
    status error = cuda->error;
    cuda->error = NULL;
    return error;
}

void cuda_mark(struct queue *q, int slot)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    cuda_check(q, cudaEventRecord(cuda->mark[slot], cuda->stream), "cudaEventRecord");
}

void cuda_mark_wait(struct queue *q, int slot)
{
    cuda_check(q, cudaEventSynchronize(cuda_queue_of(q)->mark[slot]), "cudaEventSynchronize");
}

void cuda_destroy(struct queue *q)
{
    if (!q) return;
    struct cuda_queue *cuda = cuda_queue_of(q);
    if (cuda->stream) (void)cudaStreamDestroy(cuda->stream);
    for (cudaEvent_t event : cuda->mark)
        if (event) (void)cudaEventDestroy(event);
    cuda_blas_release(q);
    cuda_memory_destroy(&cuda->memory);
    (void)cudaFree(cuda->mistake);
    (void)cudaFreeHost(cuda->mistake_seen);
    status_free(cuda->error);
    free(cuda);
}

/* Without a driver the count is not written. */
static status device_choose(struct cuda_queue *cuda, int device)
{
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) FAIL(STATUS_INPUT, "device: cuda: %s", cudaGetErrorString(error));
    if (count < 1) FAIL(STATUS_INPUT, "device: cuda: there is no GPU");
    cuda->device = device % count;
    const cudaError_t chosen = cudaSetDevice(cuda->device);
    if (chosen != cudaSuccess)
        FAIL(STATUS_INPUT, "device: cuda: GPU %d: %s", cuda->device, cudaGetErrorString(chosen));
    return NULL;
}

static status queue_fill(struct cuda_queue *cuda, int device, bool eager)
{
    /* Read when the driver starts, before the first call of it; whoever has set it knows better. */
    if (eager && setenv("CUDA_MODULE_LOADING", "EAGER", 0))
        FAIL(STATUS_INTERNAL, "CUDA_MODULE_LOADING cannot be set");
    TRY(device_choose(cuda, device));
    cuda_check(&cuda->base,
               cudaDeviceGetAttribute(&cuda->block_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                      cuda->device),
               "cudaDeviceGetAttribute");
    cuda_check(&cuda->base, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
               "cudaStreamCreate");
    for (cudaEvent_t &event : cuda->mark)
        cuda_check(&cuda->base, cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
                   "cudaEventCreate");
    cuda_check(&cuda->base, cudaMalloc(&cuda->mistake, sizeof *cuda->mistake), "cudaMalloc");
    cuda_check(&cuda->base, cudaMallocHost(&cuda->mistake_seen, sizeof *cuda->mistake_seen),
               "cudaMallocHost");
    if (!cuda->error) cuda_zero(&cuda->base, cuda->mistake, sizeof *cuda->mistake);
    if (!cuda->error) return cuda_synchronize(&cuda->base);
    status error = cuda->error;
    cuda->error = NULL;
    return error;
}

status cuda_queue_open(const struct ops *operations, int device,
                       const struct queue_options *options, struct queue **out)
{
    *out = NULL;
    const size_t real_bytes = options->real_bytes ? options->real_bytes : sizeof(float);
    if (real_bytes != 4 && real_bytes != 2)
        FAIL(STATUS_INTERNAL, "elements of %zu bytes: 4 or 2", real_bytes);
    struct cuda_queue *cuda = (struct cuda_queue *)calloc(1, sizeof *cuda);
    if (!cuda) FAIL(STATUS_INTERNAL, "no memory for a queue");
    cuda->table = *operations;
    cuda->base.op = &cuda->table;
    cuda->base.threads = options->threads ? options->threads : 1;
    cuda->base.real_bytes = real_bytes;
    cuda->base.exact = options->exact;
    cuda->tune = options->tune;
    status error = queue_fill(cuda, device, options->eager);
    if (error) {
        cuda_destroy(&cuda->base);
        return error;
    }
    *out = &cuda->base;
    return NULL;
}
