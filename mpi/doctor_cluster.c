/* See doctor_cluster.h. */
#include "mpi/doctor_cluster.h"

#include "kernels/sleep.h"
#include "mpi/doctor_sums.h"
#include "mpi/setup.h"
#include "mpi/transport_mpi.h"
#include "src/base/clock.h"
#include "src/base/heartbeat.h"
#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A product of as many rows as a small microbatch has, and a copy that no cache of a core holds. */
enum { ROWS = 128, WIDE = 256, COPIED = 16 << 20, ROUNDS = 3, EACH = 8 };
/* Until the system has dealt ranks out to cores, and from then on. */
static const double warm_seconds = 0.1, round_seconds = 0.25;

/* What ranks do at once. */
struct bench {
    struct queue *queue;
    struct packed_matrix *w; /* NULL: copies */
    float *x, *y;            /* [ROWS, WIDE], or COPIED bytes */
};

static status bench_open(struct queue *q, bool product, struct bench *out)
{
    const size_t bytes = product ? sizeof(float) * ROWS * WIDE : COPIED;
    float *weights = memory_allocate(sizeof(float) * WIDE * WIDE);
    *out = (struct bench){.queue = q};
    status s = q->op->allocate(q, MEMORY_SCRATCH, bytes, (void **)&out->x);
    if (!s) s = q->op->allocate(q, MEMORY_SCRATCH, bytes, (void **)&out->y);
    if (!s && product) s = q->op->matrix_create(q, WIDE, WIDE, false, &out->w);
    if (!s) { /* pages are there */
        q->op->zero(q, out->x, bytes);
        q->op->zero(q, out->y, bytes);
        if (product) q->op->matrix_pack(q, out->w, weights, NULL);
        s = q->op->synchronize(q);
    }
    free(weights);
    return s;
}

static void bench_close(struct bench *b)
{
    const struct ops *op = b->queue->op;
    if (b->w) op->matrix_destroy(b->queue, b->w);
    if (b->x) op->release(b->queue, b->x);
    if (b->y) op->release(b->queue, b->y);
}

/* Calls a second of this rank, for a round. */
static double bench_round(const struct bench *b)
{
    struct queue *q = b->queue;
    double begun = seconds_now(), seconds;
    int64_t calls = 0;
    bool warm = false;
    do {
        if (b->w)
            q->op->matmul(q, b->y, b->x, b->w, ROWS, false);
        else
            q->op->copy(q, b->y, b->x, COPIED);
        calls++;
        seconds = seconds_now() - begun;
        if (!warm && seconds > warm_seconds) {
            warm = true;
            calls = 0;
            begun += seconds;
            seconds = 0;
        }
    } while (!warm || seconds < round_seconds);
    heartbeat_note();
    return (double)calls / seconds;
}

/* Every rank's number, [size]. */
static status gather(struct world *world, double mine, double *all)
{
    static const char what[] = "what ranks do at once";
    MPI_Request request;
    TRY(transport_check(
        MPI_Iallgather(&mine, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, world->groups->world, &request),
        what));
    return transport_wait_all(world, &request, 1, what);
}

/* Mean rate of a rank while k of every host are at it. */
static status at_once(struct world *world, const struct bench *b, int64_t k, double *rate)
{
    double *all = memory_allocate((size_t)world->size * sizeof *all), sum = 0;
    int64_t working = 0;
    status s = world_barrier(world, "what ranks do at once");
    if (!s) s = gather(world, world->local_rank < k ? bench_round(b) : 0, all);
    for (int r = 0; !s && r < world->size; r++) {
        sum += all[r];
        working += all[r] > 0;
    }
    free(all);
    *rate = working ? sum / (double)working : 0;
    return s;
}

/* speed [most] of each of k = 1 ... most ranks; of more than EACH those between are on the line of
 * what all do together.  *alone: calls a second of one. */
