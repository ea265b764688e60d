/* doctor: what this machine and this launch offer and what is wrong, before a run. */
#include "mpi/doctor.h"
#include "mpi/signals.h"
#include "mpi/transport.h"
#include "tools/regard/command.h"

#include <stdio.h>
#include <string.h>

const char doctor_formats[] =
    "Start it as a run will be started: alone, or under run/mpirun or srun with as many ranks.\n"
    "A line a finding: ok, warning or problem, what, its value and what to do. --json: a list of\n"
    "objects with level, what, value, advice and more, how many alike are left out behind it "
    "(eight\n"
    "are told). Status 5 where there is a problem.\n"
    "--out FILE: measures what `regard plan --cluster FILE` wants to know too: how ranks of a "
    "host\n"
    "slow each other down, what sums of learners take, and with --run how fast files are written;\n"
    "give the --config of the run, whose device, threads and sleep.* count. -: to standard "
    "output,\n"
    "the page then goes to standard error.\n";

static status settings_judge(const struct command *command, struct doctor_report *report)
{
    if (!command->config_path) return NULL;
    status s = config_check(&command->config, CONFIG_TRAIN);
    if (!s) return NULL;
    doctor_add(report, DOCTOR_PROBLEM, "settings", "mend the file (regard --help keys)", "%s",
               status_message(s));
    status_free(s);
    return NULL;
}

static status cluster_write(struct file_writer *file, const struct doctor_cluster *cluster)
{
    doctor_cluster_print(cluster, file->stream);
    return file_commit(file);
}

/* On rank 0: before anything takes time. */
static status out_begin(struct world *world, const char *out, struct file_writer *file)
{
    return world_agree(world, out && world->rank == 0 ? file_begin(file, out) : NULL);
}

static status report_print(const struct command *command, const struct doctor_report *report)
{
    FILE *out = command->out && !strcmp(command->out, "-") ? stderr : stdout;
    if (command->json) return doctor_print_json(report, out);
    doctor_print(report, out);
    return NULL;
}

status verb_doctor(struct command *command)
{
    static struct doctor_cluster cluster;
    struct doctor_report report = {.count = 0};
    struct file_writer file;
    bool begun = false;
    struct world *world;
    TRY(signals_install());
    TRY(world_create(NULL, NULL, &world));
    status s = world_agree(world, command->refused);
    if (!s) s = out_begin(world, command->out, &file);
    begun = !s && command->out && world->rank == 0;
    if (!s) s = settings_judge(command, &report);
    if (!s)
        s = doctor_examine(world, &command->config, command->run ? command->run : "",
                           command->out ? &cluster : NULL, &report);
    if (!s && world->rank == 0) s = report_print(command, &report);
    if (!s && begun && !cluster.missing) s = cluster_write(&file, &cluster);
    if (begun) file_abandon(&file); /* no effect on what was written */
    s = world_agree(world, s);
    int64_t worst = doctor_worst(&report);
    if (!s) s = world_maximum(world, worst, &worst);
    if (!s && worst == DOCTOR_PROBLEM) s = ERROR(STATUS_DOCTOR, "%s", "");
    if (s) { /* rank 0 speaks for all */
        if (world->rank == 0) error_print(s);
        const int code = status_code(s);
        status_free(s);
        s = status_new(code, __FILE__, __LINE__, "%s", "");
    }
    fflush(stdout);
    world_destroy(world);
    return s;
}
