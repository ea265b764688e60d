/* The counting queue: see plan.h.  Only what creates and reserves may be called; a reserve function
 * that calculates would end at an operation that is NULL. */
#include "kernels/plan.h"

#include "kernels/memory_kinds.h"
#include "kernels/sleep.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct plan_block {
    void *at; /* addresses that nobody may touch */
    size_t bytes;
    enum memory_kind kind;
    struct plan_block *next;
};

struct plan_queue {
    struct queue base;
    struct ops table;
    struct queue *like;
    struct plan_block *blocks;
    struct memory_report report;
};

struct packed_matrix {
    void *values;
};

static struct plan_queue *plan_of(struct queue *q)
{
    return (struct plan_queue *)q;
}

static status plan_allocate(struct queue *q, enum memory_kind kind, size_t bytes, void **out)
{
    struct plan_queue *plan = plan_of(q);
    struct plan_block *block = calloc(1, sizeof *block);
    *out = NULL;
    if (!block) FAIL(STATUS_INTERNAL, "no memory for a plan");
    block->bytes = memory_rounded(bytes);
    block->kind = kind;
    block->at =
        mmap(NULL, block->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block->at == MAP_FAILED) {
        free(block);
        FAIL(STATUS_INPUT, "a block of %zu bytes for %s is more than addresses reach", bytes,
             memory_kind_name(kind));
    }
    block->next = plan->blocks;
    plan->blocks = block;
    struct memory_report *r = &plan->report;
    r->allocations++;
    r->current[kind] += block->bytes;
    if (r->current[kind] > r->peak[kind]) r->peak[kind] = r->current[kind];
    *out = block->at;
    return NULL;
}

static void plan_release(struct queue *q, void *memory)
{
    struct plan_queue *plan = plan_of(q);
    for (struct plan_block **place = &plan->blocks; memory && *place; place = &(*place)->next) {
        struct plan_block *block = *place;
        if (block->at != memory) continue;
        plan->report.current[block->kind] -= block->bytes;
        *place = block->next;
        munmap(block->at, block->bytes);
        free(block);
        return;
    }
}

static status plan_host_allocate(struct queue *q, size_t bytes, void **out)
{
    (void)q;
    *out = malloc(bytes + 1);
    if (!*out) FAIL(STATUS_INTERNAL, "no memory for %zu bytes", bytes);
    return NULL;
}

static void plan_host_release(struct queue *q, void *memory)
{
    (void)q;
    free(memory);
}

static void plan_memory_report(struct queue *q, struct memory_report *out)
{
    *out = plan_of(q)->report;
}

static void plan_move(struct queue *q, void *to, const void *from, size_t bytes)
{
    (void)q, (void)to, (void)from, (void)bytes;
}

static void plan_zero(struct queue *q, void *to, size_t bytes)
{
    (void)q, (void)to, (void)bytes;
}

static status plan_synchronize(struct queue *q)
{
    (void)q;
    return NULL;
}

/* Nothing is ever on its way. */
static void plan_mark(struct queue *q, int slot)
{
    (void)q, (void)slot;
}

/* Never called: that it is there says that the planned queue has graphs. */
static void plan_graph_begin(struct queue *q)
{
    (void)q;
}

static void plan_destroy(struct queue *q)
{
    if (!q) return;
    while (plan_of(q)->blocks) plan_release(q, plan_of(q)->blocks->at);
    free(plan_of(q));
}

static size_t plan_matrix_bytes(const struct queue *q, int64_t n, int64_t k, bool with_gradient)
{
    const struct queue *like = ((const struct plan_queue *)q)->like;
    return like->op->matrix_bytes(like, n, k, with_gradient);
}

static status plan_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                                 struct packed_matrix **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) FAIL(STATUS_INTERNAL, "no memory for a plan");
    status s = plan_allocate(q, MEMORY_WEIGHTS, plan_matrix_bytes(q, n, k, with_input_gradient),
                             &(*out)->values);
    if (s) {
        free(*out);
        *out = NULL;
    }
    return s;
}

static void plan_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    if (!w) return;
    plan_release(q, w->values);
    free(w);
}

static void plan_matrix_pack(struct queue *q, struct packed_matrix *w, const float *values,
                             const struct rounding *rounding)
{
    (void)q, (void)w, (void)values, (void)rounding;
}

static const struct ops plan_ops = {
    .name = "plan",
    .allocate = plan_allocate,
    .release = plan_release,
    .memory_report = plan_memory_report,
    .host_allocate = plan_host_allocate,
    .host_release = plan_host_release,
    .upload = plan_move,
    .download = plan_move,
    .copy = plan_move,
    .zero = plan_zero,
    .synchronize = plan_synchronize,
    .mark = plan_mark,
    .mark_wait = plan_mark,
    .destroy = plan_destroy,
    .matrix_bytes = plan_matrix_bytes,
    .matrix_create = plan_matrix_create,
    .matrix_destroy = plan_matrix_destroy,
    .matrix_pack = plan_matrix_pack,
};

status plan_queue_create(struct queue *like, struct queue **out)
{
    *out = NULL;
    struct plan_queue *plan = calloc(1, sizeof *plan);
    if (!plan) FAIL(STATUS_INTERNAL, "no memory for a plan");
    plan->like = like;
    plan->table = plan_ops;
    if (like->op->graph_begin) plan->table.graph_begin = plan_graph_begin;
    plan->base = *like;
    plan->base.op = &plan->table;
    *out = &plan->base;
    return NULL;
}

bool queue_is_plan(const struct queue *q)
{
    return q->op->allocate == plan_allocate || queue_is_estimate(q);
}

void plan_bytes(struct queue *q, size_t bytes[MEMORY_KINDS])
{
    const struct plan_queue *plan = plan_of(q);
    memcpy(bytes, plan->report.peak, sizeof plan->report.peak);
    bytes[MEMORY_SCRATCH] += plan->like->op->memory_scratch(plan->like, bytes);
}
