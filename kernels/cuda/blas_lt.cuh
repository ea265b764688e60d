/* blas.cuh by cuBLASLt.  It counts in columns: our row-major c is its c transposed, so the factors
 * change places.  An algorithm is asked for once a shape; none that splits the depth and adds parts
 * in whatever order, so that equal calls give equal bits. */
#pragma once
#include "blas.cuh"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

enum { blas_plans = 4096, blas_workspace = 32 << 20 };

/* What the choice of an algorithm rests on, without gaps between members. */
struct blas_shape {
    int64_t rows, columns, depth;
    int32_t element_bytes, c_bytes;
    int32_t left_turned, right_turned, accumulate;
    int32_t alignment[3]; /* bytes, of left, right, c */
};

struct blas_plan {
    struct blas_shape shape; /* rows 0: not in use */
    cublasLtMatmulAlgo_t algorithm;
};

struct blas {
    cublasLtHandle_t handle;
    void *workspace;
    struct blas_plan plan[blas_plans]; /* by the hash of the shape; a later one
                                          takes the place */
};

/* cuBLASLt's descriptions of one product. */
struct blas_call {
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t a, b, c;
};

static bool blas_succeeded(struct queue *q, cublasStatus_t error, const char *call)
{
    if (error == CUBLAS_STATUS_SUCCESS) return true;
    cuda_fail(q, ERROR(STATUS_INTERNAL, "%s: %s", call, cublasLtGetStatusString(error)));
    return false;
}

#define BLAS_TRY(q, call)                                                                          \
    do {                                                                                           \
        if (!blas_succeeded(q, call, #call)) return false;                                         \
    } while (0)

static void blas_release(struct blas *blas)
{
    if (!blas) return;
    if (blas->handle) (void)cublasLtDestroy(blas->handle);
    (void)cudaFree(blas->workspace);
    free(blas);
}

static bool blas_open(struct queue *q)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    if (cuda->blas) return true;
    struct blas *blas = (struct blas *)calloc(1, sizeof *blas);
    if (!blas) {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "no memory for cuBLASLt's plans"));
        return false;
    }
    cuda->blas = blas;
    cuda_check(q, cudaMalloc(&blas->workspace, blas_workspace), "cuBLASLt's workspace");
    if (blas_succeeded(q, cublasLtCreate(&blas->handle), "cublasLtCreate") && blas->workspace)
        return true;
    blas_release(blas);
    cuda->blas = NULL;
    return false;
}

static int32_t blas_alignment(const void *p)
{
    const uintptr_t lowest = (uintptr_t)p & (0 - (uintptr_t)p);
    return lowest == 0 || lowest > 256 ? 256 : (int32_t)lowest;
}

static struct blas_shape blas_shape_of(const struct queue *q, const struct blas_product *p)
{
    struct blas_shape s = {};
    s.rows = p->rows, s.columns = p->columns, s.depth = p->depth;
    s.element_bytes = (int32_t)q->real_bytes;
    s.c_bytes = p->c_is_float ? 4 : s.element_bytes;
    s.left_turned = p->left_turned, s.right_turned = p->right_turned;
    s.accumulate = p->accumulate;
    s.alignment[0] = blas_alignment(p->left);
    s.alignment[1] = blas_alignment(p->right);
    s.alignment[2] = blas_alignment(p->c);
    return s;
}

static struct blas_plan *blas_plan_slot(struct blas *blas, const struct blas_shape *shape)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *shape; i++)
        hash = (hash ^ ((const unsigned char *)shape)[i]) * 0x100000001b3u;
    return &blas->plan[hash % blas_plans];
}

static bool blas_describe(struct queue *q, const struct blas_shape *s, struct blas_call *call)
{
    const cudaDataType element = s->element_bytes == 2 ? CUDA_R_16BF : CUDA_R_32F;
    const cudaDataType c = s->c_bytes == 2 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasOperation_t a_turn = s->right_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t b_turn = s->left_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint64_t m = (uint64_t)s->columns, n = (uint64_t)s->rows, k = (uint64_t)s->depth;
    BLAS_TRY(q, cublasLtMatmulDescInit(&call->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    BLAS_TRY(q, cublasLtMatmulDescSetAttribute(&call->operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                               &a_turn, sizeof a_turn));
    BLAS_TRY(q, cublasLtMatmulDescSetAttribute(&call->operation, CUBLASLT_MATMUL_DESC_TRANSB,
                                               &b_turn, sizeof b_turn));
    if (s->right_turned)
        BLAS_TRY(q, cublasLtMatrixLayoutInit(&call->a, element, k, m, s->depth));
    else
        BLAS_TRY(q, cublasLtMatrixLayoutInit(&call->a, element, m, k, s->columns));
    if (s->left_turned)
        BLAS_TRY(q, cublasLtMatrixLayoutInit(&call->b, element, n, k, s->rows));
    else
        BLAS_TRY(q, cublasLtMatrixLayoutInit(&call->b, element, k, n, s->depth));
    BLAS_TRY(q, cublasLtMatrixLayoutInit(&call->c, c, m, n, s->columns));
    return true;
}

static bool blas_choose(struct queue *q, struct blas *blas, struct blas_call *call,
                        const struct blas_shape *shape, struct blas_plan *plan)
{
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t best;
    const uint64_t workspace = blas_workspace;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    const uint32_t left = (uint32_t)shape->alignment[0], right = (uint32_t)shape->alignment[1];
    const uint32_t c = (uint32_t)shape->alignment[2];
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t bytes;
    } wanted[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &right, sizeof right},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &left, sizeof left},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof c},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c, sizeof c},
    };
    int found = 0;
    BLAS_TRY(q, cublasLtMatmulPreferenceInit(&preference));
    for (const auto &w : wanted)
        BLAS_TRY(q, cublasLtMatmulPreferenceSetAttribute(&preference, w.name, w.value, w.bytes));
    BLAS_TRY(q, cublasLtMatmulAlgoGetHeuristic(blas->handle, &call->operation, &call->a, &call->b,
                                               &call->c, &call->c, &preference, 1, &best, &found));
    if (found < 1) {
        cuda_fail(q, ERROR(STATUS_INTERNAL, "cuBLASLt has no algorithm for %lld x %lld x %lld",
                           (long long)shape->rows, (long long)shape->columns,
                           (long long)shape->depth));
        return false;
    }
    plan->algorithm = best.algo;
    plan->shape = *shape;
    return true;
}

static bool blas_try(struct queue *q, const struct blas_product *p)
{
    if (!blas_open(q)) return false;
    struct blas *blas = cuda_queue_of(q)->blas;
    const struct blas_shape shape = blas_shape_of(q, p);
    struct blas_plan *plan = blas_plan_slot(blas, &shape);
    struct blas_call call;
    const float one = 1.0f, before = p->accumulate ? 1.0f : 0.0f;
    if (!blas_describe(q, &shape, &call)) return false;
    if (memcmp(&plan->shape, &shape, sizeof shape) != 0 &&
        !blas_choose(q, blas, &call, &shape, plan))
        return false;
    BLAS_TRY(q, cublasLtMatmul(blas->handle, &call.operation, &one, p->right, &call.a, p->left,
                               &call.b, &before, p->c, &call.c, p->c, &call.c, &plan->algorithm,
                               blas->workspace, blas_workspace, cuda_queue_of(q)->stream));
    return true;
}

static void blas_multiply(struct queue *q, const struct blas_product *p)
{
    (void)blas_try(q, p);
}
