/* The library of blas.cuh, which alone includes this: cuBLASLt.  It counts in columns: our
 * row-major c is its c transposed, so the factors change places.
 *
 * Epilogues: ReLU is cuBLASLt's.  The gated GELU is a product of two halves of a row, gelu(gate) *
 * up, which lie n/2 columns apart and thus in different tiles: no epilogue sees both, and GELU of
 * one half alone would still leave a pass over everything for the other (docs/decisions.md, also
 * about DRELU). */
#pragma once
#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(struct blas_algorithm), "opaque, 64 bytes");

enum {
    blas_workspace = 32 << 20, /* bytes; what cuBLAS takes on Hopper */
    /* One fp32 tile of 64 x 64: too little for the parts of several tiles. */
    blas_workspace_exact = 16 << 10
};

struct blas_library {
    cublasLtHandle_t handle;
    void *workspace;
};

/* cuBLASLt's descriptions of one product. */
struct blas_call {
    cublasLtMatmulDescOpaque_t operation;
    cublasLtMatrixLayoutOpaque_t a, b, c;
};

#define BLAS_TRY(call)                                                                             \
    do {                                                                                           \
        const cublasStatus_t error_ = (call);                                                      \
        if (error_ != CUBLAS_STATUS_SUCCESS) return cublasLtGetStatusString(error_);               \
    } while (0)

static bool blas_library_open(struct queue *q, struct blas_library *library)
{
    const cublasStatus_t error = cublasLtCreate(&library->handle);
    status memory = NULL;
    if (error != CUBLAS_STATUS_SUCCESS)
        memory = ERROR(STATUS_INTERNAL, "cublasLtCreate: %s", cublasLtGetStatusString(error));
    else
        memory = cuda_allocate(q, MEMORY_SCRATCH, blas_workspace, &library->workspace);
    if (memory) cuda_fail(q, memory);
    return !memory;
}

static void blas_library_close(struct queue *q, struct blas_library *library)
{
    if (library->handle) (void)cublasLtDestroy(library->handle);
    cuda_release(q, library->workspace);
}

static void blas_library_identity(struct queue *q, char *words, size_t size)
{
    struct cudaDeviceProp device;
    int driver = 0;
    if (cudaGetDeviceProperties(&device, cuda_queue_of(q)->device) != cudaSuccess)
        snprintf(device.name, sizeof device.name, "GPU");
    if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
    snprintf(words, size, "%.100s cublasLt %zu driver %d", device.name, cublasLtGetVersion(),
             driver);
}

static size_t blas_library_cached_bytes(struct queue *q)
{
    int bytes = 0;
    if (cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, cuda_queue_of(q)->device) !=
        cudaSuccess)
        return 0;
    return (size_t)bytes;
}

static const char *blas_describe(const struct blas_shape *s, struct blas_call *call)
{
    const cudaDataType element = s->element_bytes == 2 ? CUDA_R_16BF : CUDA_R_32F;
    const cudaDataType c = s->c_bytes == 2 ? CUDA_R_16BF : CUDA_R_32F;
    const cublasOperation_t a_as = s->right_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t b_as = s->left_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue =
        s->relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
    const uint64_t m = (uint64_t)s->columns, n = (uint64_t)s->rows, k = (uint64_t)s->depth;
    BLAS_TRY(cublasLtMatmulDescInit(&call->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    BLAS_TRY(cublasLtMatmulDescSetAttribute(&call->operation, CUBLASLT_MATMUL_DESC_TRANSA, &a_as,
                                            sizeof a_as));
    BLAS_TRY(cublasLtMatmulDescSetAttribute(&call->operation, CUBLASLT_MATMUL_DESC_TRANSB, &b_as,
                                            sizeof b_as));
    BLAS_TRY(cublasLtMatmulDescSetAttribute(&call->operation, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                            &epilogue, sizeof epilogue));
    if (s->right_transposed)
        BLAS_TRY(cublasLtMatrixLayoutInit(&call->a, element, k, m, s->depth));
    else
        BLAS_TRY(cublasLtMatrixLayoutInit(&call->a, element, m, k, s->columns));
    if (s->left_transposed)
        BLAS_TRY(cublasLtMatrixLayoutInit(&call->b, element, n, k, s->rows));
    else
        BLAS_TRY(cublasLtMatrixLayoutInit(&call->b, element, k, n, s->depth));
    BLAS_TRY(cublasLtMatrixLayoutInit(&call->c, c, m, n, s->columns));
    return NULL;
}

static const char *blas_prefer(const struct blas_shape *s,
                               cublasLtMatmulPreferenceOpaque_t *preference)
{
    const uint64_t workspace = s->exact ? blas_workspace_exact : blas_workspace;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    const uint32_t left = (uint32_t)s->alignment[0], right = (uint32_t)s->alignment[1];
    const uint32_t c = (uint32_t)s->alignment[2];
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
    BLAS_TRY(cublasLtMatmulPreferenceInit(preference));
    for (const auto &w : wanted)
        BLAS_TRY(cublasLtMatmulPreferenceSetAttribute(preference, w.name, w.value, w.bytes));
    return NULL;
}

/* That nothing splits the depth is asked for; that nothing does is looked at as well. */
static bool blas_is_split(const cublasLtMatmulAlgo_t *algorithm)
{
    int32_t parts = 1;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t written;
    (void)cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts,
                                               sizeof parts, &written);
    (void)cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                               &reduction, sizeof reduction, &written);
    return parts > 1 || reduction != CUBLASLT_REDUCTION_SCHEME_NONE;
}

