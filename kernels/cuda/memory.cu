/* The queue's device memory: blocks cut from one arena, which memory_reserve takes from the device
 * at once, first fit; what does not fit there, and everything before, is a block of the device's
 * own.  Who allocates what is counted by kind.
 * A block of the arena that was released is given out again at once: what the queue holds runs in
 * order, so its last reader has run before its next writer. */
#include "cuda.cuh"

extern "C" {
#include "kernels/memory_kinds.h"
}

#include <stdlib.h>

/* A piece of the arena, used or free, in the order of addresses; or a block of the device's own. */
struct memory_block {
    char *at;
    size_t bytes;
    enum memory_kind kind;
    bool used;
    struct memory_block *next;
};

/* What products may take (cuBLASLt's workspace); the rest of what is reserved is the kernels'. */
enum { products_bytes = 32 << 20 };

static struct memory_block *block_new(char *at, size_t bytes, struct memory_block *next)
{
    struct memory_block *block = (struct memory_block *)calloc(1, sizeof *block);
    if (!block) return NULL;
    block->at = at;
    block->bytes = bytes;
    block->next = next;
    return block;
}

static void count(struct memory *memory, struct memory_block *block, enum memory_kind kind)
{
    struct memory_report *r = &memory->report;
    block->used = true;
    block->kind = kind;
    r->allocations++;
    r->current[kind] += block->bytes;
    if (r->current[kind] > r->peak[kind]) r->peak[kind] = r->current[kind];
}

/* The first free block of the arena that is large enough, less what is not needed of it. */
static struct memory_block *arena_cut(struct memory *memory, size_t bytes)
{
    for (struct memory_block *block = memory->arena; block; block = block->next) {
        if (block->used || block->bytes < bytes) continue;
        if (block->bytes > bytes) {
            struct memory_block *rest =
                block_new(block->at + bytes, block->bytes - bytes, block->next);
            if (!rest) return NULL;
            block->next = rest;
            block->bytes = bytes;
        }
        return block;
    }
    return NULL;
}

/* Joins free neighbours. */
static void arena_join(struct memory *memory)
{
    for (struct memory_block *block = memory->arena; block; block = block->next)
        while (!block->used && block->next && !block->next->used) {
            struct memory_block *next = block->next;
            block->bytes += next->bytes;
            block->next = next->next;
            free(next);
        }
}

static status refused(size_t bytes, enum memory_kind kind)
{
    size_t left = 0, total = 0;
    (void)cudaGetLastError(); /* a full device is no broken one */
    (void)cudaMemGetInfo(&left, &total);
    FAIL(STATUS_INTERNAL, "GPU memory: %zu bytes more are needed for %s, %zu of %zu are free; %s",
         bytes, memory_kind_name(kind), left, total, memory_kind_advice(kind));
}

/* A block of the device's own. */
static status own_new(struct memory *memory, size_t bytes, enum memory_kind kind,
                      struct memory_block **out)
{
    void *at = NULL;
    const cudaError_t error = cudaMalloc(&at, bytes);
    if (error == cudaErrorMemoryAllocation) return refused(bytes, kind);
    if (error != cudaSuccess) FAIL(STATUS_INTERNAL, "cudaMalloc: %s", cudaGetErrorString(error));
    struct memory_block *block = block_new((char *)at, memory_rounded(bytes), memory->own);
    if (!block) {
        (void)cudaFree(at);
        FAIL(STATUS_INTERNAL, "no memory for a block's record");
    }
    memory->own = block;
    if (memory->report.reserved) memory->report.outside += block->bytes;
    *out = block;
    return NULL;
}

status cuda_allocate(struct queue *q, enum memory_kind kind, size_t bytes, void **out)
{
    struct memory *memory = &cuda_queue_of(q)->memory;
    *out = NULL;
    struct memory_block *block = NULL;
    if (bytes <= memory->report.reserved) block = arena_cut(memory, memory_rounded(bytes));
    if (!block) TRY(own_new(memory, bytes ? bytes : 1, kind, &block));
    count(memory, block, kind);
    *out = block->at;
    return NULL;
}

