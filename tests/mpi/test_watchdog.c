/* The watchdog: its verdicts, and jobs of three or four ranks under mpirun (the program starts
 * itself again as the ranks) of which one stops, hangs, is slow, or whose ranks wait for each
 * other. */
#include "mpi/watchdog_verdict.h"
#include "src/base/heartbeat.h"
#include "tests/mpi/rank_checks.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* Of five ranks on three hosts, all well. */
static void all_well(struct watch_peer peers[5])
{
    static const char *const hosts[] = {"a", "a", "b", "c", "c"};
    for (int r = 0; r < 5; r++)
        peers[r] = (struct watch_peer){
            .host = hosts[r], .known = true, .idle = 50, .waiting = true, .step = 7, .what = "x"};
}

static bool verdict(const struct watch_peer *peers, int size, double late,
                    char line[WATCH_LINE_BYTES])
{
    return watch_verdict(peers, size, &(struct watch_limits){60, 60, late}, line);
}

static int verdicts_check(void)
{
    struct watch_peer p[5];
    char line[WATCH_LINE_BYTES];
    all_well(p);
    EXPECT(!verdict(p, 5, 0, line));
    /* Those that went together are named together, others of that host are not. */
    p[3].silent = 61, p[4].silent = 58, p[2].silent = 10;
    EXPECT(verdict(p, 5, 0, line));
    EXPECT(!strcmp(line, "missing: ranks 3, 4 (c; waiting for x at step 7): nothing heard for 60 s "
                         "(watchdog.seconds): stopped, dead or cut off"));
    EXPECT(!verdict(p, 5, 2, line)); /* left to an earlier watcher */
    snprintf(p[4].what, sizeof p[4].what, "update");
    p[4].waiting = false;
    p[3].step = 8;
    EXPECT(watch_silent(p, 5, 60, line) == 1 &&
           !strcmp(line, "rank 3 (c; waiting for x at step 8)"));
    EXPECT(watch_silent(p, 5, 5, line) == 3);
    EXPECT(!strcmp(line,
                   "rank 2 (b; waiting for x at step 7), rank 3 (c; waiting for x at step 8), "
                   "rank 4 (c; in update at step 7)"));
    /* Not heard by this rank at all. */
    p[3].known = p[4].known = false;
    EXPECT(!verdict(p, 5, 0, line));
    /* While a job is being ended, silence is enough; working long is not. */
    all_well(p);
    p[1].waiting = false;
    EXPECT(!watch_verdict(p, 5, &(struct watch_limits){60, 6, 0}, line));
    p[2].silent = 7;
    EXPECT(watch_verdict(p, 5, &(struct watch_limits){60, 6, 0}, line));
    EXPECT(!strcmp(line,
                   "missing: rank 2 (b; waiting for x at step 7): nothing heard for 6 s (after "
                   "SIGTERM): stopped, dead or cut off"));
    /* One that works and gets on holds all others up for however long. */
    all_well(p);
    for (int r = 0; r < 5; r++) p[r].idle = 1000;
    p[1] = (struct watch_peer){.host = "a", .known = true, .idle = 59, .step = 7, .what = "save"};
    EXPECT(!verdict(p, 5, 0, line));
    p[1].idle = 61;
    EXPECT(verdict(p, 5, 0, line));
    EXPECT(!strcmp(line, "hung: rank 1 (a; in save at step 7): alive, but no progress for 60 s "
                         "(watchdog.seconds)"));
    p[1].waiting = true;
    p[1].idle = 59;
    EXPECT(!verdict(p, 5, 0, line));
    p[1].idle = 61;
    EXPECT(verdict(p, 5, 0, line));
    EXPECT(!strncmp(line,
                    "hung: every rank waits for another for 60 s (watchdog.seconds): ranks 0 (a",
                    40) &&
           strstr(line, "ranks 3, 4 (c; waiting for x at step 7)"));
    return 0;
}

/* More than a line holds is cut. */
static int long_list_check(void)
{
    enum { MANY = 4000 };
    static struct watch_peer p[MANY];
    char line[WATCH_LINE_BYTES];
    for (int r = 0; r < MANY; r++) {
        p[r] = (struct watch_peer){.host = "h", .known = true, .silent = 100, .step = r / 3};
        snprintf(p[r].what, sizeof p[r].what, "an operation of %d", r / 2);
    }
    EXPECT(watch_silent(p, MANY, 60, line) == MANY && strlen(line) == WATCH_LINE_BYTES - 1);
    EXPECT(verdict(p, MANY, 0, line) && strstr(line, "stopped, dead or cut off"));
    return 0;
}

/* ---- jobs ---- */

static struct world *begin(int *argc, char ***argv)
{
    struct world *world = NULL;
    GOOD(world_create(argc, argv, &world));
    GOOD(world_roles(world, 1, 2));
    world->step = 42;
    heartbeat_doing("a test");
    usleep(1000000); /* which all hear */
    return world;
}

/* Ranks wait for different things; what becomes of rank `other`. */
static int others_wait(int argc, char **argv, int other, void (*then)(void))
{
    struct world *world = begin(&argc, &argv);
    void *data;
    size_t size;
    int sender;
    if (world->rank == other) then();
    if (world->rank == (other == 1 ? 2 : 1))
        GOOD(world_receive(world, 5, "a word", &data, &size, &sender));
    GOOD(world_barrier(world, "a meeting"));
    return 0;
}