static status speeds_measure(struct world *world, const struct bench *b, int64_t most,
                             double *speed, double *alone)
{
    double rates[EACH + 1][ROUNDS], singles[ROUNDS];
    const int64_t each = most < EACH ? most : EACH;
    for (int i = 0; i < ROUNDS; i++) {
        TRY(at_once(world, b, 1, &singles[i]));
        for (int64_t k = 2; k <= each; k++) TRY(at_once(world, b, k, &rates[k - 1][i]));
        if (most > each) TRY(at_once(world, b, most, &rates[EACH][i]));
        for (int64_t k = 2; k <= each; k++) rates[k - 1][i] /= singles[i];
        rates[EACH][i] /= singles[i];
    }
    *alone = doctor_median(singles, ROUNDS);
    speed[0] = 1;
    for (int64_t k = 2; k <= each; k++) speed[k - 1] = fmin(1, doctor_median(rates[k - 1], ROUNDS));
    if (most == each) return NULL;
    const double last = (double)most * fmin(1, doctor_median(rates[EACH], ROUNDS));
    const double first = (double)each * speed[each - 1];
    for (int64_t k = each + 1; k <= most; k++)
        speed[k - 1] = fmin(
            1, (first + (last - first) * (double)(k - each) / (double)(most - each)) / (double)k);
    return NULL;
}

/* Seconds of an operation that does next to nothing. */
static status launch_measure(const struct bench *b, double *seconds)
{
    enum { CALLS = 2000 };
    struct queue *q = b->queue;
    const double begun = seconds_now();
    for (int i = 0; i < CALLS; i++) q->op->add(q, b->y, b->x, b->x, 16);
    TRY(q->op->synchronize(q));
    *seconds = (seconds_now() - begun) / CALLS;
    return NULL;
}

/* Of a host's cores and memory. */
static status host_measure(struct world *world, struct queue *q, struct doctor_cluster *out)
{
    struct cluster *c = &out->cluster;
    struct bench product = {.queue = q}, copy = {.queue = q};
    double calls = 0, copies = 0;
    const int64_t most = c->ranks < CLUSTER_LIST_MAX ? c->ranks : CLUSTER_LIST_MAX;
    status s = bench_open(q, false, &copy);
    if (!s && out->cores) s = bench_open(q, true, &product);
    s = world_agree(world, s);
    if (!s) s = speeds_measure(world, &copy, most, c->sharing.memory, &copies);
    c->sharing.memory_count = most;
    c->copy.bandwidth = copies * COPIED;
    if (!s && out->cores) {
        s = speeds_measure(world, &product, most, c->sharing.compute, &calls);
        c->sharing.compute_count = most;
        c->device.flops = calls * 2 * ROWS * (double)WIDE * WIDE;
        c->device.bandwidth = 2 * c->copy.bandwidth; /* read and written */
        c->cores = fmax(1, c->sharing.compute[most - 1] * (double)most);
    }
    if (!s && out->cores) s = launch_measure(&copy, &c->device.launch);
    bench_close(&copy);
    bench_close(&product);
    return s;
}

/* Hosts, and how many ranks the fullest has. */
static void hosts_count(const struct doctor_facts *ranks, int size, struct doctor_cluster *out)
{
    int64_t *of = memory_allocate((size_t)size * sizeof *of); /* ranks of a host, at its first */
    out->cluster.hosts = out->cluster.ranks = 0;
    for (int r = 0; r < size; r++) {
        int first = 0;
        while (strcmp(ranks[first].host, ranks[r].host) != 0) first++;
        out->cluster.hosts += first == r;
        if (++of[first] > out->cluster.ranks) out->cluster.ranks = of[first];
    }
    for (int r = 0; r < size; r++) out->uneven += of[r] > 0 && of[r] < out->cluster.ranks;
    free(of);
}

static void found_report(const struct doctor_cluster *found, struct doctor_report *report)
{
    const struct cluster *c = &found->cluster;
    const int64_t last = c->sharing.memory_count - 1;
    char compute[96] = "", link[160] = "";
    if (found->cores)
        snprintf(compute, sizeof compute,
                 "%lld ranks that compute at once have %.2f of one's speed "
                 "each, ",
                 (long long)last + 1, c->sharing.compute[last]);
    if (found->inside || found->between) {
        const struct cluster_link *way = found->inside ? &c->inside : &c->between;
        snprintf(link, sizeof link, "; a sum of learners %s: %.2f ms and %.2f GB/s a level",
                 found->inside ? "in a host" : "between hosts", 1e3 * way->latency,
                 1e-9 * way->bandwidth);
    }
    doctor_add(report, found->uneven ? DOCTOR_WARNING : DOCTOR_OK, "cluster",
               found->uneven ? "a plan has as many ranks on every host as on the fullest" : NULL,
               "%s%lld that copy %.2f, of %.2f GB/s%s", compute, (long long)last + 1,
               c->sharing.memory[last], 1e-9 * c->copy.bandwidth, link);
}