static int blas_library_suggest(struct blas_library *library, const struct blas_shape *shape,
                                struct blas_algorithm *algorithms, int max, const char **message)
{
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t results[blas_max_suggested];
    struct blas_call call;
    int found = 0, count = 0;
    *message = blas_describe(shape, &call);
    if (!*message) *message = blas_prefer(shape, &preference);
    if (*message) return 0;
    const cublasStatus_t error =
        cublasLtMatmulAlgoGetHeuristic(library->handle, &call.operation, &call.a, &call.b, &call.c,
                                       &call.c, &preference, blas_max_suggested, results, &found);
    for (int i = 0; error == CUBLAS_STATUS_SUCCESS && i < found && count < max; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS && !blas_is_split(&results[i].algo))
            memcpy(&algorithms[count++], &results[i].algo, sizeof *algorithms);
    if (!count)
        *message = error == CUBLAS_STATUS_SUCCESS ? "no algorithm" : cublasLtGetStatusString(error);
    return count;
}

static bool blas_library_takes(struct blas_library *library, const struct blas_shape *shape,
                               const struct blas_algorithm *algorithm)
{
    cublasLtMatmulAlgo_t algo;
    cublasLtMatmulHeuristicResult_t result;
    struct blas_call call;
    memcpy(&algo, algorithm, sizeof algo);
    return !blas_describe(shape, &call) &&
           cublasLtMatmulAlgoCheck(library->handle, &call.operation, &call.a, &call.b, &call.c,
                                   &call.c, &algo, &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= (size_t)(shape->exact ? blas_workspace_exact : blas_workspace);
}

static int32_t blas_configuration(const cublasLtMatmulAlgo_t *algorithm,
                                  cublasLtMatmulAlgoConfigAttributes_t name, size_t bytes)
{
    int32_t value = 0; /* a narrower one fills its low bytes */
    size_t written;
    (void)cublasLtMatmulAlgoConfigGetAttribute(algorithm, name, &value, bytes, &written);
    return value;
}

static void blas_library_describe(const struct blas_algorithm *algorithm, char *words, size_t size)
{
    static const struct {
        const char *name;
        cublasLtMatmulAlgoConfigAttributes_t of;
        size_t bytes;
    } values[] = {{"id", CUBLASLT_ALGO_CONFIG_ID, 4},
                  {"tile", CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
                  {"stages", CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},
                  {"inner", CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
                  {"cluster", CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2},
                  {"swizzle", CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4},
                  {"option", CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
                  {"split", CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4}};
    cublasLtMatmulAlgo_t algo;
    size_t length = 0;
    memcpy(&algo, algorithm, sizeof algo);
    words[0] = 0;
    for (const auto &value : values) {
        if (length >= size) return;
        length += (size_t)snprintf(words + length, size - length, "%s%s %d", length ? ", " : "",
                                   value.name, blas_configuration(&algo, value.of, value.bytes));
    }
}

static const char *blas_library_run(struct queue *q, struct blas_library *library,
                                    const struct blas_shape *shape,
                                    const struct blas_algorithm *algorithm, const void *left,
                                    const void *right, void *c)
{
    const float one = 1.0f, before = shape->accumulate ? 1.0f : 0.0f;
    cublasLtMatmulAlgo_t algo;
    struct blas_call call;
    memcpy(&algo, algorithm, sizeof algo);
    const char *message = blas_describe(shape, &call);
    if (message) return message;
    BLAS_TRY(cublasLtMatmul(library->handle, &call.operation, &one, right, &call.a, left, &call.b,
                            &before, c, &call.c, c, &call.c, &algo, library->workspace,
                            (size_t)(shape->exact ? blas_workspace_exact : blas_workspace),
                            cuda_queue_of(q)->stream));
    cuda_node(q, "product", shape->rows, shape->columns, shape->depth);
    return NULL;
}
