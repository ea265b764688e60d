/* See doctor_judge.h. */
#include "mpi/doctor_judge.h"

#include <mpi.h>
#include <stdbool.h>
#include <string.h>

static const int64_t mebi = 1 << 20;

static bool same_host(const struct doctor_facts *ranks, int a, int b)
{
    return !strcmp(ranks[a].host, ranks[b].host);
}

/* Whether a rank is the first of its host. */
static bool is_first(const struct doctor_facts *ranks, int rank)
{
    for (int r = 0; r < rank; r++)
        if (same_host(ranks, r, rank)) return false;
    return true;
}

static int ranks_beside(const struct doctor_facts *ranks, int count, int rank)
{
    int beside = 0;
    for (int r = 0; r < count; r++) beside += same_host(ranks, r, rank);
    return beside;
}

static double gib(int64_t bytes)
{
    return (double)bytes / (double)(1 << 30);
}

/* ---- the launch ---- */

static void judge_ranks(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    int hosts = 0, least = count, most = 0;
    for (int r = 0; r < count; r++) {
        if (!is_first(ranks, r)) continue;
        const int beside = ranks_beside(ranks, count, r);
        hosts++;
        if (beside < least) least = beside;
        if (beside > most) most = beside;
    }
    doctor_add(report, DOCTOR_OK, "ranks", NULL, "%d on %d host%s, %d%s%.0d a host", count, hosts,
               hosts > 1 ? "s" : "", least, least < most ? " to " : "", least < most ? most : 0);
}

static void judge_same(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    int program = 0, mpi = 0;
    for (int r = 1; r < count; r++) {
        if (!program && (strcmp(ranks[r].program, ranks[0].program) != 0 ||
                         strcmp(ranks[r].version, ranks[0].version) != 0))
            program = r;
        if (!mpi && strcmp(ranks[r].mpi, ranks[0].mpi) != 0) mpi = r;
    }
    if (program)
        doctor_add(report, DOCTOR_PROBLEM, "program", "install the same file on every host",
                   "rank %d (%s) runs %s, %.12s, rank 0 (%s) runs %s, %.12s", program,
                   ranks[program].host, ranks[program].version, ranks[program].program,
                   ranks[0].host, ranks[0].version, ranks[0].program);
    else
        doctor_add(report, DOCTOR_OK, "program", NULL, "regard %s, file %.12s, on all ranks",
                   ranks[0].version, ranks[0].program);
    if (mpi)
        doctor_add(report, DOCTOR_PROBLEM, "MPI", "use one MPI on all hosts",
                   "rank %d (%s) has %s, rank 0 (%s) has %s", mpi, ranks[mpi].host, ranks[mpi].mpi,
                   ranks[0].host, ranks[0].mpi);
    else
        doctor_add(report, DOCTOR_OK, "MPI", NULL, "%s on all ranks", ranks[0].mpi);
}

static void judge_cores(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    for (int r = 0; r < count; r++) {
        const struct doctor_facts *f = &ranks[r];
        int64_t threads = 0;
        if (!is_first(ranks, r)) continue;
        for (int k = r; k < count; k++) threads += same_host(ranks, r, k) ? ranks[k].threads : 0;
        const int64_t cores = f->quota_percent >= 0 && f->quota_percent < 100 * f->cores
                                  ? (f->quota_percent + 99) / 100
                                  : f->cores;
        const int beside = ranks_beside(ranks, count, r);
        const bool many = threads > cores;
        char idle[64] = "";
        if (threads < cores && !f->gpu && f->bound >= f->cores)
            snprintf(idle, sizeof idle, "; %lld idle, which more threads would use",
                     (long long)(cores - threads));
        doctor_add(report, many ? DOCTOR_WARNING : DOCTOR_OK, "cores",
                   many ? "start fewer ranks a host, or lower threads" : NULL,
                   "%s: %d rank%s %lld thread%s on %lld core%s%s%s", f->host, beside,
                   beside == 1 ? " runs" : "s run", (long long)threads, threads == 1 ? "" : "s",
                   (long long)cores, cores == 1 ? "" : "s",
                   many && cores < f->cores ? " (the control group's quota)" : "", idle);
    }
}

