/* See doctor.h. */
#include "mpi/doctor.h"

#include "mpi/doctor_facts.h"
#include "mpi/doctor_files.h"
#include "mpi/doctor_judge.h"
#include "mpi/doctor_network.h"
#include "src/base/log.h"

#include <stdlib.h>

/* Everyone's facts, agreed on. */
static status facts_of_all(struct world *world, const struct config *config, bool gpus,
                           struct doctor_facts **all)
{
    struct doctor_facts mine;
    *all = NULL;
    TRY(world_agree(world, doctor_facts_read(world, config, gpus, &mine)));
    return doctor_facts_gather(world, &mine, all);
}

/* roles.learners must fit the ranks; else those of one learner are measured. */
static status roles_give(struct world *world, const struct config *config,
                         struct doctor_report *report)
{
    status s = world_roles(world, config->roles.learners, config->watchdog.seconds);
    if (status_code(s) == STATUS_INPUT) {
        doctor_add(report, DOCTOR_PROBLEM, "roles", "change roles.learners or the number of ranks",
                   "%s", status_message(s));
        status_free(s);
        return world_roles(world, 1, config->watchdog.seconds);
    }
    return s;
}

status doctor_examine(struct world *world, const struct config *config, const char *folder,
                      struct doctor_cluster *cluster, struct doctor_report *report)
{
    struct doctor_facts *all;
    double rate = 0;
    TRY(facts_of_all(world, config, true, &all));
    doctor_judge_launch(all, world->size, report);
    doctor_judge_hosts(all, world->size, report);
    status s = roles_give(world, config, report);
    if (!s) s = doctor_network(world, all, report);
    if (!s) s = doctor_reduce(world, report);
    if (!s && folder[0]) s = doctor_files(world, config, folder, &rate, report);
    if (!s && cluster) s = doctor_cluster_measure(world, config, all, rate, cluster, report);
    if (!s) s = doctor_signals(world, report);
    free(all);
    return s;
}

status doctor_warn(struct world *world, const struct config *config, const char *folder)
{
    struct doctor_facts *all;
    TRY(facts_of_all(world, config, false, &all));
    if (world->rank == 0) {
        struct doctor_report report = {.count = 0};
        doctor_judge_binding(all, world->size, &report);
        doctor_judge_space(config, folder, &report);
        for (int i = 0; i < report.count; i++)
            if (report.list[i].level != DOCTOR_OK)
                log_line(LOG_WARNING, "%s: %s: %s (regard doctor says more)", report.list[i].what,
                         report.list[i].value, report.list[i].advice);
    }
    free(all);
    return NULL;
}
