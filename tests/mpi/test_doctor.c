/* What the doctor makes of what ranks say of themselves. */
#include "mpi/doctor_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RANKS = 4 };

/* Two hosts of two ranks each, all well: 8 cores a host, two threads a rank. */
static struct doctor_facts *all_well(void)
{
    struct doctor_facts *ranks = calloc(RANKS, sizeof *ranks);
    for (int r = 0; r < RANKS; r++) {
        struct doctor_facts *f = &ranks[r];
        *f = (struct doctor_facts){.cores = 8,
                                   .bound = 8,
                                   .threads = 2,
                                   .quota_percent = -1,
                                   .memory = 64LL << 30,
                                   .available = 60LL << 30,
                                   .limit = -1,
                                   .memlock = -1,
                                   .files = 4096,
                                   .stack = -1,
                                   .shared = 1LL << 33,
                                   .shared_free = 1LL << 33,
                                   .thread_level = 3,
                                   .watched = 1};
        strcpy(f->host, r < 2 ? "hosta" : "hostb");
        strcpy(f->program, "0123456789abcdef");
        strcpy(f->version, "1");
        strcpy(f->mpi, "Open MPI v4.1.4");
        memset(f->mask, 1, 8);
    }
    return ranks;
}

static struct doctor_report judged(struct doctor_facts *ranks)
{
    struct doctor_report report = {.count = 0};
    doctor_judge_launch(ranks, RANKS, &report);
    doctor_judge_hosts(ranks, RANKS, &report);
    free(ranks);
    return report;
}

/* One finding of this level, with this text; all others are fine. */
static void expect(const struct doctor_report *report, enum doctor_level level, const char *what,
                   const char *text)
{
    int found = 0;
    for (int i = 0; i < report->count; i++) {
        const struct doctor_finding *f = &report->list[i];
        if (f->level == DOCTOR_OK) continue;
        if (f->level != level || strcmp(f->what, what) != 0 || !strstr(f->value, text) ||
            !f->advice[0])
            fail_msg("%s: %s", f->what, f->value);
        found++;
    }
    assert_int_equal(found, 1);
    assert_int_equal(doctor_worst(report), level);
}

static void test_well(void **state)
{
    (void)state;
    const struct doctor_report report = judged(all_well());
    assert_int_equal(doctor_worst(&report), DOCTOR_OK);
    assert_string_equal(report.list[0].value, "4 on 2 hosts, 2 a host");
    for (int i = 0; i < report.count; i++) assert_string_equal(report.list[i].advice, "");
}

static void test_idle(void **state)
{
    (void)state;
    struct doctor_facts *ranks = all_well();
    ranks[3].threads = 1;
    const struct doctor_report report = judged(ranks);
    int found = 0;
    for (int i = 0; i < report.count; i++)
        found += !strcmp(report.list[i].what, "cores") &&
                 !strcmp(report.list[i].value, "hostb: 2 ranks run 3 threads on 8 cores; 5 idle, "
                                               "which more threads would use");
    assert_int_equal(found, 1);
    assert_int_equal(doctor_worst(&report), DOCTOR_OK);
}

#define FACTS_TEST(name, level, what, text, change)                                                \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        struct doctor_facts *ranks = all_well();                                                   \
        change;                                                                                    \
        const struct doctor_report report = judged(ranks);                                         \
        expect(&report, level, what, text);                                                        \
    }
FACTS_TEST(test_program, DOCTOR_PROBLEM, "program", "rank 2 (hostb) runs",
           ranks[2].program[0] = 'f')
FACTS_TEST(test_mpi, DOCTOR_PROBLEM, "MPI", "rank 3 (hostb) has Open MPI v5",
           strcpy(ranks[3].mpi, "Open MPI v5"))
FACTS_TEST(test_cores, DOCTOR_WARNING, "cores", "hosta: 2 ranks run 10 threads on 8 cores",
           ranks[1].threads = 8)
FACTS_TEST(test_quota, DOCTOR_WARNING, "cores",
           "2 ranks run 4 threads on 3 cores (the control group's quota)",
           ranks[2].quota_percent = 250)
FACTS_TEST(test_narrow, DOCTOR_WARNING, "binding",
           "1 of 4 ranks have fewer cores than threads; rank 1 (hosta) may use 1 of 8",
           (ranks[1].bound = 1, memset(ranks[1].mask + 1, 0, 7)))
FACTS_TEST(test_shared_cores, DOCTOR_WARNING, "binding",
           "rank 1 (hosta) is bound to cores that another",
           for (int r = 0; r < 2; r++)(ranks[r].bound = 2, memset(ranks[r].mask + 2, 0, 6)))