static bool shares_cores(const struct doctor_facts *a, const struct doctor_facts *b)
{
    for (int i = 0; i < DOCTOR_CORES; i++)
        if (a->mask[i] && b->mask[i]) return true;
    return false;
}

void doctor_judge_binding(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    const char *advice = "give mpirun --bind-to none (run/mpirun does) or srun --cpu-bind=none, or "
                         "set threads to what a rank is bound to";
    const char *free_advice = "set threads to the cores that there are at most";
    int bound = 0, narrow = 0, first = -1, shared = -1;
    for (int r = 0; r < count; r++) {
        const struct doctor_facts *f = &ranks[r];
        if (f->threads > f->bound && !narrow++) first = r;
        if (f->bound >= f->cores) continue;
        bound++;
        for (int k = 0; k < r && shared < 0; k++)
            if (same_host(ranks, k, r) && ranks[k].bound < f->cores && shares_cores(&ranks[k], f) &&
                2 * f->bound <= f->cores)
                shared = r;
    }
    if (narrow)
        doctor_add(
            report, DOCTOR_WARNING, "binding",
            ranks[first].bound < ranks[first].cores ? advice : free_advice,
            "%d of %d ranks have fewer cores than threads; rank %d (%s) may use %lld of %lld "
            "cores and runs %lld threads",
            narrow, count, first, ranks[first].host, (long long)ranks[first].bound,
            (long long)ranks[first].cores, (long long)ranks[first].threads);
    else if (shared >= 0)
        doctor_add(report, DOCTOR_WARNING, "binding", advice,
                   "rank %d (%s) is bound to cores that another rank is bound to, while others are "
                   "free",
                   shared, ranks[shared].host);
    else
        doctor_add(report, DOCTOR_OK, "binding", NULL, "%d of %d ranks are bound to some cores",
                   bound, count);
}

static void judge_omp(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    for (int r = 0; r < count; r++) {
        if (ranks[r].omp_threads <= ranks[r].bound) continue;
        doctor_add(report, DOCTOR_WARNING, "OMP_NUM_THREADS", "unset it; threads says how many run",
                   "%lld at rank %d (%s), which may use %lld cores",
                   (long long)ranks[r].omp_threads, r, ranks[r].host, (long long)ranks[r].bound);
        return;
    }
}

void doctor_judge_launch(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    judge_ranks(ranks, count, report);
    judge_same(ranks, count, report);
    judge_cores(ranks, count, report);
    doctor_judge_binding(ranks, count, report);
    judge_omp(ranks, count, report);
}

/* ---- the hosts ---- */

static void judge_memory(const struct doctor_facts *f, int beside, struct doctor_report *report)
{
    const int64_t room = f->limit >= 0 && f->limit < f->available ? f->limit : f->available;
    const bool few = room / beside < 512 * mebi;
    char limit[64] = "";
    if (f->limit >= 0)
        snprintf(limit, sizeof limit, ", the control group allows %.1f", gib(f->limit));
    doctor_add(report, few ? DOCTOR_WARNING : DOCTOR_OK, "memory",
               few ? "free some, or start fewer ranks a host" : NULL,
               "%s: %.1f GiB, %.1f available%s, for %d rank%s", f->host, gib(f->memory),
               gib(f->available), limit, beside, beside == 1 ? "" : "s");
}

static void judge_shared(const struct doctor_facts *f, int beside, struct doctor_report *report)
{
    const int64_t wanted = 16 * mebi * beside, weights = f->gpu ? 0 : f->weights;
    if (beside == 1 && !weights) return;
    if (beside > 1 && f->shared_free < wanted)
        doctor_add(report, DOCTOR_PROBLEM, "/dev/shm",
                   "clean it, or mount it larger (a container: --shm-size); ranks of a host talk "
                   "through it",
                   "%s: %lld MiB of %lld free", f->host, (long long)(f->shared_free / mebi),
                   (long long)(f->shared / mebi));
    else if (weights && f->shared_free < wanted + weights)
        doctor_add(
            report, DOCTOR_WARNING, "/dev/shm",
            "mount it larger (a container: --shm-size), or lower pipeline.lag; else each rank "
            "of every host holds these weights by itself",
            "%s: %lld MiB of %lld free; a training's weights on their way take about %lld", f->host,
            (long long)(f->shared_free / mebi), (long long)(f->shared / mebi),
            (long long)(weights / mebi));
    else
        doctor_add(report, DOCTOR_OK, "/dev/shm", NULL, "%s: %lld MiB of %lld free", f->host,
                   (long long)(f->shared_free / mebi), (long long)(f->shared / mebi));
}

