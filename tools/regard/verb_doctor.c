/* doctor: what this machine and this launch offer and what is wrong, before a run. */
#include "mpi/doctor.h"
#include "mpi/signals.h"
#include "mpi/transport.h"
#include "tools/regard/command.h"

#include <stdio.h>

const char doctor_formats[] =
    "Start it as a run will be started: alone, or under run/mpirun or srun with as many ranks.\n"
    "A line a finding: ok, warning or problem, what, its value and what to do. --json: a list of\n"
    "objects with level, what, value, advice and more, how many alike are left out behind it "
    "(eight\n"
    "are told). Status 5 where there is a problem.\n";

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

status verb_doctor(struct command *command)
{
    struct doctor_report report = {.count = 0};
    struct world *world;
    TRY(signals_install());
    TRY(world_create(NULL, NULL, &world));
    status s = world_agree(world, command->refused);
    if (!s) s = settings_judge(command, &report);
    if (!s) s = doctor_examine(world, &command->config, command->run ? command->run : "", &report);
    if (!s && world->rank == 0) {
        if (command->json)
            s = doctor_print_json(&report, stdout);
        else
            doctor_print(&report, stdout);
    }
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