FACTS_TEST(test_omp, DOCTOR_WARNING, "OMP_NUM_THREADS", "64 at rank 2", ranks[2].omp_threads = 64)
FACTS_TEST(test_memory, DOCTOR_WARNING, "memory", "the control group allows 0.5",
           ranks[0].limit = 1 << 29)
FACTS_TEST(test_shared_memory, DOCTOR_PROBLEM, "/dev/shm", "hostb: 20 MiB",
           ranks[2].shared_free = 20 << 20)
FACTS_TEST(test_shared_weights, DOCTOR_WARNING, "/dev/shm",
           "hostb: 2048 MiB of 8192 free; a training's weights on their way take about 4096",
           for (int r = 0; r < RANKS; r++)(ranks[r].weights = 4LL << 30,
                                           ranks[r].shared_free = (r < 2 ? 5LL : 2LL) << 30))
FACTS_TEST(test_files, DOCTOR_PROBLEM, "ulimit -n", "256 open files, 272 wanted",
           ranks[0].files = 256)
FACTS_TEST(test_memlock, DOCTOR_WARNING, "ulimit -l", "64 KiB",
           (ranks[0].infiniband = 1, ranks[0].memlock = 65536))
FACTS_TEST(test_gpu_unused, DOCTOR_PROBLEM, "GPUs", "rank 1 (hosta) has NVIDIA's driver",
           ranks[1].driver = 1)
FACTS_TEST(test_gpu_shared, DOCTOR_WARNING, "GPUs", "rank 3 (hostb) shares 0000:01",
           for (int r = 0; r < RANKS;
                r++)(ranks[r].gpu = ranks[r].driver = 1,
                     strcpy(ranks[r].device, r % 2 && r < 2 ? "0000:02" : "0000:01")))
FACTS_TEST(test_unwatched, DOCTOR_WARNING, "watchdog", "rank 1 (hosta): no thread",
           ranks[1].watched = 0)

/* Of 1,000 hosts of one rank each, two are ill in ways of their own and all have little memory:
 * each is told, eight at most of a kind, and all are counted. */
static void test_many_hosts(void **state)
{
    (void)state;
    enum { HOSTS = 1000 };
    struct doctor_facts *ranks = calloc(HOSTS, sizeof *ranks), *well = all_well();
    struct doctor_report report = {.count = 0};
    int memory = 0, of_memory = 0;
    for (int r = 0; r < HOSTS; r++) {
        ranks[r] = well[0];
        snprintf(ranks[r].host, sizeof ranks[r].host, "host%d", r);
        ranks[r].files = 1 << 20;
        ranks[r].available = 1 << 20;
    }
    ranks[900].threads = 9;
    ranks[950].watched = 0;
    doctor_judge_launch(ranks, HOSTS, &report);
    doctor_judge_hosts(ranks, HOSTS, &report);
    doctor_add(&report, DOCTOR_PROBLEM, "folder", "look", "it is gone");
    free(ranks);
    free(well);
    bool cores = false, watchdog = false;
    for (int i = 0; i < report.count; i++) {
        const struct doctor_finding *f = &report.list[i];
        cores |= f->level == DOCTOR_WARNING && strstr(f->value, "host900: 1 rank runs 9 threads");
        watchdog |= f->level == DOCTOR_WARNING && strstr(f->value, "rank 950 (host950): no thread");
        if (strcmp(f->what, "memory") != 0) continue;
        memory += 1 + f->more;
        of_memory++;
    }
    assert_true(cores && watchdog);
    assert_int_equal(memory, HOSTS);
    assert_int_equal(of_memory, DOCTOR_ALIKE);
    assert_string_equal(report.list[report.count - 1].value, "it is gone");
    assert_int_equal(doctor_worst(&report), DOCTOR_PROBLEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well),          cmocka_unit_test(test_program),
        cmocka_unit_test(test_mpi),           cmocka_unit_test(test_cores),
        cmocka_unit_test(test_idle),          cmocka_unit_test(test_quota),
        cmocka_unit_test(test_narrow),        cmocka_unit_test(test_shared_cores),
        cmocka_unit_test(test_omp),           cmocka_unit_test(test_memory),
        cmocka_unit_test(test_shared_memory), cmocka_unit_test(test_shared_weights),
        cmocka_unit_test(test_files),         cmocka_unit_test(test_memlock),
        cmocka_unit_test(test_gpu_unused),    cmocka_unit_test(test_gpu_shared),
        cmocka_unit_test(test_unwatched),     cmocka_unit_test(test_many_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