static void judge_limits(const struct doctor_facts *f, int count, struct doctor_report *report)
{
    const int64_t files = 256 + 4 * (int64_t)count;
    if (f->files >= 0 && f->files < files)
        doctor_add(report, DOCTOR_PROBLEM, "ulimit -n", "raise it: ranks are a file each here",
                   "%s: %lld open files, %lld wanted", f->host, (long long)f->files,
                   (long long)files);
    if (f->infiniband && f->memlock >= 0)
        doctor_add(report, DOCTOR_WARNING, "ulimit -l",
                   "set it to unlimited: InfiniBand pins the memory it sends",
                   "%s: %lld KiB may be locked", f->host, (long long)(f->memlock / 1024));
    if (f->stack >= 0 && f->stack < 4 * mebi)
        doctor_add(report, DOCTOR_WARNING, "ulimit -s", "set it to 8192 or more",
                   "%s: %lld KiB of stack", f->host, (long long)(f->stack / 1024));
}

static void judge_gpus(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    int gpus = 0, without = -1, sharing = -1;
    for (int r = 0; r < count; r++) {
        gpus += ranks[r].gpu != 0;
        if (ranks[r].driver && !ranks[r].gpu && without < 0) without = r;
        for (int k = 0; k < r && sharing < 0 && ranks[r].gpu; k++)
            if (same_host(ranks, k, r) && ranks[k].gpu && !strcmp(ranks[k].device, ranks[r].device))
                sharing = r;
    }
    if (without >= 0)
        doctor_add(report, DOCTOR_PROBLEM, "GPUs",
                   "see the log's line above: regard_cuda.so beside the program, CUDA's libraries, "
                   "device: cuda insists",
                   "rank %d (%s) has NVIDIA's driver, and computes on the CPU", without,
                   ranks[without].host);
    else if (sharing >= 0)
        doctor_add(
            report, DOCTOR_WARNING, "GPUs",
            "start as many ranks a host as it has GPUs; NCCL is off between ranks that share "
            "one",
            "rank %d (%s) shares %s with another rank", sharing, ranks[sharing].host,
            ranks[sharing].device);
    else
        doctor_add(report, DOCTOR_OK, "GPUs", NULL,
                   gpus ? "%d of %d ranks have one of their own" : "none (%d of %d ranks)", gpus,
                   count);
    if (!gpus) return;
    doctor_add(report, DOCTOR_OK, "GPU exchange", NULL, "NCCL %s; MPI %s GPU memory",
               ranks[0].nccl && sharing < 0 ? "is used" : "is not used",
               ranks[0].reads_devices ? "reads" : "does not read");
}

static void judge_watchdog(const struct doctor_facts *ranks, int count,
                           struct doctor_report *report)
{
    for (int r = 0; r < count; r++) {
        if (ranks[r].watched) continue;
        doctor_add(report, DOCTOR_WARNING, "watchdog",
                   "use an MPI with MPI_THREAD_MULTIPLE; until then a rank that computes long "
                   "without a note looks silent",
                   "rank %d (%s): no thread (thread level %lld of MPI)", r, ranks[r].host,
                   (long long)ranks[r].thread_level);
        return;
    }
    doctor_add(report, DOCTOR_OK, "watchdog", NULL, "%s",
               count > 1 ? "a thread of every rank (MPI_THREAD_MULTIPLE)"
                         : "none: a single rank waits for nobody");
}

void doctor_judge_hosts(const struct doctor_facts *ranks, int count, struct doctor_report *report)
{
    for (int r = 0; r < count; r++) {
        const int beside = ranks_beside(ranks, count, r);
        if (!is_first(ranks, r)) continue;
        judge_memory(&ranks[r], beside, report);
        judge_shared(&ranks[r], beside, report);
        judge_limits(&ranks[r], count, report);
    }
    judge_gpus(ranks, count, report);
    judge_watchdog(ranks, count, report);
}
