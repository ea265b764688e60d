/* Recorded calls: what is queued between begin and end becomes one CUDA graph, whose launch costs
 * the host one call.  A graph keeps the addresses that its calls had, those of the queue's working
 * space among them: once that has moved, the graph is not current.  See kernels/ops.h. */
#include "cuda.cuh"

#include <stdlib.h>

struct graph {
    cudaGraphExec_t exec;
    int64_t moves; /* of the queue, when it was recorded */
    struct graph_times *times;
};

/* Other threads may allocate and wait meanwhile; this one must not. */
void cuda_graph_begin(struct queue *q)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    cuda_check(q, cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal),
               "cudaStreamBeginCapture");
    cuda->recording = true;
    cuda->times = graph_times_begin(q);
}

static status recorded_take(struct queue *q, struct graph *graph)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    cudaGraph_t recorded = NULL;
    cuda->recording = false;
    graph->times = cuda->times;
    cuda->times = NULL;
    cuda_check(q, cudaStreamEndCapture(cuda->stream, &recorded), "cudaStreamEndCapture");
    if (recorded && !cuda->error) {
        cuda_check(q, cudaGraphInstantiate(&graph->exec, recorded, 0), "cudaGraphInstantiate");
        if (graph->exec && !cuda->error)
            cuda_check(q, cudaGraphUpload(graph->exec, cuda->stream), "cudaGraphUpload");
    }
    if (recorded) (void)cudaGraphDestroy(recorded);
    graph->moves = cuda->moves;
    if (!cuda->error) return NULL;
    if (graph->exec) (void)cudaGraphExecDestroy(graph->exec);
    graph_times_end(graph->times);
    (void)cudaGetLastError(); /* a call that cannot be recorded breaks nothing else */
    status error = cuda->error;
    cuda->error = NULL;
    return status_context(error, "recording calls");
}

status cuda_graph_end(struct queue *q, struct graph **out)
{
    struct graph recorded = {};
    *out = NULL;
    TRY(recorded_take(q, &recorded));
    *out = (struct graph *)malloc(sizeof **out);
    if (!*out) {
        (void)cudaGraphExecDestroy(recorded.exec);
        graph_times_end(recorded.times);
        FAIL(STATUS_INTERNAL, "no memory for a graph");
    }
    **out = recorded;
    return NULL;
}

bool cuda_graph_is_current(struct queue *q, const struct graph *graph)
{
    return graph->moves == cuda_queue_of(q)->moves;
}

void cuda_graph_launch(struct queue *q, struct graph *graph)
{
    if (!cuda_graph_is_current(q, graph)) {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "a graph launched after its working space moved"));
        return;
    }
    cuda_check(q, cudaGraphLaunch(graph->exec, cuda_queue_of(q)->stream), "cudaGraphLaunch");
    if (graph->times) graph_times_read(q, graph->times);
}

/* Waits: the graph may still run. */
void cuda_graph_destroy(struct queue *q, struct graph *graph)
{
    if (!graph) return;
    cuda_check(q, cudaStreamSynchronize(cuda_queue_of(q)->stream), "cudaStreamSynchronize");
    cuda_check(q, cudaGraphExecDestroy(graph->exec), "cudaGraphExecDestroy");
    graph_times_end(graph->times);
    free(graph);
}
