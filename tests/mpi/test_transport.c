/* The transport under mpirun -np 1 and 4: the program starts itself again as the ranks.
 * Sums are of values whose tree order shows in the bits.  At last a run that must end, with one
 * line: of a damaged message. */
#include "mpi/experience.h"
#include "mpi/inbox.h"
#include "mpi/running_exchange.h"
#include "mpi/signals.h"
#include "mpi/transport_mpi.h"
#include "mpi/values.h"
#include "src/base/clock.h"
#include "src/base/slices.h"
#include "tests/mpi/rank_checks.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check_agreement(struct world *world)
{
    int last = world->size - 1;
    GOOD(world_agree(world, NULL));
    status s = world->rank == last ? ERROR(STATUS_INPUT, "no such file") : NULL;
    s = world_agree(world, s);
    CHECK(status_code(s) == STATUS_INPUT && strstr(status_message(s), "no such file"));
    status_free(s);
    /* The rank is named once, also where the error names it. */
    char named[64];
    snprintf(named, sizeof named, "rank %d: no such GPU", last);
    s = world_agree(world, world->rank == last ? ERROR(STATUS_INPUT, "%s", named) : NULL);
    CHECK(!strcmp(status_message(s), named));
    status_free(s);
    bool stop;
    GOOD(world_stop_requested(world, &stop));
    CHECK(!stop);
    if (world->rank == last) raise(SIGUSR1);
    GOOD(world_stop_requested(world, &stop));
    CHECK(stop);
}

static void check_bytes(struct world *world)
{
    char text[6] = "";
    if (world->rank == 0) memcpy(text, "hello", sizeof text);
    GOOD(world_broadcast(world, text, sizeof text, 0));
    CHECK(!strcmp(text, "hello"));
    int64_t greatest;
    GOOD(world_maximum(world, 10 - world->rank, &greatest));
    CHECK(greatest == 10);
    int64_t sums[2] = {world->rank, 1};
    GOOD(world_sum(world, sums, 2));
    CHECK(sums[0] == world->size * (world->size - 1) / 2 && sums[1] == world->size);
}

/* Every learner's bytes, of another length each, in their order. */
static void check_gather(struct world *world)
{
    if (!world->roles.is_learner) return;
    const char letters[] = "abcd";
    char mine[4], *all;
    size_t *sizes, size = (size_t)world->roles.learner + 1, total = 0;
    memset(mine, letters[world->roles.learner], sizeof mine);
    GOOD(learners_allgather_bytes(world, mine, size, &all, &sizes));
    for (int l = 0; l < world->roles.learners; l++) {
        CHECK(sizes[l] == (size_t)l + 1);
        total += sizes[l];
    }
    CHECK(memcmp(all, "abbcccdddd", total) == 0);
    free(all);
    free(sizes);
}

/* What learner l adds: (1e8, 3, -1e8, 5) times a small number, so that each order of addition has
 * its own bits. */
static float part_at(int learner, int64_t i)
{
    static const float parts[4] = {1e8f, 3.0f, -1e8f, 5.0f};
    return parts[learner] * (float)(i % 7 + 1);
}

static float tree_at(int learners, int64_t i)
{
    float p[4];
    for (int l = 0; l < 4; l++) p[l] = part_at(l, i);
    return learners == 1 ? p[0] : learners == 2 ? p[0] + p[1] : (p[0] + p[1]) + (p[2] + p[3]);
}

/* The sum in its owner's slice, then the slices of all to all: with MPI on the queue's own memory
 * and through staging. */
static void check_values(struct world *world, struct queue *queue, bool direct, int64_t size)
{
    struct staging staging;
    GOOD(staging_open(&staging, world, queue));
    if (!direct && world->roles.learners > 1) {
        CHECK(staging.direct);
        staging.direct = false; /* as on a device of whose memory MPI knows nothing */
        GOOD(
            queue->op->host_allocate(queue, STAGING_FLOATS * sizeof(float), (void **)&staging.out));
        GOOD(queue->op->host_allocate(queue, STAGING_FLOATS * sizeof(float), (void **)&staging.in));
    }
    float *g = malloc((size_t)size * sizeof *g + 1);
    for (int64_t i = 0; i < size; i++) g[i] = part_at(world->roles.learner, i);
    GOOD(learners_reduce(world, &staging, g, size));
    const int64_t begin = slice_floats(world->roles.learner, size, world->roles.learners);
    const int64_t end = slice_floats(world->roles.learner + 1, size, world->roles.learners);
    for (int64_t i = begin; i < end; i++) CHECK(g[i] == tree_at(world->roles.learners, i));
    for (int64_t i = 0; i < size; i++)
        if (i < begin || i >= end) g[i] = -1;
    GOOD(learners_gather_values(world, &staging, g, size, NULL));
    for (int64_t i = 0; i < size; i++) CHECK(g[i] == tree_at(world->roles.learners, i));
    free(g);
    staging_close(&staging);
}

