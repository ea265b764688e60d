/* kernels/collective.h by NCCL.  Communicators do not block: any call may return ncclInProgress,
 * and until ncclCommGetAsyncError says success neither NCCL nor the communication stream may be
 * used. The ranges run on a stream of their own, which waits for the queue's by an event. */
#include "cuda.cuh"
#include "nccl.cuh"
extern "C" {
#include "kernels/collective.h"
}

#include <stdlib.h>
#include <string.h>

enum collective_state { STARTING, IDLE, ISSUING, RUNNING, FINISHING };

struct collective {
    struct queue *queue;
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t before, after; /* what the queue held; all that was issued */
    collective_state state;
};

static_assert(COLLECTIVE_ID_BYTES == NCCL_UNIQUE_ID_BYTES, "the id travels as bytes");

static status nccl_status(ncclResult_t result, ncclComm_t comm)
{
    if (result == ncclSuccess || result == ncclInProgress) return NULL;
    const char *last = ncclGetLastError(comm);
    FAIL(STATUS_INTERNAL, "NCCL: %s%s%s", ncclGetErrorString(result), last && last[0] ? ": " : "",
         last ? last : "");
}

static status cuda_status(cudaError_t error, const char *call)
{
    if (error == cudaSuccess) return NULL;
    FAIL(STATUS_INTERNAL, "%s: %s", call, cudaGetErrorString(error));
}

static status nccl_identify(char id[COLLECTIVE_ID_BYTES])
{
    ncclUniqueId unique;
    TRY(nccl_status(ncclGetUniqueId(&unique), NULL));
    memcpy(id, unique.internal, COLLECTIVE_ID_BYTES);
    return NULL;
}

static status nccl_device_name(struct queue *q, char name[COLLECTIVE_DEVICE_BYTES])
{
    return cuda_status(
        cudaDeviceGetPCIBusId(name, COLLECTIVE_DEVICE_BYTES, cuda_queue_of(q)->device),
        "cudaDeviceGetPCIBusId");
}

/* What CUDA itself made; the communicator is gone. */
static void nccl_release(struct collective *c)
{
    if (c->before) (void)cudaEventDestroy(c->before);
    if (c->after) (void)cudaEventDestroy(c->after);
    if (c->stream) (void)cudaStreamDestroy(c->stream);
    free(c);
}

static void nccl_abort(struct collective *c)
{
    if (c->comm) (void)ncclCommAbort(c->comm);
    nccl_release(c);
}

static void nccl_destroy(struct collective *c)
{
    if (c->comm) (void)ncclCommDestroy(c->comm);
    nccl_release(c);
}

static status nccl_begin(struct queue *q, const char id[COLLECTIVE_ID_BYTES], int rank, int ranks,
                         struct collective **out)
{
    *out = NULL;
    struct collective *c = (struct collective *)calloc(1, sizeof *c);
    if (!c) FAIL(STATUS_INTERNAL, "no memory for a communicator");
    c->queue = q;
    ncclUniqueId unique;
    memcpy(unique.internal, id, COLLECTIVE_ID_BYTES);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    status error = cuda_status(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking),
                               "cudaStreamCreate");
    if (!error)
        error = cuda_status(cudaEventCreateWithFlags(&c->before, cudaEventDisableTiming),
                            "cudaEventCreate");
    if (!error)
        error = cuda_status(cudaEventCreateWithFlags(&c->after, cudaEventDisableTiming),
                            "cudaEventCreate");
    if (!error)
        error =
            nccl_status(ncclCommInitRankConfig(&c->comm, ranks, unique, rank, &config), c->comm);
    if (error) {
        nccl_abort(c);
        return error;
    }
    *out = c;
    return NULL;
}

/* Orders the stream after the queue; calls of one group follow. */
static status ranges_begin(struct collective *c)
{
    if (c->state != IDLE && c->state != RUNNING)
        FAIL(STATUS_INTERNAL, "a collective call before the last one was issued");
    TRY(cuda_status(cudaEventRecord(c->before, cuda_queue_of(c->queue)->stream),
                    "cudaEventRecord"));
    TRY(cuda_status(cudaStreamWaitEvent(c->stream, c->before, 0), "cudaStreamWaitEvent"));
    return nccl_status(ncclGroupStart(), c->comm);
}

/* The first error of the group's calls, or of its end. */
static status ranges_end(struct collective *c, status error)
{
    const ncclResult_t ended = ncclGroupEnd(); /* must follow the start, whatever came between */
    if (error) return error;
    TRY(nccl_status(ended, c->comm));
    c->state = ISSUING;
    return NULL;
}

static status nccl_reduce(struct collective *c, float *values,
                          const struct collective_range *ranges, int count)
{
    status error = ranges_begin(c);
    if (error) return error;
    for (int i = 0; i < count && !error; i++) {
        float *at = values + ranges[i].begin;
        error = nccl_status(ncclReduce(at, at, (size_t)ranges[i].count, ncclFloat32, ncclSum,
                                       ranges[i].root, c->comm, c->stream),
                            c->comm);
    }
    return ranges_end(c, error);
}

static status nccl_broadcast(struct collective *c, float *values,
                             const struct collective_range *ranges, int count)
{
    status error = ranges_begin(c);
    if (error) return error;
    for (int i = 0; i < count && !error; i++) {
        float *at = values + ranges[i].begin;
        error = nccl_status(ncclBroadcast(at, at, (size_t)ranges[i].count, ncclFloat32,
                                          ranges[i].root, c->comm, c->stream),
                            c->comm);
    }
    return ranges_end(c, error);
}

/* The event can be recorded only when the group stands in the stream. */
static status nccl_poll(struct collective *c, enum collective_progress *progress)
{
    ncclResult_t result = ncclSuccess;
    *progress = COLLECTIVE_ISSUING;
    TRY(nccl_status(ncclCommGetAsyncError(c->comm, &result), c->comm));
    TRY(nccl_status(result, c->comm));
    if (result == ncclInProgress) return NULL;
    if (c->state == ISSUING) {
        TRY(cuda_status(cudaEventRecord(c->after, c->stream), "cudaEventRecord"));
        c->state = RUNNING;
    }
    if (c->state == RUNNING) {
        const cudaError_t reached = cudaEventQuery(c->after);
        *progress = COLLECTIVE_RUNNING;
        if (reached == cudaErrorNotReady) return NULL;
        TRY(cuda_status(reached, "cudaEventQuery"));
    }
    c->state = IDLE;
    *progress = COLLECTIVE_DONE;
    return NULL;
}

static status nccl_finish(struct collective *c)
{
    if (c->state != IDLE) FAIL(STATUS_INTERNAL, "a communicator ends while a call is under way");
    c->state = FINISHING;
    return nccl_status(ncclCommFinalize(c->comm), c->comm);
}

#pragma GCC visibility push(default)
extern "C" {
extern const struct collectives regard_collectives;
const struct collectives regard_collectives = {nccl_identify, nccl_device_name, nccl_begin,
                                               nccl_reduce,   nccl_broadcast,   nccl_poll,
                                               nccl_finish,   nccl_destroy,     nccl_abort};
}
#pragma GCC visibility pop
