/* Recorded calls: what is queued between begin and end becomes one CUDA graph, whose launch costs
 * the host one call.  See kernels/ops.h. */
#include "cuda.cuh"

/* `struct graph` is never defined: a handle of the runtime goes by that name. */
static cudaGraphExec_t exec_of(struct graph *graph)
{
    return (cudaGraphExec_t)graph;
}

void cuda_graph_begin(struct queue *q)
{
    cuda_check(q,
               cudaStreamBeginCapture(cuda_queue_of(q)->stream, cudaStreamCaptureModeThreadLocal),
               "cudaStreamBeginCapture");
}

status cuda_graph_end(struct queue *q, struct graph **out)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    cudaGraph_t recorded = NULL;
    cudaGraphExec_t exec = NULL;
    *out = NULL;
    cuda_check(q, cudaStreamEndCapture(cuda->stream, &recorded), "cudaStreamEndCapture");
    if (recorded && !cuda->error)
        cuda_check(q, cudaGraphInstantiate(&exec, recorded, 0), "cudaGraphInstantiate");
    if (recorded) (void)cudaGraphDestroy(recorded);
    if (!cuda->error) {
        *out = (struct graph *)exec;
        return NULL;
    }
    status error = cuda->error;
    cuda->error = NULL;
    return status_context(error, "recording a decoding step");
}

void cuda_graph_launch(struct queue *q, struct graph *graph)
{
    cuda_check(q, cudaGraphLaunch(exec_of(graph), cuda_queue_of(q)->stream), "cudaGraphLaunch");
}

void cuda_graph_destroy(struct queue *q, struct graph *graph)
{
    if (graph) cuda_check(q, cudaGraphExecDestroy(exec_of(graph)), "cudaGraphExecDestroy");
}
