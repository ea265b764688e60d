/* Weights in buckets under mpirun -np 5: on one host, on hosts of two ranks and of one; by ranges
 * in any order, by none, and by a publisher or takers that are late.  The program starts itself
 * again as the ranks. mpirun -np N test_weight_stream time MB instead measures how long so many MB
 * take from learner 0 until the last of N - 1 actors has checked them, and until learner 0 is free
 * again, beside memcpy in one rank's memory, all of it touched before, in turn with them, and MPI's
 * broadcast (docs/measurements.md). */
#include "mpi/transport_mpi.h"
#include "mpi/weight_stream.h"
#include "src/base/clock.h"
#include "tests/mpi/rank_checks.h"

#include <stdlib.h>
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

/* What is no version that is due, or damaged in the host's memory, is refused: bucket and header of
 * versions that lie where others, of which rank 1 knows the place, lay before. */
static void damage_is_refused(struct world *world, struct queue *queue)
{
    const struct weight_stream_settings settings = {
        .size = SIZE, .other = OTHER, .slots = 2, .host = -1};
    struct weight_stream *stream;
    float *values = malloc(SIZE * sizeof *values);
    const float *got[2] = {NULL};
    const void *other[2] = {NULL};
    GOOD(weight_stream_open(world, queue, &settings, &stream));
    for (int v = 0; v < 4; v++) {
        if (world->rank == 0) learn(world, stream, v, values);
        if (world->rank > 0 && v < 2) {
            status s = weight_stream_take(stream, 5, &got[v], &other[v]);
            CHECK(s && strstr(status_message(s), "come next, not 5"));
            status_free(s);
            GOOD(weight_stream_take(stream, v, &got[v], &other[v]));
            weight_stream_taken(stream);
        }
        GOOD(world_barrier(world, "test"));
        if (v < 2) continue;
        if (world->rank == 1) {
            if (v == 2)
                ((uint32_t *)(uintptr_t)got[0])[2 * (1 << 18) + 5] ^= 1u << 17;
            else
                ((char *)(uintptr_t)other[1])[3] ^= 4;
        }
        GOOD(world_barrier(world, "test"));
        if (world->rank > 0) {
            const float *none;
            const void *nothing;
            status s = weight_stream_take(stream, v, &none, &nothing);
            char want[128];
            snprintf(want, sizeof want,
                     v == 2 ? "rank %d: weights of update 2 from rank 0: bucket 3 of 4 is damaged"
                            : "rank %d: weights from rank 0 with a damaged header, update 3 due",
                     world->rank);
            CHECK(s && !strcmp(status_message(s), want));
            status_free(s);
            weight_stream_taken(stream);
        }
    }
    weight_stream_close(stream);
    free(values);
}

enum { ROUNDS = 9 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* From learner 0's begin to the latest end; clocks are one host's. */
static double seconds_between(struct world *world, double begin, double end)
{
    int64_t latest, earliest;
    GOOD(world_maximum(world, (int64_t)(end * 1e9), &latest));
    GOOD(world_maximum(world, world->rank == 0 ? (int64_t)(begin * 1e9) : 0, &earliest));
    return (double)(latest - earliest) * 1e-9;
}

static void time_tell(struct world *world, const char *name, double times[ROUNDS], int rounds,
                      double copy)
{
    qsort(times, (size_t)rounds, sizeof *times, by_size);
    if (world->rank == 0 && rounds)
        printf("%-10s %7.1f ms (%.1f to %.1f), %.2f copies\n", name, times[rounds / 2] * 1e3,
               times[0] * 1e3, times[rounds - 1] * 1e3, times[rounds / 2] / copy);
}

static void time_measure(struct world *world, struct queue *queue, int64_t size,
                         int broadcast_rounds)
{
    const struct weight_stream_settings settings = {
        .size = size, .other = OTHER, .slots = 1, .host = -1};
    struct weight_stream *stream;
    float *values = malloc((size_t)size * sizeof *values);
    float *others = malloc((size_t)size * sizeof *values);
    char other[OTHER] = "";
    double copies[ROUNDS], streams[ROUNDS], learners[ROUNDS], broadcasts[ROUNDS];
    for (int64_t i = 0; i < size; i++) values[i] = others[i] = value_at(world->rank, i);
    GOOD(weight_stream_open(world, queue, &settings, &stream));
    for (int i = -1; i < ROUNDS; i++) { /* the first is a warm-up */
        const int at = i < 0 ? 0 : i;
        GOOD(world_barrier(world, "test"));
        double begin = seconds_now();
        if (world->rank == 0) memcpy(others, values, (size_t)size * sizeof *values);
        copies[at] = seconds_between(world, begin, world->rank == 0 ? seconds_now() : 0);
        GOOD(world_barrier(world, "test"));
        begin = seconds_now();
        if (world->rank == 0)
            GOOD(weight_stream_publish(stream, i + 1, values, other));
        else {
            const float *got;
            const void *with;
            GOOD(weight_stream_take(stream, i + 1, &got, &with));
        }
        const double end = seconds_now();
        streams[at] = seconds_between(world, begin, end);
        learners[at] = end - begin;
        if (world->rank > 0) weight_stream_taken(stream);
        if (i < 0 || i >= broadcast_rounds) continue;
        GOOD(world_barrier(world, "test"));
        begin = seconds_now();
        GOOD(actors_broadcast(world, values, (size_t)size * sizeof *values, "test"));
        broadcasts[at] = seconds_between(world, begin, seconds_now());
    }
    qsort(copies, ROUNDS, sizeof *copies, by_size);
    const double copy = copies[ROUNDS / 2];
    time_tell(world, "copy", copies, ROUNDS, copy);
    time_tell(world, "stream", streams, ROUNDS, copy);
    time_tell(world, "learner", learners, ROUNDS, copy);
    time_tell(world, "broadcast", broadcasts, broadcast_rounds, copy);
    GOOD(weight_stream_end(stream));
    weight_stream_close(stream);
    free(values);
    free(others);
}

static int rank_main(int argc, char **argv)
{
    const int64_t megabytes = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;
    struct world *world = NULL;
    struct queue *queue;
    GOOD(world_create(&argc, &argv, &world));
    GOOD(world_roles(world, 1, 60));
    GOOD(cpu_queue_create(1, "auto", &queue));
    const long broadcasts = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    if (megabytes > 0)
        time_measure(world, queue, megabytes * 1000000 / (int64_t)sizeof(float),
                     broadcasts < ROUNDS ? (int)broadcasts : ROUNDS);
    for (int hosts = 0; megabytes == 0 && hosts < 3; hosts++)
        for (int64_t slots = 1; slots < 4; slots++)
            versions_pass(world, queue, hosts, slots,
                          hosts == 2 ? (int)slots + 2
                          : hosts    ? (int)slots
                                     : 0);
    if (megabytes == 0) damage_is_refused(world, queue);
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