static void stop(void)
{
    raise(SIGSTOP);
}

static void sleep_long(void)
{
    sleep(600);
}

static void nothing(void)
{
}

static int stopped_main(int argc, char **argv)
{
    return others_wait(argc, argv, 2, stop);
}

static int first_stopped_main(int argc, char **argv)
{
    return others_wait(argc, argv, 0, stop);
}

static int hung_main(int argc, char **argv)
{
    return others_wait(argc, argv, 2, sleep_long);
}

/* Every rank waits for another, in a circle. */
static int circle_main(int argc, char **argv)
{
    return others_wait(argc, argv, 2, nothing);
}

/* Works for three times the patience, and gets on; then waits for the others as long. */
static int slow_main(int argc, char **argv)
{
    struct world *world = begin(&argc, &argv);
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 12 && world->rank == turn; i++) {
            usleep(250000);
            heartbeat_note();
        }
        GOOD(world_barrier(world, "a meeting"));
    }
    world_destroy(world);
    return 0;
}

/* All ranks are stopped for longer than their patience, as a job may be, and go on. */
static int suspended_main(int argc, char **argv)
{
    struct world *world = begin(&argc, &argv);
    const pid_t rank = getpid();
    if (!fork()) {
        usleep(200000);
        kill(rank, SIGSTOP);
        sleep(3);
        kill(rank, SIGCONT);
        _exit(0);
    }
    if (world->rank == 0) sleep(4); /* in which it is stopped, and the others wait */
    GOOD(world_barrier(world, "a meeting"));
    wait(NULL);
    world_destroy(world);
    return 0;
}

/* Rank 2 stops at the very end. */
static int late_main(int argc, char **argv)
{
    struct world *world = begin(&argc, &argv);
    if (world->rank == 2) raise(SIGSTOP);
    world_destroy(world);
    return 0;
}

struct job {
    const char *name;
    int (*run)(int, char **);
    const char *variables;
    int ranks;
    const char *want; /* "regard: " and this, with the host's name for %s; NULL: a good end */
    FILE *said;
};

static struct job jobs[] = {
    {"stopped", stopped_main, "", 4,
     "missing: rank 2 (%s; in a test at step 42): nothing heard for 2 s", NULL},
    {"first", first_stopped_main, "", 4,
     "missing: rank 0 (%s; in a test at step 42): nothing heard for 2 s", NULL},
    {"stopped", stopped_main, "REGARD_WATCHDOG=polling", 3, "missing: rank 2 (%s; ", NULL},
    {"hung", hung_main, "", 3,
     "hung: rank 2 (%s; in a test at step 42): alive, but no progress for 2 s", NULL},
    {"circle", circle_main, "", 3,
     "hung: every rank waits for another for 2 s (watchdog.seconds): rank", NULL},
    {"late", late_main, "", 3, "missing: rank 2 (%s; ", NULL},
    {"slow", slow_main, "", 3, NULL, NULL},
    {"slow", slow_main, "REGARD_WATCHDOG=polling", 3, NULL, NULL},
    {"suspended", suspended_main, "", 3, NULL, NULL},
};
enum { JOBS = sizeof jobs / sizeof *jobs };

static void job_start(struct job *job, const char *program)
{
    char command[4096];
    snprintf(command, sizeof command,
             "%s mpirun -np %d --oversubscribe --bind-to none '%s' %s 2>&1 >/dev/null",
             job->variables, job->ranks, program, job->name);
    job->said = popen(command, "r");
}

/* Its lines, and how it ended. */
static int job_check(struct job *job)
{
    char host[64] = "", want[512] = "regard: ", line[2048];
    int ours = 0, wanted = 0;
    gethostname(host, sizeof host - 1);
    if (job->want) snprintf(want + 8, sizeof want - 8, job->want, host);
    while (fgets(line, sizeof line, job->said)) {
        if (!strncmp(line, "regard", 6)) fputs(line, stdout);
        if (strncmp(line, "regard: ", 8) != 0) continue;
        ours++;
        wanted += !strncmp(line, want, strlen(want));
    }
    const int code = WEXITSTATUS(pclose(job->said));
    const bool good =
        job->want ? ours > 0 && wanted == ours && code == STATUS_INTERNAL : ours == 0 && code == 0;
    printf("%s%s %s: status %d%s%s\n", good ? "" : "FAILED: ", job->name, job->variables, code,
           good ? "" : ", wanted: ",
           good        ? ""
           : job->want ? want
                       : "a good end");
    return !good;
}

int main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < JOBS; i++)
        if (!strcmp(argv[1], jobs[i].name)) return jobs[i].run(argc, argv);
    int failed = verdicts_check() || long_list_check();
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_odls_base_sigkill_timeout", "1", 1); /* as run/mpirun has it */
    for (int i = 0; i < JOBS; i++) job_start(&jobs[i], argv[0]);
    for (int i = 0; i < JOBS; i++) failed |= job_check(&jobs[i]);
    return failed;
}
