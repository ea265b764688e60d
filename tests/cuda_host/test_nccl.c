/* Exchange between GPUs through the module of REGARD_CUDA_MODULE, whose NCCL is the shim's: the
 * program starts itself again under mpirun as the ranks.  Sums and weights arrive, in buckets and
 * while the gradient is still being made; ranks that share a GPU exchange by MPI; a rank that stops
 * or leaves ends the others with one line that names rank, operation and step. */
#include "kernels/load.h"
#include "mpi/exchange.h"
#include "src/base/slices.h"
#include "tests/mpi/rank_checks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 10007, BUCKET = 1000 };

static float part_at(int learner, int64_t i)
{
    static const float parts[4] = {1e8f, 3.0f, -1e8f, 5.0f};
    return parts[learner] * (float)(i % 7 + 1);
}

/* The shim's order of addition: rank by rank. */
static float sum_at(int learners, int64_t i)
{
    float sum = part_at(0, i);
    for (int l = 1; l < learners; l++) sum += part_at(l, i);
    return sum;
}

static struct queue *queue_of(struct world *world)
{
    char device[32];
    struct queue *queue;
    snprintf(device, sizeof device, "cuda:%d", world->local_rank);
    GOOD(queue_create(&(struct queue_options){.device = device}, &queue));
    return queue;
}

static float *device_floats(struct world *world, struct queue *queue, const float *host)
{
    void *memory;
    GOOD(queue->op->allocate(queue, MEMORY_OPTIMIZER, SIZE * sizeof(float), &memory));
    queue->op->upload(queue, memory, host, SIZE * sizeof(float));
    GOOD(queue->op->synchronize(queue));
    return memory;
}

/* From the end down, as a backward pass makes it: a piece is written, told, and the queue goes on
 * with pieces before it. */
static void check_gradient(struct world *world, struct exchange *exchange, struct queue *queue)
{
    const struct learner_exchange calls = exchange_of_learner(exchange);
    static float host[SIZE], got[SIZE];
    static const int64_t told[] = {9990, 7003, 6999, 6500, 160, 0};
    const int learners = world->roles.learners;
    memset(host, 0, sizeof host);
    float *g = device_floats(world, queue, host);
    for (int64_t i = 0; i < SIZE; i++) host[i] = part_at(world->roles.learner, i);
    GOOD(calls.reduce_begin(calls.context, g, SIZE));
    int64_t end = SIZE;
    for (size_t t = 0; t < sizeof told / sizeof *told; t++) {
        queue->op->upload(queue, g + told[t], host + told[t],
                          (size_t)(end - told[t]) * sizeof *host);
        calls.reduce_ready(calls.context, told[t]);
        end = told[t];
    }
    GOOD(calls.reduce_finish(calls.context));
    queue->op->download(queue, got, g, sizeof got);
    GOOD(queue->op->synchronize(queue));
    for (int64_t i = slice_floats(world->roles.learner, SIZE, learners);
         i < slice_floats(world->roles.learner + 1, SIZE, learners); i++)
        CHECK(got[i] == sum_at(learners, i));
    GOOD(calls.gather_values(calls.context, g, SIZE));
    queue->op->download(queue, got, g, sizeof got);
    GOOD(queue->op->synchronize(queue));
    for (int64_t i = 0; i < SIZE; i++) CHECK(got[i] == sum_at(learners, i));
    queue->op->release(queue, g);
}

static void check_weights(struct world *world, struct exchange *exchange, struct queue *queue)
{
    static float host[SIZE];
    for (int64_t i = 0; i < SIZE; i++) host[i] = world->rank ? -1.0f : (float)i;
    float *w = device_floats(world, queue, host);
    const bool takes_part =
        world->roles.learners < world->size && (world->roles.is_actor || world->rank == 0);
    if (takes_part && exchange_takes_weights(exchange)) {
        GOOD(exchange_weights(exchange, w, SIZE));
        queue->op->download(queue, host, w, sizeof host);
        GOOD(queue->op->synchronize(queue));
        for (int64_t i = 0; i < SIZE; i++) CHECK(host[i] == (float)i);
    }
    queue->op->release(queue, w);
}

/* What is expected to go by NCCL, where there are ranks for it. */
static void check_exchange(struct world *world, struct queue *queue, int learners,
                           bool gradients_by_nccl, bool weights_by_nccl)
{
    struct exchange exchange;
    GOOD(world_roles(world, learners, 20));
    world->step = 12;
    exchange_open(&exchange, world, queue);
    exchange.bucket = BUCKET;
    GOOD(exchange_connect(&exchange, SIZE));
    const bool gradients = world->roles.is_learner && learners > 1;
    const bool weights = learners < world->size && (world->roles.is_actor || world->rank == 0);
    CHECK((exchange.learners != NULL) == (gradients_by_nccl && gradients));
    CHECK((exchange.weights != NULL) == (weights_by_nccl && weights));
    /* An MPI that takes devices' memory: the shim's is the host's while it is not closed. */
    exchange.weights_direct = getenv("REGARD_NCCL") && !strcmp(getenv("REGARD_NCCL"), "off");
    if (exchange.weights_direct && gradients) exchange.staging.direct = true;
    for (int again = 0; again < 2; again++) {
        /* By MPI the sum's order is the tree's: other bits with more than two learners. */
        if (gradients && (gradients_by_nccl || learners == 2))
            check_gradient(world, &exchange, queue);
        check_weights(world, &exchange, queue);
    }
    GOOD(exchange_close(&exchange));
}