static void check_sum(struct world *world, int learners)
{
    GOOD(world_roles(world, learners, 20));
    if (!world->roles.is_learner) return;
    struct queue *queue;
    GOOD(cpu_queue_create(1, "auto", &queue));
    /* More than a chunk a slice; slices of unlike sizes; some of none. */
    const int64_t sizes[] = {2 * learners * (int64_t)STAGING_FLOATS / 2 + 1000003, 1007, 17, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int direct = 0; direct < 2; direct++) check_values(world, queue, direct, sizes[i]);
    queue->op->destroy(queue);
    GOOD(learners_barrier(world));
}

static void check_running(struct world *world)
{
    double values[100];
    for (int i = 0; i < 100; i++) values[i] = world->rank == 0 ? (double)i : -1.0;
    GOOD(running_exchange(world, values, 100, 7));
    if (world->roles.is_actor || world->rank == 0) CHECK(values[99] == 99.0);
    /* An actor that is due another version refuses. */
    status s = running_exchange(world, values, 100, world->rank == 0 ? 8 : 9);
    if (world->roles.is_actor && world->rank != 0)
        CHECK(s && strstr(status_message(s), "of update 8"));
    else
        CHECK(!s);
    status_free(s);
}

/* Messages of some hundred kilobytes, from every actor to the owners. */
static void check_experience(struct world *world)
{
    enum { DIALOGUES = 8 };
    struct reward_settings reward = {.term_count = 0};
    const struct inbox_rules rules = {.dialogues = DIALOGUES,
                                      .turns = 1,
                                      .candidates = 1,
                                      .vocabulary = 10,
                                      .format = {&statistics_standard, &reward, 1, 1}};
    struct experience_outbox *outbox = experience_outbox_create(world);
    for (int64_t d = 0; d < DIALOGUES && world->roles.is_actor; d++) {
        if (d % world->roles.actors != world->roles.actor) continue;
        struct experience *e = experience_create(&rules.format, DIALOGUES + d, 1, 1);
        experience_turn_allocate(&rules.format, &e->turns[0], 40000, 3, 1);
        GOOD(experience_outbox_add(outbox, e,
                                   (int)slice_owner(d, DIALOGUES, world->roles.learners)));
        experience_destroy(e);
    }
    if (world->roles.is_learner) {
        struct inbox *inbox = inbox_create(world, &rules, 1);
        struct experience *slots[DIALOGUES];
        CHECK(inbox_count(inbox) == DIALOGUES / world->roles.learners);
        GOOD(inbox_receive(inbox, slots));
        for (int64_t i = 0; i < inbox_count(inbox); i++) {
            CHECK(slots[i]->dialogue == DIALOGUES + world->roles.learner * inbox_count(inbox) + i);
            CHECK(slots[i]->turns[0].history_length == 40000);
            experience_destroy(slots[i]);
        }
        inbox_destroy(inbox);
    }
    GOOD(experience_outbox_finish(outbox));
    experience_outbox_destroy(outbox);
}

/* The length that goes before a message: of bytes that are not one, and not of a prefix's size. */
static void check_prefix(struct world *world)
{
    enum { TAG = 7 };
    GOOD(world_barrier(world, "test"));
    for (size_t size = 8; size <= 24; size += 8) {
        const char junk[24] = "not a prefix";
        void *data;
        int sender;
        size_t got;
        if (world->rank == world->size - 1 && world->size > 1)
            MPI_Send(junk, (int)size, MPI_BYTE, 0, TAG, world->groups->messages);
        if (world->rank == 0 && world->size > 1) {
            status s = world_receive(world, TAG, "a word", &data, &got, &sender);
            char name[32];
            snprintf(name, sizeof name, "rank %d: ", world->size - 1);
            CHECK(s && strstr(status_message(s), name) && strstr(status_message(s), "a word"));
            CHECK(!data && sender == world->size - 1);
            status_free(s);
        }
        GOOD(world_barrier(world, "test"));
    }
}

static double processor_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

/* Ranks wait for the last, which comes a second late: a twelfth of a core is much, and what a rank
 * that only tests would take on a machine with ten others at work. */
