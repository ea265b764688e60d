/* Weights in buckets under mpirun -np 5: on one host, on hosts of two ranks and of one; by ranges
 * in any order, by none, and by a publisher or takers that are late.  The program starts itself
 * again as the ranks. */
#include "mpi/transport_mpi.h"
#include "mpi/weight_stream.h"
#include "tests/mpi/rank_checks.h"

#include <string.h>
#include <unistd.h>

enum { SIZE = 3 * (1 << 18) + 4097, VERSIONS = 7, OTHER = 24, RANGE = 100003 };

static float value_at(int64_t version, int64_t i)
{
    return (float)((version * 7919 + i) % 1000003);
}

static void values_make(float *values, int64_t version)
{
    for (int64_t i = 0; i < SIZE; i++) values[i] = value_at(version, i);
}

static void other_make(char other[OTHER], int64_t version)
{
    memset(other, (int)version + 1, OTHER);
}

static void rest(int a, int b)
{
    usleep((useconds_t)((a * 7 + b * 13) % 5) * 2000);
}

/* Every third version is said to be ready in ranges, the second half before the first; every third
 * in part. */
static void learn(struct world *world, struct weight_stream *stream, int64_t version, float *values)
{
    char other[OTHER];
    values_make(values, version);
    other_make(other, version);
    const int64_t middle = SIZE / 2, least = version % 3 == 1 ? SIZE / 3 : 0;
    for (int64_t at = middle; version % 3 && at < SIZE; at += RANGE)
        weight_stream_ready(stream, values, at, at + RANGE < SIZE ? at + RANGE : SIZE);
    for (int64_t at = least; version % 3 && at < middle; at += RANGE)
        weight_stream_ready(stream, values, at, at + RANGE < middle ? at + RANGE : middle);
    GOOD(weight_stream_publish(stream, version, values, other));
}

static void take(struct world *world, struct weight_stream *stream, int64_t version)
{
    const float *values;
    const void *other;
    char want[OTHER];
    other_make(want, version);
    GOOD(weight_stream_take(stream, version, &values, &other));
    for (int64_t i = 0; i < SIZE; i++) CHECK(values[i] == value_at(version, i));
    CHECK(!memcmp(other, want, OTHER));
    weight_stream_taken(stream);
}

/* hosts: ranks of one; 0: as MPI finds them.  The takers leave the last `left` versions. */
static void versions_pass(struct world *world, struct queue *queue, int hosts, int64_t slots,
                          int left)
{
    const struct weight_stream_settings settings = {.size = SIZE,
                                                    .other = OTHER,
                                                    .slots = slots,
                                                    .first = 5,
                                                    .host = hosts ? world->rank / hosts : -1};
    struct weight_stream *stream;
    float *values = malloc(SIZE * sizeof *values);
    GOOD(weight_stream_open(world, queue, &settings, &stream));
    for (int v = 0; v < VERSIONS; v++) {
        rest(v, world->rank);
        if (world->rank == 0)
            learn(world, stream, 5 + v, values);
        else if (v < VERSIONS - left)
            take(world, stream, 5 + v);
    }
    GOOD(weight_stream_end(stream));
    weight_stream_close(stream);
    free(values);
}

/* What is no version that is due, or damaged in the host's memory, is refused. */
static void damage_is_refused(struct world *world, struct queue *queue)
{
    const struct weight_stream_settings settings = {
        .size = SIZE, .other = OTHER, .slots = 2, .host = -1};
    struct weight_stream *stream;
    float *values = malloc(SIZE * sizeof *values);
    const float *got;
    const void *other;
    GOOD(weight_stream_open(world, queue, &settings, &stream));
    if (world->rank == 0)
        for (int v = 0; v < 2; v++) learn(world, stream, v, values);
    for (int v = 0; v < 2; v++) {
        status s = NULL;
        if (world->rank > 0) {
            s = weight_stream_take(stream, 5, &got, &other);
            CHECK(s && strstr(status_message(s), "come next, not 5"));
            status_free(s);
            GOOD(weight_stream_take(stream, v, &got, &other));
        }
        GOOD(world_barrier(world, "test"));
        if (world->rank == 1) {
            if (v == 0)
                ((uint32_t *)(uintptr_t)got)[2 * (1 << 18) + 5] ^= 1u << 17;
            else
                ((char *)(uintptr_t)other)[3] ^= 4;
        }
        GOOD(world_barrier(world, "test"));
        if (world->rank > 0) {
            s = weight_stream_take(stream, v, &got, &other);
            char want[128];
            snprintf(want, sizeof want,
                     v ? "rank %d: weights from rank 0 with a damaged header, update 1 due"
                       : "rank %d: weights of update 0 from rank 0: bucket 3 of 4 is damaged",
                     world->rank);
            CHECK(s && !strcmp(status_message(s), want));
            status_free(s);
            weight_stream_taken(stream);
        }
    }
    weight_stream_close(stream);
    free(values);
}

static int rank_main(int argc, char **argv)
{
    struct world *world = NULL;
    struct queue *queue;
    GOOD(world_create(&argc, &argv, &world));
    GOOD(world_roles(world, 1, 60));
    GOOD(cpu_queue_create(1, "auto", &queue));
    for (int hosts = 0; hosts < 3; hosts++)
        for (int64_t slots = 1; slots < 4; slots++)
            versions_pass(world, queue, hosts, slots, hosts == 2 ? (int)slots : 0);
    damage_is_refused(world, queue);
    queue->op->destroy(queue);
    world_destroy(world);
    return 0;
}

int main(int argc, char **argv)
{
    char command[4096];
    if (argc > 1) return rank_main(argc, argv);
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    snprintf(command, sizeof command, "mpirun -np 5 --oversubscribe --bind-to none '%s' rank",
             argv[0]);
    return system(command) != 0;
}