/* A communicator that not all ranks come to says so at every poll, and can be given up. */
static void check_absence(struct world *world, struct queue *queue)
{
    const struct collectives *calls = collectives_of(queue);
    char id[COLLECTIVE_ID_BYTES];
    struct collective *link;
    enum collective_progress progress;
    CHECK(calls);
    GOOD(calls->identify(id));
    GOOD(calls->begin(queue, id, 0, 2, &link));
    for (int i = 0; i < 100; i++) {
        GOOD(calls->poll(link, &progress));
        CHECK(progress == COLLECTIVE_ISSUING);
    }
    calls->abort(link);
}

static int rank_main(const char *mode)
{
    struct world *world = NULL;
    GOOD(world_create(NULL, NULL, &world));
    struct queue *queue = queue_of(world);
    const bool own = !strcmp(mode, "own"), shared = !strcmp(mode, "shared");
    const bool hosts = !strcmp(mode, "hosts"), bad = !strcmp(mode, "refused");
    if (own || shared || hosts || !strcmp(mode, "off")) {
        /* hosts: two, as NCCL believes; shared: two GPUs, for two learners enough. */
        if (hosts) setenv("NCCL_HOSTID", world->rank ? "b" : "a", 1);
        for (int learners = 1; learners <= world->size; learners *= 2)
            check_exchange(world, queue, learners, own || hosts || (shared && learners == 2),
                           own || hosts);
        if (own) check_absence(world, queue);
        queue->op->destroy(queue);
        world_destroy(world);
        return 0;
    }
    /* From here on runs that must end with an error. */
    struct exchange exchange;
    GOOD(world_roles(world, world->size, 1));
    world->step = 12;
    exchange_open(&exchange, world, queue);
    status s = exchange_connect(&exchange, SIZE);
    if (bad) {
        if (s && world->rank == 0) rank_fail(world, s);
        sleep(20);
    }
    GOOD(s);
    const struct learner_exchange calls = exchange_of_learner(&exchange);
    static float host[SIZE];
    float *g = device_floats(world, queue, host);
    if (world->rank == 1 && !strcmp(mode, "stopped")) raise(SIGSTOP);
    if (world->rank == 1) {
        gpu_group_abort(exchange.learners);
        sleep(20);
    }
    GOOD(calls.reduce_begin(calls.context, g, SIZE));
    calls.reduce_ready(calls.context, 0);
    GOOD(calls.reduce_finish(calls.context));
    return 0;
}

static int run(const char *program, const char *environment, int ranks, const char *mode)
{
    char command[4096];
    printf("%s, %d ranks %s\n", mode, ranks, environment);
    fflush(stdout);
    snprintf(command, sizeof command, "%s mpirun -np %d --oversubscribe --bind-to none '%s' %s",
             environment, ranks, program, mode);
    return system(command) != 0;
}

/* A line of ours that begins so and holds these words, once; status 70. */
static int failing_run(const char *program, const char *environment, const char *mode,
                       const char *begins, const char *holds)
{
    char command[4096], line[1024];
    snprintf(command, sizeof command,
             "%s mpirun -np 2 --oversubscribe --bind-to none '%s' %s 2>&1 >/dev/null", environment,
             program, mode);
    FILE *said = popen(command, "r");
    int lines = 0, ours = 0;
    while (fgets(line, sizeof line, said)) {
        if (strncmp(line, "regard: ", 8)) continue;
        lines++;
        ours += !strncmp(line + 8, begins, strlen(begins)) && strstr(line, holds);
        printf("%s: %s", mode, line);
    }
    const int code = WEXITSTATUS(pclose(said));
    if (lines == 1 && ours == 1 && code == STATUS_INTERNAL) return 0;
    printf("%s: %d lines, %d as wanted, status %d\n", mode, lines, ours, code);
    return 1;
}

/* Text that ranks which share a GPU log. */
static int shared_run(const char *program)
{
    char command[4096], line[1024];
    int gradients = 0, weights = 0;
    snprintf(command, sizeof command,
             "CUDA_HOST_DEVICES=2 mpirun -np 4 --oversubscribe --bind-to none '%s' shared 2>&1",
             program);
    FILE *said = popen(command, "r");
    while (fgets(line, sizeof line, said)) {
        const bool told = strstr(line, "NCCL needs a GPU a rank: 2 ranks share 0000:01:00.0");
        gradients += told && strstr(line, "gradients go by MPI");
        weights += told && strstr(line, "weights go by MPI");
        printf("shared: %s", line);
    }
    const int code = pclose(said);
    /* 4 learners; 1 and 3, 2 and 2 (the two learners have a GPU each, weights' three ranks not). */
    if (!code && gradients == 1 && weights == 2) return 0;
    printf("shared: %d and %d lines, status %d\n", gradients, weights, code);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1) return rank_main(argv[1]);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_odls_base_sigkill_timeout", "1", 1); /* as run/mpirun has it */
    const char *self = argv[0];
    int bad = run(self, "CUDA_HOST_DEVICES=4", 4, "own");
    bad += run(self, "CUDA_HOST_DEVICES=4 CUDA_HOST_STREAMS=lazy", 4, "own");
    bad += shared_run(self);
    bad += run(self, "", 2, "hosts");
    /* There MPI writes into device memory, which the checked module would have to see. */
    const char *module = getenv("REGARD_CUDA_MODULE");
    if (!module || !strstr(module, "checked"))
        bad += run(self, "CUDA_HOST_PROTECT=0 REGARD_NCCL=off", 2, "off");
    bad += failing_run(self, "REGARD_NCCL=force", "refused", "rank 0: first contact of NCCL",
                       "Duplicate GPU detected");
    bad += failing_run(self, "CUDA_HOST_DEVICES=2", "left",
                       "rank 0: reduce of gradients between learners, step 12",
                       "remote process exited");
    bad += failing_run(self, "CUDA_HOST_DEVICES=2", "stopped", "missing: rank 1 (",
                       "nothing heard for");
    return bad != 0;
}
