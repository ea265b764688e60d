/* A table of operations that calls another one's and takes the time.  It is the first member of its
 * struct, so that a call finds the rest by its queue's table.  See profile.h. */
#include "kernels/profile.h"

#include "kernels/cost.h"
#include "src/base/clock.h"
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define NUMBER(name, ...) OP_##name,
enum operation { OPERATIONS(NUMBER) OPERATION_COUNT };
#define NAME(name, ...) #name,
static const char *const names[] = {OPERATIONS(NAME)};

struct product {
    const struct packed_matrix *w;
    struct matrix_size size;
};

struct profile {
    struct ops table;
    struct queue *queue;
    const struct ops *inner;
    double begun;
    bool inside; /* a call of an operation's own is part of it */
    struct count {
        int64_t calls;
        double seconds, flops;
    } counts[OPERATION_COUNT];
    struct product *products;
    int64_t product_count;
};

static struct profile *profile_of(const struct queue *q)
{
    return (struct profile *)(uintptr_t)q->op;
}

static void profile_add(struct profile *p, enum operation operation, double begun, double flops)
{
    p->inside = false;
    p->counts[operation].calls++;
    p->counts[operation].seconds += seconds_now() - begun;
    p->counts[operation].flops += flops;
}

/* Of a matrix that was created here; zeros: unknown. */
static struct matrix_size matrix_size(const struct queue *q, const struct packed_matrix *w)
{
    const struct profile *p = profile_of(q);
    for (int64_t i = 0; i < p->product_count; i++)
        if (p->products[i].w == w) return p->products[i].size;
    return (struct matrix_size){0};
}

static status timed_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                                  struct packed_matrix **out)
{
    struct profile *p = profile_of(q);
    TRY(p->inner->matrix_create(q, n, k, with_input_gradient, out));
    p->products = memory_resize(p->products, (size_t)(p->product_count + 1) * sizeof *p->products);
    p->products[p->product_count++] = (struct product){.w = *out, .size = {n, k}};
    return NULL;
}

static void timed_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    struct profile *p = profile_of(q);
    for (int64_t i = 0; i < p->product_count; i++)
        if (p->products[i].w == w) p->products[i] = p->products[--p->product_count];
    p->inner->matrix_destroy(q, w);
}

#define TIMED(name, cost, arguments, ...)                                                          \
    static void timed_##name(struct queue *q, __VA_ARGS__)                                         \
    {                                                                                              \
        struct profile *p = profile_of(q);                                                         \
        const bool outer = !p->inside;                                                             \
        const double flops = outer ? (cost).flops : 0, begun = seconds_now();                      \
        p->inside = true;                                                                          \
        p->inner->name arguments;                                                                  \
        if (outer) profile_add(p, OP_##name, begun, flops);                                        \
    }
OPERATIONS(TIMED)

status profile_begin(struct queue *q, struct profile **out)
{
    *out = NULL;
    if (!q->on_host)
        FAIL(STATUS_INPUT, "--profile times operations on the CPU; on a GPU take NVIDIA's nsys, or "
                           "--set device=cpu");
    struct profile *p = memory_allocate(sizeof *p);
    p->queue = q;
    p->inner = q->op;
    p->table = *q->op;
    p->table.matrix_create = timed_matrix_create;
    p->table.matrix_destroy = timed_matrix_destroy;
#define TAKE(name, ...) p->table.name = timed_##name;
    OPERATIONS(TAKE)
    q->op = &p->table;
    profile_clear(p);
    *out = p;
    return NULL;
}

void profile_clear(struct profile *p)
{
    memset(p->counts, 0, sizeof p->counts);
    p->begun = seconds_now();
}

void profile_print(const struct profile *p, const char *title, FILE *out)
{
    const double whole = seconds_now() - p->begun;
    bool printed[OPERATION_COUNT] = {false};
    double rest = whole;
    fprintf(out, "%s: %.2f s\n%10s %6s %9s %8s\n", title, whole, "seconds", "%", "calls",
            "GFLOP/s");
    for (;;) {
        int next = -1;
        for (int i = 0; i < OPERATION_COUNT; i++)
            if (!printed[i] && p->counts[i].calls &&
                (next < 0 || p->counts[i].seconds > p->counts[next].seconds))
                next = i;
        if (next < 0) break;
        const struct count *count = &p->counts[next];
        printed[next] = true;
        rest -= count->seconds;
        char rate[32] = "";
        if (count->flops > 0)
            snprintf(rate, sizeof rate, "%.1f", count->flops / count->seconds * 1e-9);
        fprintf(out, "%10.3f %6.1f %9lld %8s  %s\n", count->seconds, 100 * count->seconds / whole,
                (long long)count->calls, rate, names[next]);
    }
    fprintf(out, "%10.3f %6.1f %27s\n", rest, 100 * rest / whole, "outside of operations");
}

void profile_end(struct profile *p)
{
    if (!p) return;
    p->queue->op = p->inner;
    free(p->products);
    free(p);
}
