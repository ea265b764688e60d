/* The only globals: flags that the signal handler sets. */
#include "mpi/signals.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop_asked, terminated;

static void ask_to_stop(int number)
{
    stop_asked = 1;
    if (number == SIGTERM) terminated = 1;
}

status signals_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = ask_to_stop;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, &action, NULL) || sigaction(SIGUSR1, &action, NULL))
        FAIL(STATUS_INTERNAL, "cannot install the handlers of SIGTERM and SIGUSR1");
    return NULL;
}

bool signals_stop_asked(void)
{
    return stop_asked != 0;
}

bool signals_terminated(void)
{
    return terminated != 0;
}

status world_stop_requested(struct world *world, bool *stop)
{
    int64_t any = 0;
    TRY(world_maximum(world, signals_stop_asked(), &any));
    *stop = any != 0;
    return NULL;
}

status run_stopped(void)
{
    FAIL(STATUS_STOPPED, "stopped by a signal after a checkpoint; go on with --resume");
}
