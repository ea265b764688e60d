/* See doctor_sums.h. */
#include "mpi/doctor_sums.h"

#include "mpi/values.h"
#include "src/base/clock.h"
#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Floats of a sum; how many in a row, of which the first waits for the last learner. */
enum { LARGE = 1 << 20, ROUNDS = 7, SMALL_ROW = 16, LARGE_ROW = 4 };

static int doubles_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double doctor_median(double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, doubles_compare);
    return values[count / 2];
}

/* A row of sums and gathers of vectors; size 0: of gathers of a few bytes, two collectives each. */
static status sums_row(struct world *world, struct staging *staging, float *values, int64_t size,
                       int row)
{
    for (int i = 0; i < row; i++) {
        if (size) {
            TRY(learners_reduce(world, staging, values, size));
            TRY(learners_gather_values(world, staging, values, size, NULL));
            continue;
        }
        char *all;
        size_t *sizes;
        TRY(learners_allgather_bytes(world, &i, sizeof i, &all, &sizes));
        free(all);
        free(sizes);
    }
    return NULL;
}

/* Seconds of a sum, of a gather or of a small collective: the median of rounds, each as long as its
 * slowest learner's.
 */
static status sum_time(struct world *world, struct staging *staging, float *values, int64_t size,
                       int row, double *out)
{
    double seconds[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        int64_t slowest, mine = 0;
        status s = NULL;
        TRY(world_barrier(world, "a measured sum"));
        if (world->roles.is_learner) {
            const double begun = seconds_now();
            s = sums_row(world, staging, values, size, row);
            mine = (int64_t)(1e9 * (seconds_now() - begun));
        }
        TRY(world_agree(world, s));
        TRY(world_maximum(world, mine, &slowest));
        seconds[i] = 1e-9 * (double)slowest / (2 * row);
    }
    *out = doctor_median(seconds, ROUNDS);
    return NULL;
}

struct sums {
    double small, large; /* seconds */
};

static status sums_measure(struct world *world, struct queue *q, int learners, struct sums *out)
{
    struct staging staging = {0};
    float *values = NULL;
    TRY(world_roles(world, learners, world->patience));
    status s = NULL;
    if (world->roles.is_learner) {
        s = staging_open(&staging, world, q);
        if (!s) s = q->op->allocate(q, MEMORY_OPTIMIZER, LARGE * sizeof *values, (void **)&values);
        if (!s) q->op->zero(q, values, LARGE * sizeof *values);
        if (!s) s = q->op->synchronize(q);
    }
    s = world_agree(world, s);
    if (!s) s = sum_time(world, &staging, values, 0, SMALL_ROW, &out->small);
    if (!s) s = sum_time(world, &staging, values, LARGE, LARGE_ROW, &out->large);
    if (values) q->op->release(q, values);
    staging_close(&staging);
    return s;
}

/* Whether partners of a level are on two hosts. */
static bool level_far(const struct doctor_facts *ranks, int learners, int bit)
{
    for (int l = 0; l < learners; l++)
        if (strcmp(ranks[l].host, ranks[l ^ bit].host) != 0) return true;
    return false;
}

/* A link by what levels took of which it is the way: so many, of so many bytes a rank.  Where small
 * sums took nearly as long as large ones (of other work on the machine), most of a large one is
 * still that of its bytes. */
static void link_of(double small, double large, double levels, double bytes,
                    struct cluster_link *out)
{
    out->latency = fmax(0, small / levels);
    out->bandwidth = bytes / fmax(large - small, fmax(large / 2, 1e-9));
}

/* Inside a host: the link of two learners, and sharing.sums, by as many as it has. */
static status inside_measure(struct world *world, struct queue *q, const struct doctor_facts *ranks,
                             struct cluster *c, struct sums *two)
{
    double *speed = c->sharing.sums;
    speed[0] = speed[1] = 1;
    c->sharing.sums_count = 2;
    TRY(sums_measure(world, q, 2, two));
    link_of(two->small, two->large, 1, 4.0 * LARGE / 2, &c->inside);
    for (int n = 4; n <= CLUSTER_LIST_MAX && n <= world->size; n *= 2) {
        struct sums all;
        struct cluster_link link;
        if (strcmp(ranks[0].host, ranks[n - 1].host) != 0) break;
        TRY(sums_measure(world, q, n, &all));
        link_of(all.small, all.large, 1, 4.0 * LARGE * (1 - 1.0 / n), &link);
        const double before = speed[n / 2 - 1];
        const double now = fmin(1, link.bandwidth / c->inside.bandwidth);
        for (int k = n / 2 + 1; k <= n; k++)
            speed[k - 1] = before + (now - before) * (k - n / 2) / (n / 2);
        c->sharing.sums_count = n;
    }
    return NULL;
}

status doctor_sums(struct world *world, struct queue *q, const struct doctor_facts *ranks,
                   struct cluster *c, bool *inside, bool *between)
{
    struct sums near = {0}, all;
    int learners = 1;
    *inside = *between = false;
    if (world->size == 1) return NULL;
    while (2 * learners <= world->size) learners *= 2;
    *inside = !strcmp(ranks[0].host, ranks[1].host);
    if (*inside) TRY(inside_measure(world, q, ranks, c, &near));
    double near_levels = 0, far_levels = 0, near_share = 0, far_share = 0, share = 0.5;
    for (int bit = 1; bit < learners; bit *= 2, share /= 2) {
        const bool far = level_far(ranks, learners, bit);
        *(far ? &far_levels : &near_levels) += 1;
        *(far ? &far_share : &near_share) += share;
    }
    *between = far_levels > 0;
    if (!*between) return NULL;
    TRY(sums_measure(world, q, learners, &all));
    /* What levels inside a host take is known, of two ranks at once. */
    const double waiting = *inside ? near_levels * near.small : 0;
    const double moving = *inside ? near_share / 0.5 * (near.large - near.small) : 0;
    link_of(all.small - waiting, all.large - waiting - moving, far_levels, 4.0 * LARGE * far_share,
            &c->between);
    return NULL;
}
