/* See doctor_facts.h. */
#include "mpi/doctor_facts.h"

#include "kernels/collective.h"
#include "mpi/doctor_files.h"
#include "mpi/setup.h"
#include "mpi/transport_mpi.h"
#include "src/base/file.h"
#include "src/base/memory.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The number behind `key` in a text file ("" : its first); -1: none, or "max". */
static int64_t number_in(const char *path, const char *key)
{
    char line[256];
    int64_t value = -1;
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key))) {
            char *end;
            const char *at = line + strlen(key);
            const long long read = strtoll(at, &end, 10);
            if (end != at) value = read;
            break;
        }
    fclose(file);
    return value;
}

/* Control groups: a job's limits lie in the folder that /proc/self/cgroup names, or above it. */
enum { GROUP_BYTES = 1024 };
static const char group_root[] = "/sys/fs/cgroup";

/* This process's folder: of a controller of version 1, or of version 2 (""). */
static bool group_folder(const char *controller, char out[GROUP_BYTES])
{
    char line[GROUP_BYTES / 2], wanted[32], listed[GROUP_BYTES];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "r");
    if (!file) return false;
    snprintf(wanted, sizeof wanted, ",%s,", controller);
    while (!found && fgets(line, sizeof line, file)) { /* NUMBER:CONTROLLERS:PATH */
        line[strcspn(line, "\n")] = 0;
        char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        snprintf(listed, sizeof listed, ",%s,", list + 1);
        found = strstr(listed, wanted) != NULL;
        if (found)
            snprintf(out, GROUP_BYTES, "%s%s%s%s", group_root, *controller ? "/" : "", controller,
                     path);
    }
    fclose(file);
    return found;
}

/* The least of what `value` says of a folder and those above it; -1: none has a limit. */
static int64_t group_least(const char *controller, int64_t (*value)(const char *folder))
{
    char folder[GROUP_BYTES];
    int64_t least = -1;
    if (!group_folder(controller, folder)) return -1;
    while (strlen(folder) >= sizeof group_root - 1) {
        const int64_t limit = value(folder);
        if (limit >= 0 && (least < 0 || limit < least)) least = limit;
        *strrchr(folder, '/') = 0;
    }
    return least;
}

static int64_t group_number(const char *folder, const char *name)
{
    char path[GROUP_BYTES + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return number_in(path, "");
}

static int64_t group_memory(const char *folder)
{
    const int64_t limit = group_number(folder, "memory.max");
    return limit >= 0 ? limit : group_number(folder, "memory.limit_in_bytes");
}

/* Of version 1 "no limit" is a huge number. */
static int64_t memory_limit(int64_t memory)
{
    int64_t limit = group_least("", group_memory);
    if (limit < 0) limit = group_least("memory", group_memory);
    return limit > 0 && limit < memory ? limit : -1;
}

void doctor_memory(int64_t *memory, int64_t *available, int64_t *limit)
{
    *memory = 1024 * number_in("/proc/meminfo", "MemTotal:");
    *available = 1024 * number_in("/proc/meminfo", "MemAvailable:");
    *limit = memory_limit(*memory);
}

/* Percent of a core. */
static int64_t group_quota(const char *folder)
{
    char path[GROUP_BYTES + 32];
    long long quota = group_number(folder, "cpu.cfs_quota_us");
    long long period = group_number(folder, "cpu.cfs_period_us");
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%lld %lld", &quota, &period) != 2) quota = -1; /* "max" */
        fclose(file);
    }
    return quota > 0 && period > 0 ? 100 * quota / period : -1;
}

static int64_t quota_percent(void)
{
    const int64_t percent = group_least("", group_quota);
    return percent >= 0 ? percent : group_least("cpu", group_quota);
}

static int64_t limit_of(int resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return -1;
    return (int64_t)limit.rlim_cur;
}

static int64_t entries_in(const char *folder)
{
    int64_t count = 0;
    DIR *directory = opendir(folder);
    if (!directory) return 0;
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void cores_read(struct doctor_facts *facts)
{
    cpu_set_t *set = CPU_ALLOC(DOCTOR_CORES);
    const size_t size = CPU_ALLOC_SIZE(DOCTOR_CORES);
    CPU_ZERO_S(size, set);
    facts->cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, size, set) == 0)
        for (int i = 0; i < DOCTOR_CORES; i++) {
            facts->mask[i] = CPU_ISSET_S(i, size, set) != 0;
            facts->bound += facts->mask[i];
        }
    CPU_FREE(set);
    facts->quota_percent = quota_percent();
}

static void gpu_read(const struct world *world, const struct config *config,
                     struct doctor_facts *facts)
{
    struct queue *queue;
    status s = queue_open(config, world->local_rank, world->size, &queue);
    if (s) {
        snprintf(facts->device, sizeof facts->device, "none: %.80s", status_message(s));
        status_free(s);
        return;
    }
    const struct collectives *calls = collectives_of(queue);
    facts->gpu = !queue->on_host;
    facts->nccl = calls != NULL;
    if (calls) status_free(calls->device_name(queue, facts->device));
    queue->op->destroy(queue);
}

status doctor_facts_read(const struct world *world, const struct config *config, bool gpus,
                         struct doctor_facts *facts)
{
    char hex[SHA256_HEX];
    struct statvfs shared;
    int level;
    memset(facts, 0, sizeof *facts);
    snprintf(facts->host, sizeof facts->host, "%s", world_host(world, world->rank));
    snprintf(facts->version, sizeof facts->version, "%s", version_text);
    transport_library_version(facts->mpi);
    if (gpus) {
        TRY(sha256_file("/proc/self/exe", hex));
        snprintf(facts->program, sizeof facts->program, "%s", hex);
    }
    cores_read(facts);
    const char *threads = getenv("OMP_NUM_THREADS");
    facts->threads = config->threads;
    facts->omp_threads = threads ? atoi(threads) : 0;
    doctor_memory(&facts->memory, &facts->available, &facts->limit);
    facts->memlock = limit_of(RLIMIT_MEMLOCK);
    facts->files = limit_of(RLIMIT_NOFILE);
    facts->stack = limit_of(RLIMIT_STACK);
    if (statvfs("/dev/shm", &shared) == 0) {
        facts->shared = (int64_t)shared.f_blocks * (int64_t)shared.f_frsize;
        facts->shared_free = (int64_t)shared.f_bavail * (int64_t)shared.f_frsize;
    }
    if (config->roles.learners < world->size)
        facts->weights = (config->pipeline.lag + 1) * doctor_weights_bytes(config);
    facts->infiniband = entries_in("/sys/class/infiniband");
    MPI_Query_thread(&level);
    facts->thread_level = level;
    facts->watched = world->size == 1 || watchdog_has_thread(world->groups->watchdog);
    facts->reads_devices = transport_reads_devices();
    facts->driver = file_exists("/proc/driver/nvidia/version");
    if (gpus) gpu_read(world, config, facts);
    return NULL;
}

status doctor_facts_gather(struct world *world, const struct doctor_facts *mine,
                           struct doctor_facts **all)
{
    MPI_Request request;
    *all = memory_allocate((size_t)world->size * sizeof **all);
    status s =
        transport_check(MPI_Iallgather(mine, (int)sizeof *mine, MPI_BYTE, *all, (int)sizeof *mine,
                                       MPI_BYTE, world->groups->world, &request),
                        "what ranks say of themselves");
    if (!s) s = transport_wait_all(world, &request, 1, "what ranks say of themselves");
    return s;
}
