/* What a queue keeps for products: the library, and the algorithm of each shape met so far. */
#pragma once
#include "blas.cuh"

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

static void blas_release(struct queue *q, struct blas *blas)
{
    if (!blas) return;
    blas_library_close(q, &blas->library);
    cuda_release(q, blas->padding);
    blas_cache_close(&blas->cache);
    free(blas);
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
    if (!blas_library_open(q, &blas->library)) {
        blas_release(q, blas);
        return NULL;
    }
    return cuda->blas = blas;
}

/* Whether calls are recorded: then nothing may be waited for or allocated. */
static bool blas_is_recording(struct queue *q)
{
    return cuda_queue_of(q)->recording;
}

static int32_t blas_alignment(uint64_t address, int32_t most)
{
    const uint64_t lowest = address & (0 - address);
    return lowest == 0 || lowest > (uint64_t)most ? most : (int32_t)lowest;
}

static struct blas_shape blas_shape_of(const struct queue *q, const struct blas_product *p)
{
    struct blas_shape s = {};
    s.rows = p->rows, s.columns = p->columns, s.depth = p->depth;
    s.element_bytes = (int32_t)q->real_bytes;
    s.c_bytes = p->c_is_float ? 4 : s.element_bytes;
    s.left_turned = p->left_turned, s.right_turned = p->right_turned;
    s.accumulate = p->accumulate, s.relu = p->relu;
    s.alignment[0] = blas_alignment((uintptr_t)p->left, 256);
    s.alignment[1] = blas_alignment((uintptr_t)p->right, 256);
    s.alignment[2] = blas_alignment((uintptr_t)p->c, 256);
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
