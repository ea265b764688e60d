/* plan: what a run would do on a cluster, before anyone books it. */
#include "mpi/rehearsal.h"
#include "src/base/clock.h"
#include "tools/regard/command.h"
#include "tools/regard/plan.h"

#include <stdlib.h>
#include <string.h>

const char plan_formats[] =
    "--cluster FILE: hosts, devices, links, files, failures and lengths of replies; every key and\n"
    "  its meaning stand in configs/cluster-example.yaml\n"
    "--bench FILE: what `regard bench kernels update` printed on such a device; its rates take "
    "the\n"
    "  place of device.flops and device.bandwidth\n"
    "from_run in the file: a finished run of the same model, by whose times all are scaled\n";

static status plan_open(struct command *command, struct plan_case *p)
{
    TRY(cluster_read(&p->cluster, command->cluster));
    p->config = command->config;
    if (command->bench) TRY(plan_take_bench(p, command->bench));
    TRY(config_check(&p->config, CONFIG_TRAIN));
    TRY(plan_lengths(p));
    const struct cost_rates rates = plan_rates(&p->cluster);
    TRY(rehearsal_open(&p->config, &rates, plan_real_bytes(p), &p->rehearsal));
    TRY(rehearsal_prices(p->rehearsal, &p->lengths, &p->prices));
    return p->cluster.from_run[0] ? plan_calibrate(p) : NULL;
}

static void plan_close(struct plan_case *p)
{
    rehearsal_close(p->rehearsal);
    prices_free(&p->prices);
    free(p->lengths.list);
    free(p->lengths.until);
    free(p->tried);
}

status verb_plan(struct command *command)
{
    static struct plan_case p;
    const double begun = seconds_now();
    status s = plan_open(command, &p);
    if (!s) s = plan_search(&p);
    p.seconds = seconds_now() - begun;
    if (!s) command->json ? plan_print_json(&p, stdout) : plan_print_text(&p, stdout);
    plan_close(&p);
    return s;
}
