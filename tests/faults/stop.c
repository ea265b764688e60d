/* Preloaded into the ranks of a run, and its reward.plugin (tests/program/test_watchdog.sh,
 * tests/faults/campaign): a rank stops, hangs or is slow in the middle of an operation.
 *   FAULT_RANK   which
 *   FAULT_AT     generate, which is also an evaluation on a rank that generates nothing (the
 * plugin's call); update (a receive); save (an fsync of a checkpoint) FAULT_COUNT  at its how
 * manyth call, from 1 FAULT_HOW    stop (SIGSTOP), hang, or slow: FAULT_SECONDS at this and each
 * later call */
#include <regard_reward.h>

#include <dlfcn.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const int32_t regard_reward_version = REGARD_REWARD_VERSION;

static const char *ask(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static void fault(const char *at)
{
    static long seen;
    if (strcmp(at, ask("FAULT_AT", "")) != 0 ||
        strcmp(ask("OMPI_COMM_WORLD_RANK", "0"), ask("FAULT_RANK", "")) != 0 ||
        ++seen < atol(ask("FAULT_COUNT", "1")))
        return;
    const char *how = ask("FAULT_HOW", "stop");
    /* The others hear where: a heartbeat comes every second or sooner, later on a busy machine. */
    if (strcmp(how, "slow") != 0) usleep(2500000);
    if (!strcmp(how, "stop"))
        raise(SIGSTOP);
    else if (!strcmp(how, "hang"))
        for (;;) pause();
    else
        usleep((useconds_t)(1e6 * atof(ask("FAULT_SECONDS", "1"))));
}

int regard_reward(const struct regard_reply *replies, int64_t count, struct regard_answer *answers,
                  char error[REGARD_ERROR_SIZE])
{
    (void)error;
    fault("generate");
    for (int64_t i = 0; i < count; i++) answers[i].reward = (double)(replies[i].token_count % 3);
    return 0;
}

int MPI_Irecv(void *data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    fault("update");
    return PMPI_Irecv(data, count, type, from, tag, comm, request);
}

int fsync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/checkpoints/")) fault("save");
    return real(file);
}
