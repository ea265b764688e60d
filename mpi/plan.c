/* See plan.h. */
#include "mpi/plan.h"

#include "kernels/memory_kinds.h"
#include "kernels/plan.h"
#include "kernels/sleep.h"
#include "mpi/doctor_facts.h"
#include "src/base/log.h"

#include <stdlib.h>
#include <string.h>

/* The world as another rank sees it: roles and numbers, no communicators. */
static struct world world_of_rank(const struct world *world, int rank)
{
    struct world other = *world;
    other.rank = rank;
    other.roles = roles_of(rank, world->size, world->roles.learners);
    other.groups = NULL;
    return other;
}

status plan_count(struct queue *like, const struct world *world, int rank, plan_function *create,
                  void *context, size_t bytes[MEMORY_KINDS])
{
    struct queue *plan;
    const struct world of = world_of_rank(world, rank);
    TRY(plan_queue_create(like, &plan));
    status s = create(context, &of, plan);
    if (!s) plan_bytes(plan, bytes);
    plan->op->destroy(plan);
    return s;
}

bool plan_wanted(const struct queue *queue)
{
    return !queue->on_host;
}

enum { TABLE_LINE = 256 };

static void table_head(char line[TABLE_LINE])
{
    int used = snprintf(line, TABLE_LINE, "at most, MB   ");
    for (int kind = 0; kind < MEMORY_KINDS; kind++)
        used += snprintf(line + used, TABLE_LINE - (size_t)used, " %11s", memory_kind_name(kind));
    snprintf(line + used, TABLE_LINE - (size_t)used, " %11s", "total");
}

static void table_row(char line[TABLE_LINE], int first, int last, const size_t bytes[MEMORY_KINDS])
{
    char name[32];
    if (first == last)
        snprintf(name, sizeof name, "rank %d", first);
    else
        snprintf(name, sizeof name, "ranks %d-%d", first, last);
    int used = snprintf(line, TABLE_LINE, "%-14s", name);
    for (int kind = 0; kind < MEMORY_KINDS; kind++)
        used += snprintf(line + used, TABLE_LINE - (size_t)used, " %11.1f", memory_mb(bytes[kind]));
    snprintf(line + used, TABLE_LINE - (size_t)used, " %11.1f", memory_mb(memory_sum(bytes)));
}

/* out NULL: into the log. */
static void table_line(FILE *out, const char *line)
{
    if (out)
        fprintf(out, "# %s\n", line);
    else
        log_line(LOG_INFO, "%s", line);
}

static status table_tell(struct queue *queue, const struct world *world, plan_function *create,
                         void *context, FILE *out)
{
    char line[TABLE_LINE];
    size_t bytes[MEMORY_KINDS], next[MEMORY_KINDS];
    TRY(plan_count(queue, world, 0, create, context, bytes));
    table_head(line);
    table_line(out, line);
    for (int first = 0, rank = 1; rank <= world->size; rank++) {
        if (rank < world->size) TRY(plan_count(queue, world, rank, create, context, next));
        if (rank < world->size && !memcmp(bytes, next, sizeof next)) continue;
        table_row(line, first, rank - 1, bytes);
        table_line(out, line);
        first = rank;
        memcpy(bytes, next, sizeof next);
    }
    struct memory_report report;
    queue->op->memory_report(queue, &report);
    if (!report.total) return NULL;
    snprintf(line, sizeof line, "of rank 0's GPU %.1f of %.1f MB are free", memory_mb(report.left),
             memory_mb(report.total));
    table_line(out, line);
    return NULL;
}

/* Of all ranks of this one's host. */
static status host_count(struct queue *queue, const struct world *world, plan_function *create,
                         void *context, size_t bytes[MEMORY_KINDS], int *ranks)
{
    const char *host = world_host(world, world->rank);
    *ranks = 0;
    memset(bytes, 0, MEMORY_KINDS * sizeof *bytes);
    for (int rank = 0; rank < world->size; rank++) {
        size_t one[MEMORY_KINDS];
        if (rank != world->rank && strcmp(world_host(world, rank), host) != 0) continue;
        TRY(plan_count(queue, world, rank, create, context, one));
        for (int kind = 0; kind < MEMORY_KINDS; kind++) bytes[kind] += one[kind];
        ++*ranks;
    }
    return NULL;
}

/* A plan is of what may be held at most, and pages are taken as they are touched: weights and
 * moments are held in any case.  looks: nothing will be held here, and all is but told. */
static status host_fits(struct queue *queue, const struct world *world, plan_function *create,
                        void *context, bool looks)
{
    size_t bytes[MEMORY_KINDS];
    int64_t memory, available, limit;
    int ranks;
    char kinds[MEMORY_LINE];
    if (!queue->on_host || queue_is_sleep(queue) || world->local_rank != 0) return NULL;
    doctor_memory(&memory, &available, &limit);
    const int64_t most = limit >= 0 ? limit : memory;
    const int64_t room = available < most ? available : most;
    if (most <= 0) return NULL;
    TRY(host_count(queue, world, create, context, bytes, &ranks));
    const size_t certain = bytes[MEMORY_WEIGHTS] + bytes[MEMORY_OPTIMIZER];
    const bool weights = bytes[MEMORY_WEIGHTS] > bytes[MEMORY_OPTIMIZER];
    if (certain > (size_t)most && !looks)
        FAIL(STATUS_INPUT,
             "memory: %s: the weights and moments of %d rank%s are %.1f GB, and %.1f GB are all "
             "that "
             "it %s; %s, or start fewer ranks a host",
             world_host(world, world->rank), ranks, ranks == 1 ? "" : "s", 1e-9 * (double)certain,
             1e-9 * (double)most, limit >= 0 ? "may take (its control group)" : "has",
             memory_kind_advice(weights ? MEMORY_WEIGHTS : MEMORY_OPTIMIZER));
    if (memory_sum(bytes) > (size_t)room)
        log_line(LOG_WARNING,
                 "memory: %s: %d rank%s may hold %s, and %.1f MB are free; should it run out, %s",
                 world_host(world, world->rank), ranks, ranks == 1 ? "" : "s",
                 memory_line(bytes, kinds), memory_mb((size_t)room),
                 memory_kind_advice(memory_largest(bytes)));
    return NULL;
}

status plan_reserve(struct queue *queue, const struct world *world, plan_function *create,
                    void *context)
{
    size_t bytes[MEMORY_KINDS];
    if (!plan_wanted(queue)) return host_fits(queue, world, create, context, false);
    if (world->rank == 0) TRY(table_tell(queue, world, create, context, NULL));
    TRY(plan_count(queue, world, world->rank, create, context, bytes));
    return queue->op->memory_reserve(queue, bytes);
}

status plan_check(struct queue *queue, const struct world *world, plan_function *create,
                  void *context)
{
    size_t bytes[MEMORY_KINDS];
    TRY(plan_count(queue, world, world->rank, create, context, bytes));
    return host_fits(queue, world, create, context, true);
}

status plan_print(struct queue *queue, const struct world *world, plan_function *create,
                  void *context, FILE *out)
{
    return table_tell(queue, world, create, context, out);
}

void plan_log_use(struct queue *queue, const char *when, int64_t step)
{
    struct memory_report r;
    if (!plan_wanted(queue)) return;
    queue->op->memory_report(queue, &r);
    log_line(LOG_DEBUG, "%s %lld: %lld allocations of GPU memory, %.1f MB beyond what was reserved",
             when, (long long)step, (long long)r.allocations, memory_mb(r.outside));
}