status doctor_cluster_measure(struct world *world, const struct config *config,
                              const struct doctor_facts *ranks, double write_rate,
                              struct doctor_cluster *out, struct doctor_report *report)
{
    const struct queue_options cpu = {
        .device = "cpu", .threads = (int)config->threads, .instructions = "auto", .exact = true};
    struct queue *own = NULL, *host = NULL;
    *out = (struct doctor_cluster){.files = write_rate > 0};
    cluster_defaults(&out->cluster);
    hosts_count(ranks, world->size, out);
    if (out->files) out->cluster.files.bandwidth = write_rate;
    status s = queue_open(config, world->local_rank, world->size, &own);
    if (!s) s = queue_create(&cpu, &host);
    s = world_agree(world, s);
    if (status_code(s) == STATUS_INPUT) { /* the same everywhere: a finding like any other */
        doctor_add(report, DOCTOR_PROBLEM, "cluster",
                   "nothing is written for plan; set device to one that is here", "%s",
                   status_message(s));
        status_free(s);
        if (host) host->op->destroy(host);
        if (own) own->op->destroy(own);
        out->missing = true;
        return NULL;
    }
    if (!s) {
        out->sleeps = queue_is_sleep(own);
        out->cores = own->on_host && !out->sleeps;
        if (out->sleeps) {
            out->cluster.device.flops = config->sleep.flops;
            out->cluster.device.bandwidth = config->sleep.bandwidth;
            out->cluster.device.launch = config->sleep.launch;
            out->cluster.device.jitter = config->sleep.jitter;
        }
        if (out->cores || out->sleeps)
            out->cluster.device.memory = (double)ranks[0].memory / (double)out->cluster.ranks;
        s = host_measure(world, host, out);
    }
    if (!s) s = doctor_sums(world, own, ranks, &out->cluster, &out->inside, &out->between);
    if (host) host->op->destroy(host);
    if (own) own->op->destroy(own);
    if (!s) found_report(out, report);
    return s;
}

static void list_print(const char *name, const double *values, int64_t count, FILE *out)
{
    fprintf(out, "  %s: [", name);
    for (int64_t i = 0; i < count; i++) fprintf(out, "%s%.4g", i ? ", " : "", values[i]);
    fprintf(out, "]\n");
}

static void link_print(const char *name, const struct cluster_link *link, bool known,
                       const char *why_not, FILE *out)
{
    if (known)
        fprintf(out, "%s:\n  bandwidth: %.4g\n  latency: %.4g\n", name, link->bandwidth,
                link->latency);
    else
        fprintf(out, "# %s: %s\n", name, why_not);
}

void doctor_cluster_print(const struct doctor_cluster *found, FILE *out)
{
    const struct cluster *c = &found->cluster;
    fprintf(out,
            "# What `regard doctor --out` measured here; every key's meaning stands in\n"
            "# configs/cluster-example.yaml.  Change hosts to ask for more of the same.\n"
            "hosts: %lld\nranks: %lld\ncores: %.4g\n",
            (long long)c->hosts, (long long)c->ranks, found->cores ? c->cores : 0);
    if (found->cores || found->sleeps)
        fprintf(out,
                "device:\n  flops: %.4g\n  bandwidth: %.4g\n  launch: %.4g\n  memory: %.4g\n  "
                "jitter: %.4g\n",
                c->device.flops, c->device.bandwidth, c->device.launch, c->device.memory,
                c->device.jitter);
    else
        fprintf(out,
                "# device: a GPU's rates are `regard bench kernels update`'s (plan --bench)\n");
    fprintf(out, "sharing:\n");
    if (found->cores) list_print("compute", c->sharing.compute, c->sharing.compute_count, out);
    list_print("memory", c->sharing.memory, c->sharing.memory_count, out);
    if (found->inside) list_print("sums", c->sharing.sums, c->sharing.sums_count, out);
    fprintf(out, "copy:\n  bandwidth: %.4g\n", c->copy.bandwidth);
    link_print("inside", &c->inside, found->inside, "ranks 0 and 1 were not on one host", out);
    link_print("between", &c->between, found->between, "there was one host", out);
    if (found->files)
        fprintf(out, "files:\n  bandwidth: %.4g\n", c->files.bandwidth);
    else
        fprintf(out, "# files: not measured; give doctor --run\n");
}
