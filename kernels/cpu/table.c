/* The CPU's table of operations, and its queue: memory, order and errors.  Calls finish before
 * they return, so synchronize only hands over the error kept. */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/matmul_tiles.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { alignment = 64, huge_page = 2 << 20 };

static const struct ops cpu_ops = {
    .name = "cpu",
    .allocate = cpu_allocate,
    .release = cpu_release,
    .memory_reserve = cpu_memory_reserve,
    .memory_report = cpu_memory_report,
    .memory_scratch = cpu_memory_scratch,
    .host_allocate = cpu_host_allocate,
    .host_release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .synchronize = cpu_synchronize,
    .mark = cpu_mark,
    .mark_wait = cpu_mark,
    .destroy = cpu_destroy,
    .matrix_bytes = cpu_matrix_bytes,
    .matrix_create = cpu_matrix_create,
    .matrix_destroy = cpu_matrix_destroy,
    .matrix_pack = cpu_matrix_pack,
    .matrix_hash = cpu_matrix_hash,
    .matmul = cpu_matmul,
    .matmul_relu = cpu_matmul_relu,
    .matmul_float = cpu_matmul_float,
    .matmul_input_gradient = cpu_matmul_input_gradient,
    .matmul_weight_gradient = cpu_matmul_weight_gradient,
    .narrow = cpu_narrow,
    .embedding = cpu_embedding,
    .embedding_backward = cpu_embedding_backward,
    .rmsnorm = cpu_rmsnorm,
    .rmsnorm_backward = cpu_rmsnorm_backward,
    .add = cpu_add,
    .scale = cpu_scale,
    .relu_backward = cpu_relu_backward,
    .gated_activation = cpu_gated_activation,
    .gated_activation_backward = cpu_gated_activation_backward,
    .bias_add = cpu_bias_add,
    .bias_backward = cpu_bias_backward,
    .head_norm = cpu_head_norm,
    .head_norm_backward = cpu_head_norm_backward,
    .rope = cpu_rope,
    .relative_bias = cpu_relative_bias,
    .relative_bias_backward = cpu_relative_bias_backward,
    .attention = cpu_attention,
    .attention_backward = cpu_attention_backward,
    .attention_alignment = cpu_attention_alignment,
    .attention_summary = cpu_attention_summary,
    .attention_received = cpu_attention_received,
    .head_statistics_sampled = cpu_head_statistics_sampled,
    .head_row_entropy = cpu_head_row_entropy,
    .cache_append = cpu_cache_append,
    .advance = cpu_advance,
    .mean_rows = cpu_mean_rows,
    .mean_rows_backward = cpu_mean_rows_backward,
    .softmax_loss = cpu_softmax_loss,
    .softmax_loss_backward = cpu_softmax_loss_backward,
    .sample = cpu_sample,
    .ppo_loss = cpu_ppo_loss,
    .square_sum = cpu_square_sum,
    .hash = cpu_hash,
    .adamw = cpu_adamw,
};

void cpu_fail(struct queue *q, status error)
{
    struct cpu_queue *cpu = cpu_queue_of(q);
#pragma omp critical(cpu_fail)
    {
        if (cpu->error)
            status_free(error);
        else
            cpu->error = error;
    }
}

/* Large blocks lie on huge pages where the system has them: a product reads whole weights, and
 * would miss the TLB. */
