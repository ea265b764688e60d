/* sft, train and reward: the verbs that run on many ranks. */
#include "mpi/agreement.h"
#include "mpi/doctor.h"
#include "mpi/model_paths.h"
#include "mpi/run.h"
#include "mpi/signals.h"
#include "mpi/transport.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/version.h"
#include "tools/regard/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char reward_formats[] =
    "data.train and data.valid, a JSON line each:\n"
    "  {\"prompt\":\"...\",\"chosen\":\"...\",\"rejected\":\"...\"}, or \"messages\", the last one "
    "a "
    "user's, in the\n  prompt's place; with rm.objective=on_topic dialogues as sft has them, which "
    "may say "
    "\"service\"\n"
    "--run, a folder that eval, score and reward.model take; model.path is what it begins with\n";

/* Whether a run is there to go on with: its keys stay as they are, and so do those among them that
 * do nothing. */
static bool goes_on(const struct command *command)
{
    char checkpoints[1200];
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", command->run ? command->run : "");
    return command->resume && directory_exists(checkpoints);
}

static void unused_warn(const struct config *config)
{
    status s = config_check_unused(config);
    if (s) log_line(LOG_WARNING, "%s; the run that goes on keeps it", status_message(s));
    status_free(s);
}

static status ranks_run(struct command *command, enum config_scope scope, const char *verb,
                        status (*run)(struct world *, const struct run_options *))
{
    static struct run_options options;
    /* From here on a signal asks to stop; before, it kills. */
    TRY(signals_install());
    const bool kept = scope == CONFIG_TRAIN && goes_on(command);
    status s = command->refused ? command->refused
                                : config_check(&command->config, kept ? CONFIG_RESUME : scope);
    if (s && launched_rank() < 0) return s;
    options.config = command->config;
    options.changes = command->changes;
    options.line = command->line;
    options.dry = command->dry_run;
    options.profile = command->profile;
    options.trace = command->trace;
    options.version = version_text;
    options.resume = !command->resume     ? RUN_FRESH
                     : command->resume[0] ? RUN_RESUME_AUTO
                                          : RUN_RESUME;
    snprintf(options.folder, sizeof options.folder, "%s", command->run ? command->run : "");
    struct world *world;
    TRY(world_create(NULL, NULL, &world));
    s = world_agree(world, s);
    if (scope < CONFIG_TRAIN && options.config.roles.learners == 1)
        options.config.roles.learners = world->size; /* there are no actors */
    if (!s) s = agree_on_settings(world, &options, verb);
    if (!s) s = model_paths_resolve(world, &options);
    if (!s) s = world_roles(world, options.config.roles.learners, options.config.watchdog.seconds);
    if (!s && kept && world->rank == 0) unused_warn(&options.config);
    if (!s) s = doctor_warn(world, &options.config, options.folder);
    if (!s) s = run(world, &options);
    /* The same error everywhere, unless the world is broken: rank 0 speaks for all, and before
     * MPI_Finalize lets any of them go, since mpirun stops listening when the first one has failed.
     */
    if (s) {
        if (world->rank == 0 || world_is_broken(world)) error_print(s);
        const int code = status_code(s);
        status_free(s);
        s = status_new(code, __FILE__, __LINE__, "%s", "");
    }
    world_destroy(world);
    return s;
}

status verb_train(struct command *command)
{
    return ranks_run(command, CONFIG_TRAIN, "train", train_run);
}

status verb_sft(struct command *command)
{
    return ranks_run(command, CONFIG_SFT, "sft", sft_run);
}

status verb_reward(struct command *command)
{
    return ranks_run(command, CONFIG_REWARD, "reward", reward_run);
}
