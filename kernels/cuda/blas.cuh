/* Matrix products by cuBLASLt (blas_cublaslt.cuh); where g++ compiles this, for tests without a
 * GPU, by plain loops (tests/cuda_host/host/blas_host.cuh).  Here: what both libraries offer, and
 * what a queue keeps for its products.  Which of the library's algorithms runs is chosen in one of
 * two ways:
 *
 *   blas_fast.cuh    the fastest for the shape, by the library's word or, with `tune`, by the clock
 *   blas_exact.cuh   exact queues: the same order of additions for every number of rows
 *
 * While calls are recorded (graph.cu) the library is asked for nothing but to run: its questions
 * may fail then.  A shape that has no algorithm yet is refused, and that recording with it. */
#pragma once
#include "blas_cache.cuh"
#include "cuda.cuh"
#include "product.cuh"

/* The library: what blas_cublaslt.cuh and blas_host.cuh both define.  A message is NULL, or says
 * what went wrong; it stays valid. */
struct blas_library;
enum { blas_max_suggested = 8 };

static bool blas_library_open(struct queue *q, struct blas_library *library);
static void blas_library_close(struct queue *q, struct blas_library *library);

/* GPU, library and driver: equal words, equal algorithms. */
static void blas_library_identity(struct queue *q, char *words, size_t size);

/* Bytes to write so that nothing read before is left in the GPU's caches. */
static size_t blas_library_cached_bytes(struct queue *q);

/* Up to `max` algorithms, the best first by the library's own word, none of which splits the depth
 * and adds parts in whatever order: equal calls give equal bits.  Returns how many, 0 with a
 * message. */
static int blas_library_suggest(struct blas_library *library, const struct blas_shape *shape,
                                struct blas_algorithm *algorithms, int max, const char **message);

/* Whether the algorithm can do this shape. */
static bool blas_library_takes(struct blas_library *library, const struct blas_shape *shape,
                               const struct blas_algorithm *algorithm);

/* An algorithm in words, for the report of what was chosen. */
static void blas_library_describe(const struct blas_algorithm *algorithm, char *words, size_t size);

static const char *blas_library_run(struct queue *q, struct blas_library *library,
                                    const struct blas_shape *shape,
                                    const struct blas_algorithm *algorithm, const void *left,
                                    const void *right, void *c);

#ifdef __CUDACC__
#include "blas_cublaslt.cuh"
#else
#include "blas_host.cuh"
#endif

/* The algorithm of each shape met so far, in tables looked up by a shape's hash. */
enum {
    blas_plans = 1 << 14,
    blas_probes = 16, /* places looked at for one shape */
    blas_references = 512
};

struct blas_plan {
    struct blas_shape shape; /* rows 0: not in use */
    struct blas_algorithm algorithm;
    int64_t taken; /* fast: the size of the batch that the library said it takes */
    bool refused;  /* exact: no algorithm adds in the reference's order */
    /* For the report (recorded calls once each): products made, and blocks of 128 rows made by a
     * reference because nothing else has its bits. */
    int64_t calls, blocks;
};

struct blas {
    struct blas_library library;
    bool cache_is_open;
    struct blas_cache cache;
    struct blas_plan plan[blas_plans];
    struct blas_plan reference[blas_references]; /* exact: none is ever replaced */
    void *padding;                               /* exact: device memory of padded rows */
    size_t padding_bytes;
};

static void blas_fail(struct queue *q, const struct blas_shape *s, const char *message)
{
    cuda_fail(q, ERROR(STATUS_INTERNAL, "cuBLASLt, %lld x %lld x %lld: %s", (long long)s->rows,
                       (long long)s->columns, (long long)s->depth, message));
}

/* The queue's, made at the first call; NULL (and the error is kept) when it cannot be. */
static struct blas *blas_of(struct queue *q)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    if (cuda->blas) return cuda->blas;
    struct blas *blas = (struct blas *)calloc(1, sizeof *blas);
    if (!blas) {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "no memory for the products' plans"));
        return NULL;
    }
    cuda->blas = blas;
    if (blas_library_open(q, &blas->library)) return blas;
    cuda_blas_release(q);
    return NULL;
}

/* Whether calls are recorded: then nothing may be asked, waited for or allocated. */
static bool blas_is_recording(struct queue *q)
{
    return cuda_queue_of(q)->recording;
}

/* Bytes that an address is a multiple of: at most 16, since no load is wider. */
static int32_t blas_alignment(uint64_t address)
{
    const uint64_t lowest = address & (0 - address), max = 16;
    return (int32_t)(lowest == 0 || lowest > max ? max : lowest);
}

static struct blas_shape blas_shape_of(const struct queue *q, const struct product *p)
{
    struct blas_shape s = {};
    s.rows = p->rows, s.columns = p->columns, s.depth = p->depth;
    s.element_bytes = (int32_t)q->real_bytes;
    s.c_bytes = p->c_is_float ? 4 : s.element_bytes;
    s.left_transposed = p->left_transposed, s.right_transposed = p->right_transposed;
    s.accumulate = p->accumulate, s.relu = p->relu;
    s.alignment[0] = blas_alignment((uintptr_t)p->left);
    s.alignment[1] = blas_alignment((uintptr_t)p->right);
    s.alignment[2] = blas_alignment((uintptr_t)p->c);
    return s;
}

/* The shape's place in the table, or one for it: then its rows are not the shape's. */
static struct blas_plan *blas_plan_find(struct blas_plan *table, int64_t size, int64_t probes,
                                        const struct blas_shape *shape)
{
    const uint64_t home = blas_hash(shape, sizeof *shape);
    struct blas_plan *plan = NULL;
    for (int64_t i = 0; i < probes; i++) {
        plan = &table[(home + (uint64_t)i) % (uint64_t)size];
        if (plan->shape.rows == 0 || !memcmp(&plan->shape, shape, sizeof *shape)) return plan;
    }
    return plan; /* the last one makes room */
}

static bool blas_plan_is(const struct blas_plan *plan, const struct blas_shape *shape)
{
    return memcmp(&plan->shape, shape, sizeof *shape) == 0;
}

/* Puts a plan in the place that blas_plan_find gave. */
static void blas_plan_set(struct blas_plan *plan, const struct blas_shape *shape,
                          const struct blas_algorithm *algorithm, int64_t taken)
{
    *plan = (struct blas_plan){};
    plan->shape = *shape;
    plan->algorithm = *algorithm;
    plan->taken = taken;
}
