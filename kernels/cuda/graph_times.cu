/* A time for each node of recorded graphs, for a reader: where REGARD_CUDA_NODE_TIMES names a file,
 * an event is recorded behind each call between graph_begin and graph_end, each launch is waited
 * for, and a graph that ends adds its nodes with the mean of their times.  A time is what lies
 * between two events, so it holds what one costs beside the node: the sum is more than a launch
 * takes without them. */
#include "cuda.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { max_nodes = 4096 };

struct node {
    const char *name;
    int64_t sizes[3]; /* of a product; else 0 */
    cudaEvent_t after;
    double milliseconds; /* of all launches that count */
};

struct graph_times {
    const char *path;
    cudaEvent_t begin;
    int count;
    int64_t launches; /* the first one does not count: it may load and allocate */
    struct node node[max_nodes];
};

static void event_record(struct queue *q, cudaEvent_t *event)
{
    cuda_check(q, cudaEventCreate(event), "cudaEventCreate");
    if (*event)
        cuda_check(
            q, cudaEventRecordWithFlags(*event, cuda_queue_of(q)->stream, cudaEventRecordExternal),
            "cudaEventRecordWithFlags");
}

struct graph_times *graph_times_begin(struct queue *q)
{
    const char *path = getenv("REGARD_CUDA_NODE_TIMES");
    if (!path) return NULL;
    struct graph_times *times = (struct graph_times *)calloc(1, sizeof *times);
    if (!times) return NULL;
    times->path = path;
    event_record(q, &times->begin);
    return times;
}

void cuda_node(struct queue *q, const char *name, int64_t rows, int64_t columns, int64_t depth)
{
    struct graph_times *times = cuda_queue_of(q)->times;
    if (!times || times->count == max_nodes) return;
    struct node *node = &times->node[times->count++];
    node->name = name;
    node->sizes[0] = rows, node->sizes[1] = columns, node->sizes[2] = depth;
    event_record(q, &node->after);
}

void graph_times_read(struct queue *q, struct graph_times *times)
{
    cuda_check(q, cudaStreamSynchronize(cuda_queue_of(q)->stream), "cudaStreamSynchronize");
    if (times->launches++ == 0) return;
    cudaEvent_t before = times->begin;
    for (int i = 0; i < times->count; i++) {
        float milliseconds = 0.0f;
        cuda_check(q, cudaEventElapsedTime(&milliseconds, before, times->node[i].after),
                   "cudaEventElapsedTime");
        times->node[i].milliseconds += milliseconds;
        before = times->node[i].after;
    }
}

/* Nodes of one name and size, added up, the most expensive first. */
static int sums_make(const struct graph_times *times, struct node *sums, int *counts)
{
    int kinds = 0;
    for (int i = 0; i < times->count; i++) {
        const struct node *node = &times->node[i];
        int kind = 0;
        while (kind < kinds && (strcmp(sums[kind].name, node->name) ||
                                memcmp(sums[kind].sizes, node->sizes, sizeof node->sizes)))
            kind++;
        if (kind == kinds) {
            sums[kinds++] = *node;
            counts[kind] = 1;
        } else {
            sums[kind].milliseconds += node->milliseconds;
            counts[kind]++;
        }
    }
    for (int i = 1; i < kinds; i++) /* insertion: there are few */
        for (int k = i; k > 0 && sums[k].milliseconds > sums[k - 1].milliseconds; k--) {
            const struct node node = sums[k];
            const int count = counts[k];
            sums[k] = sums[k - 1], counts[k] = counts[k - 1];
            sums[k - 1] = node, counts[k - 1] = count;
        }
    return kinds;
}

static void node_print(FILE *file, const struct node *node, double microseconds)
{
    fprintf(file, "%9.2f us  %s", microseconds, node->name);
    if (node->sizes[0])
        fprintf(file, " %lld x %lld x %lld", (long long)node->sizes[0], (long long)node->sizes[1],
                (long long)node->sizes[2]);
    fputc('\n', file);
}

static void times_print(FILE *file, const struct graph_times *times)
{
    const double launches = (double)(times->launches - 1);
    double all = 0;
    for (int i = 0; i < times->count; i++) all += times->node[i].milliseconds;
    fprintf(file, "a graph of %d nodes, the mean of %.0f launches: %.2f us\n", times->count,
            launches, all * 1e3 / launches);
    for (int i = 0; i < times->count; i++) {
        fprintf(file, "%5d ", i);
        node_print(file, &times->node[i], times->node[i].milliseconds * 1e3 / launches);
    }
    struct node *sums = (struct node *)malloc((size_t)times->count * sizeof *sums);
    int *counts = (int *)malloc((size_t)times->count * sizeof *counts);
    const int kinds = sums && counts ? sums_make(times, sums, counts) : 0;
    for (int i = 0; i < kinds; i++) {
        fprintf(file, "%5d times", counts[i]);
        node_print(file, &sums[i], sums[i].milliseconds * 1e3 / launches);
    }
    free(sums);
    free(counts);
}

void graph_times_end(struct graph_times *times)
{
    if (!times) return;
    FILE *file = times->launches > 1 && times->count ? fopen(times->path, "a") : NULL;
    if (file) {
        times_print(file, times);
        fclose(file);
    }
    if (times->begin) (void)cudaEventDestroy(times->begin);
    for (int i = 0; i < times->count; i++)
        if (times->node[i].after) (void)cudaEventDestroy(times->node[i].after);
    free(times);
}
