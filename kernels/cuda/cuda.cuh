/* The CUDA back end's private header: its queue, what kernels share, and every operation of the
 * table.  Formulas and shapes are in kernels/ops.h; a call here is queued on the queue's stream. */
#pragma once
#include "gpu.cuh"
extern "C" {
#include "kernels/ops.h"
}
#include <type_traits>

/* What a kernel has found wrong with its input; synchronize turns it into a message. */
enum cuda_mistake { CUDA_MISTAKE_NONE, CUDA_MISTAKE_TARGET, CUDA_MISTAKE_TOKEN, CUDA_MISTAKES };

/* Device memory, see memory.cu. */
struct memory_block;
struct memory {
    struct memory_block *arena, *own;
    void *whole; /* of cudaMalloc, what the arena's blocks are cut from */
    struct memory_report report;
};

struct cuda_queue {
    struct queue base;
    struct ops table;
    int device;
    cudaStream_t stream;
    status error; /* the first one since the last synchronize */
    cudaEvent_t mark[QUEUE_MARKS];
    int *mistake;      /* device: an enum cuda_mistake, 0 until a kernel raises one */
    int *mistake_seen; /* pinned copy */
    struct memory memory;
    void *scratch; /* device */
    size_t scratch_bytes;
    int64_t moves;             /* how often working space that graphs may use has moved */
    bool recording;            /* between graph_begin and graph_end */
    struct graph_times *times; /* of the graph being recorded; NULL: they are not asked for */
    bool tune;                 /* products try several algorithms */
    int block_shared; /* bytes of shared memory that a block can have: 227 KB on an H200, 163 on an
                       * A100, 99 on smaller GPUs */
    const void *large_kernel[64]; /* those allowed more than kernel_shared_default so far */
    int large_kernels;
    struct blas *blas; /* what products keep, see blas.cuh; NULL before the first */
};

/* A weight, see matrix.cu. */
struct packed_matrix {
    int64_t n, k;
    void *values; /* [n, k] elements */
    bool with_input_gradient;
};

static inline struct cuda_queue *cuda_queue_of(struct queue *q)
{
    return (struct cuda_queue *)q;
}

void cuda_blas_release(struct queue *q);

/* On exact queues, room that products with an [n, k] weight need while calls are recorded. */
status cuda_blas_reserve(struct queue *q, int64_t n, int64_t k);

/* Keeps the first error for synchronize and frees later ones. */
void cuda_fail(struct queue *q, status error);

/* Keeps an error of the runtime, saying in which call. */
void cuda_check(struct queue *q, cudaError_t error, const char *call);

/* Device memory of at least `bytes`, 256-byte aligned, contents undefined; valid until the next
 * call of this.  NULL (and the error is kept) when there is none: the caller returns. */
void *cuda_scratch(struct queue *q, size_t bytes);

/* Frees what a queue's memory rests on; what was not released stays lost. */
void cuda_memory_destroy(struct memory *memory);

/* See graph_times.cu.  cuda_node: behind each call that may be recorded; the sizes are a product's,
 * else 0, the name is kept. */
void cuda_node(struct queue *q, const char *name, int64_t rows, int64_t columns, int64_t depth);
struct graph_times *graph_times_begin(struct queue *q);            /* NULL: not asked for */
void graph_times_read(struct queue *q, struct graph_times *times); /* waits for a launch */
void graph_times_end(struct graph_times *times);                   /* NULL: nothing to end */

/* Before a launch: a kernel that wants more than kernel_shared_default is allowed all there is, at
 * its first such launch on this queue. */
void cuda_allow_shared(struct queue *q, const void *kernel, size_t bytes);

/* cuda_launch(q, kernel, grid, block, shared bytes, arguments...): on the queue's stream, an error
 * is kept.  A grid of 0 blocks cannot be launched: return before it. */
#define cuda_launch(q, kernel, grid, block, shared, ...)                                           \
    (cuda_allow_shared(q, kernel_address(kernel), size_t(shared)),                                 \
     cuda_check(q,                                                                                 \
                kernel_launch(kernel, {grid, block, size_t(shared), cuda_queue_of(q)->stream},     \
                              __VA_ARGS__),                                                        \
                #kernel),                                                                          \
     cuda_node(q, #kernel, 0, 0, 0))

/* Runs the statement with `element` as the type of `real` on this queue. */
#define cuda_with_element(q, ...)                                                                  \
    do {                                                                                           \
        if ((q)->real_bytes == sizeof(__nv_bfloat16)) {                                            \
            using element = __nv_bfloat16;                                                         \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            using element = float;                                                                 \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
    } while (0)

static inline int64_t cuda_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static __device__ inline float element_load(const float *p)
{
    return *p;
}
static __device__ inline float element_load(const __nv_bfloat16 *p)
{
    return __bfloat162float(*p);
}
static __device__ inline void element_store(float *p, float x)
{
    *p = x;
}
static __device__ inline void element_store(__nv_bfloat16 *p, float x)
{
    *p = __float2bfloat16_rn(x);
}

/* See struct result_places. */
static __device__ inline int64_t reply_entry(const struct result_places &at, int64_t row)
{
    return at.slot ? at.slot[row] : row;
}
static __device__ inline int64_t token_entry(const struct result_places &at, const int32_t *step,
                                             int64_t row)
{
    return at.slot ? at.slot[row] * at.stride + step[row] : row;
}

/* For kernels that meet a bad input: the largest number stays. */
static __device__ inline void mistake_raise(int *mistake, int kind)
{
    atomicMax(mistake, kind);
}

/* Every operation, with the type that the table gives it: cuda_rmsnorm, cuda_add, ... */
#define CUDA_OPERATIONS(of)                                                                        \
    of(allocate) of(release) of(memory_reserve) of(memory_report) of(memory_scratch)               \
        of(matrix_bytes) of(host_allocate) of(host_release) of(mark) of(mark_wait) of(graph_begin) \
            of(graph_end) of(graph_launch) of(graph_is_current) of(graph_destroy) of(upload) of(   \
                download) of(copy) of(zero) of(synchronize) of(destroy) of(matrix_create)          \
                of(matrix_destroy) of(matrix_pack) of(matrix_hash) of(matmul) of(matmul_relu) of(  \
                    matmul_float) of(matmul_input_gradient) of(matmul_weight_gradient) of(narrow)  \
                    of(embedding) of(embedding_backward) of(rmsnorm) of(rmsnorm_backward) of(add)  \
                        of(scale) of(relu_backward) of(gated_activation)                           \
                            of(gated_activation_backward) of(bias_add) of(bias_backward)           \
                                of(head_norm) of(head_norm_backward) of(rope) of(relative_bias)    \
                                    of(relative_bias_backward) of(attention)                       \
                                        of(attention_backward) of(attention_alignment)             \
                                            of(attention_summary) of(attention_received)           \
                                                of(head_statistics_sampled) of(head_row_entropy)   \
                                                    of(cache_append) of(advance) of(mean_rows)     \
                                                        of(mean_rows_backward) of(softmax_loss)    \
                                                            of(softmax_loss_backward) of(sample)   \
                                                                of(ppo_loss) of(square_sum)        \
                                                                    of(hash) of(adamw)
#define CUDA_DECLARE(name) std::remove_pointer_t<decltype(ops::name)> cuda_##name;
CUDA_OPERATIONS(CUDA_DECLARE)
#undef CUDA_DECLARE

/* A queue with a copy of that table, from which no entry may be missing. */
status cuda_queue_open(const struct ops *operations, int device,
                       const struct queue_options *options, struct queue **out);