static void *memory_new(size_t bytes)
{
    size_t align = bytes >= 2 * huge_page ? huge_page : alignment;
    if (bytes > SIZE_MAX - align) return NULL;
    bytes = bytes ? (bytes + align - 1) / align * align : align;
    void *memory = aligned_alloc(align, bytes);
    if (memory && align == huge_page) (void)madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

void *cpu_scratch(struct queue *q, int slot, size_t bytes)
{
    struct cpu_scratch *s = &cpu_queue_of(q)->scratch[slot];
    if (s->memory && s->bytes >= bytes) return s->memory;
    free(s->memory);
    s->memory = memory_new(bytes);
    s->bytes = s->memory ? bytes : 0;
    if (!s->memory)
        cpu_fail(q, ERROR(STATUS_INTERNAL, "no memory for %zu bytes of working space", bytes));
    return s->memory;
}

status cpu_host_allocate(struct queue *q, size_t bytes, void **out)
{
    return cpu_allocate(q, MEMORY_ACTIVATIONS, bytes, out);
}

status cpu_allocate(struct queue *q, enum memory_kind kind, size_t bytes, void **out)
{
    (void)q, (void)kind;
    *out = memory_new(bytes);
    if (!*out) FAIL(STATUS_INTERNAL, "no memory for %zu bytes", bytes);
    return NULL;
}

void cpu_release(struct queue *q, void *memory)
{
    (void)q;
    free(memory);
}

status cpu_memory_reserve(struct queue *q, const size_t bytes[MEMORY_KINDS])
{
    (void)q, (void)bytes;
    return NULL;
}

void cpu_memory_report(struct queue *q, struct memory_report *out)
{
    (void)q;
    *out = (struct memory_report){0};
}

size_t cpu_memory_scratch(const struct queue *q, const size_t bytes[MEMORY_KINDS])
{
    (void)q, (void)bytes;
    return 0;
}

void cpu_upload(struct queue *q, void *to, const void *host_from, size_t bytes)
{
    cpu_copy(q, to, host_from, bytes);
}

void cpu_download(struct queue *q, void *host_to, const void *from, size_t bytes)
{
    cpu_copy(q, host_to, from, bytes);
}

void cpu_copy(struct queue *q, void *to, const void *from, size_t bytes)
{
    (void)q;
    if (bytes) memmove(to, from, bytes);
}

void cpu_zero(struct queue *q, void *to, size_t bytes)
{
    (void)q;
    if (bytes) memset(to, 0, bytes);
}

status cpu_synchronize(struct queue *q)
{
    status error = cpu_queue_of(q)->error;
    cpu_queue_of(q)->error = NULL;
    return error;
}

/* Everything has run already. */
void cpu_mark(struct queue *q, int slot)
{
    (void)q, (void)slot;
}

void cpu_destroy(struct queue *q)
{
    if (!q) return;
    struct cpu_queue *cpu = cpu_queue_of(q);
    for (int i = 0; i <= q->threads; i++) free(cpu->scratch[i].memory);
    free(cpu->scratch);
    status_free(cpu->error);
    free(cpu);
}

/* The widest instruction set this processor has, or the one asked for. */
static status instructions_choose(struct cpu_queue *cpu, const char *name)
{
    static const struct {
        const char *name;
        enum cpu_instructions set;
        const struct matmul_tiles *(*tiles)(void);
    } choices[] = {
        {"avx512", CPU_AVX512, matmul_tiles_avx512},
        {"avx2", CPU_AVX2, matmul_tiles_avx2},
        {"c", CPU_C, matmul_tiles_c},
    };
    const bool automatic = !strcmp(name, "auto");
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (!automatic && strcmp(name, choices[i].name)) continue;
        cpu->tiles = choices[i].tiles();
        cpu->instructions = choices[i].set;
        if (cpu->tiles) return NULL;
        if (!automatic) FAIL(STATUS_INPUT, "this processor has no %s instructions", name);
    }
    FAIL(STATUS_INPUT, "instructions: \"%s\" is none of auto, avx512, avx2, c", name);
}

status cpu_queue_create(int threads, const char *instructions, struct queue **out)
{
    *out = NULL;
    if (threads < 1) FAIL(STATUS_INPUT, "threads: %d is less than 1", threads);
    struct cpu_queue *cpu = calloc(1, sizeof *cpu);
    struct cpu_scratch *scratch = calloc((size_t)threads + 1, sizeof *scratch);
    if (!cpu || !scratch) {
        free(cpu);
        free(scratch);
        FAIL(STATUS_INTERNAL, "no memory for a queue");
    }
    cpu->base = (struct queue){
        .op = &cpu_ops, .threads = threads, .real_bytes = 4, .exact = true, .on_host = true};
    cpu->scratch = scratch;
    status error = instructions_choose(cpu, instructions);
    if (error) {
        cpu_destroy(&cpu->base);
        return error;
    }
    *out = &cpu->base;
    return NULL;
}