static void check_waiting(struct world *world)
{
    const struct timespec late = {1, 0};
    GOOD(world_barrier(world, "test"));
    const double begun = seconds_now(), used = processor_seconds();
    if (world->rank == world->size - 1) nanosleep(&late, NULL);
    GOOD(world_barrier(world, "a rank that is late"));
    const double share = (processor_seconds() - used) / (seconds_now() - begun);
    if (world->rank == 0) printf("waiting takes %.1f%% of a core\n", 100 * share);
    CHECK(share < 1.0 / 12);
}

static int rank_main(int argc, char **argv)
{
    struct world *world = NULL;
    GOOD(world_create(&argc, &argv, &world));
    GOOD(signals_install());
    for (int learners = 1; learners <= world->size; learners *= 2) {
        check_sum(world, learners);
        check_gather(world);
        check_running(world);
        check_experience(world);
    }
    status s = world_roles(world, 3, 20);
    CHECK(status_code(s) == STATUS_INPUT);
    status_free(s);
    check_bytes(world);
    check_waiting(world);
    check_prefix(world);
    check_agreement(world);
    world_destroy(world);
    return 0;
}

/* The last rank sends a damaged message of experience to learner 0, whose error ends all. */
static int bad_main(int argc, char **argv)
{
    struct reward_settings reward = {.term_count = 0};
    const struct inbox_rules rules = {.dialogues = 4,
                                      .turns = 1,
                                      .candidates = 1,
                                      .vocabulary = 10,
                                      .format = {&statistics_standard, &reward, 1, 1}};
    struct experience *slots[4];
    struct world *world = NULL;
    GOOD(world_create(&argc, &argv, &world));
    GOOD(world_roles(world, 1, 20));
    if (world->rank == world->size - 1) {
        struct experience *e = experience_create(&rules.format, 3, 0, 1);
        struct sending *sending;
        void *message;
        size_t size;
        experience_turn_allocate(&rules.format, &e->turns[0], 40, 3, 1);
        GOOD(experience_pack(e, &message, &size));
        ((char *)message)[size - 5] ^= 4;
        GOOD(world_send_begin(world, message, size, 0, EXPERIENCE_TAG, &sending));
        GOOD(world_send_finish(world, sending, "experience to a learner"));
    }
    if (world->rank == 0) GOOD(inbox_receive(inbox_create(world, &rules, 0), slots));
    GOOD(world_barrier(world, "the end that never comes"));
    return 0;
}

/* Runs the program as `ranks` ranks of a kind.  *ours: its lines, *wanted: those with the text. */
static int ranks_run(const char *program, const char *kind, int ranks, const char *want, int *ours,
                     int *wanted)
{
    char command[4096], line[2048];
    snprintf(command, sizeof command,
             "mpirun -np %d --oversubscribe --bind-to none '%s' %s 2>&1 >/dev/null", ranks, program,
             kind);
    FILE *said = popen(command, "r");
    *ours = *wanted = 0;
    while (fgets(line, sizeof line, said)) {
        if (strncmp(line, "regard: ", 8) != 0) continue;
        *ours += 1;
        *wanted += strstr(line, want) != NULL;
    }
    const int code = WEXITSTATUS(pclose(said));
    printf("%s: %d lines, %d as wanted, status %d\n", kind, *ours, *wanted, code);
    fflush(stdout);
    return code;
}

static int failing_run_check(const char *program)
{
    int ours, wanted;
    const int code =
        ranks_run(program, "bad", 3,
                  "learner 0, batch 0: rank 2: experience message with a wrong checksum "
                  "(dialogue 3)\n",
                  &ours, &wanted);
    return ours != 1 || wanted != 1 || code != STATUS_INTERNAL;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } kinds[] = {{"rank", rank_main}, {"bad", bad_main}};
    for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(argv[1], kinds[i].name)) return kinds[i].run(argc, argv);
    char command[4096];
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_odls_base_sigkill_timeout", "1", 1); /* as run/mpirun has it */
    snprintf(command, sizeof command, "'%s' rank", argv[0]);
    printf("alone, without mpirun\n");
    fflush(stdout);
    if (system(command) != 0) return 1;
    printf("four ranks\n");
    fflush(stdout);
    snprintf(command, sizeof command, "mpirun -np 4 --oversubscribe --bind-to none '%s' rank",
             argv[0]);
    if (system(command) != 0) return 1;
    return failing_run_check(argv[0]);
}