void cuda_release(struct queue *q, void *at)
{
    struct memory *memory = &cuda_queue_of(q)->memory;
    if (!at) return;
    for (struct memory_block *block = memory->arena; block; block = block->next)
        if (block->at == at && block->used) {
            block->used = false;
            memory->report.current[block->kind] -= block->bytes;
            arena_join(memory);
            return;
        }
    for (struct memory_block **place = &memory->own; *place; place = &(*place)->next) {
        struct memory_block *block = *place;
        if (block->at != at) continue;
        memory->report.current[block->kind] -= block->bytes;
        *place = block->next;
        free(block);
        cuda_check(q, cudaFree(at), "cudaFree");
        return;
    }
    cuda_fail(q, ERROR(STATUS_INTERNAL, "released memory that was not allocated, or twice"));
}

/* Attention's working space is bounded by 16 MiB and some numbers a row and head (scores_bytes),
 * that of small models by what they have to work on. */
size_t cuda_memory_scratch(const struct queue *q, const size_t bytes[MEMORY_KINDS])
{
    (void)q;
    const size_t small = bytes[MEMORY_ACTIVATIONS] / 4 + ((size_t)1 << 20);
    const size_t large = bytes[MEMORY_ACTIVATIONS] / 64 + ((size_t)64 << 20);
    return memory_rounded(products_bytes + (small < large ? small : large));
}

void *cuda_scratch(struct queue *q, size_t bytes)
{
    struct cuda_queue *cuda = cuda_queue_of(q);
    if (cuda->scratch && cuda->scratch_bytes >= bytes) return cuda->scratch;
    if (cuda->recording) {
        cuda_fail(q, ERROR(STATUS_INTERNAL,
                           "a call being recorded needs %zu bytes of working space, there are %zu",
                           bytes, cuda->scratch_bytes));
        return NULL;
    }
    cuda_release(q, cuda->scratch);
    cuda->scratch_bytes = 0;
    cuda->moves++;
    status error = cuda_allocate(q, MEMORY_SCRATCH, bytes, &cuda->scratch);
    if (error)
        cuda_fail(q, error);
    else
        cuda->scratch_bytes = bytes;
    return cuda->scratch;
}

status cuda_memory_reserve(struct queue *q, const size_t bytes[MEMORY_KINDS])
{
    struct memory *memory = &cuda_queue_of(q)->memory;
    if (memory->report.reserved) FAIL(STATUS_INTERNAL, "memory is reserved twice");
    const size_t sum = memory_sum(bytes);
    size_t left = 0, total = 0;
    cuda_check(q, cudaMemGetInfo(&left, &total), "cudaMemGetInfo");
    void *arena = NULL;
    cudaError_t error = sum > left ? cudaErrorMemoryAllocation : cudaSuccess;
    if (sum && !error && !memory_is_checked) error = cudaMalloc(&arena, sum);
    if (error == cudaErrorMemoryAllocation) {
        char line[MEMORY_LINE];
        (void)cudaGetLastError();
        FAIL(STATUS_INPUT, "GPU memory: needed are %s, %.1f of %.1f MB are free; %s",
             memory_line(bytes, line), memory_mb(left), memory_mb(total),
             memory_kind_advice(memory_largest(bytes)));
    }
    cuda_check(q, error, "cudaMalloc");
    if (!arena) return NULL;
    memory->arena = block_new((char *)arena, sum, NULL);
    if (!memory->arena) {
        (void)cudaFree(arena);
        FAIL(STATUS_INTERNAL, "no memory for a block's record");
    }
    memory->whole = arena;
    memory->report.reserved = sum;
    /* All of the kernels' at once: it need not move then, and graphs stay current. */
    if (bytes[MEMORY_SCRATCH] > products_bytes)
        (void)cuda_scratch(q, bytes[MEMORY_SCRATCH] - products_bytes);
    return NULL;
}

void cuda_memory_report(struct queue *q, struct memory_report *out)
{
    *out = cuda_queue_of(q)->memory.report;
    cuda_check(q, cudaMemGetInfo(&out->left, &out->total), "cudaMemGetInfo");
}

void cuda_memory_destroy(struct memory *memory)
{
    (void)cudaFree(memory->whole);
    for (struct memory_block *block = memory->arena; block;) {
        struct memory_block *next = block->next;
        free(block);
        block = next;
    }
    for (struct memory_block *block = memory->own; block;) {
        struct memory_block *next = block->next;
        /* The caller's, not released: left to be found by who looks for leaks. */
        if (block->kind == MEMORY_SCRATCH) (void)cudaFree(block->at);
        free(block);
        block = next;
    }
}
