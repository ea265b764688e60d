/* bench: figures as JSON, each beside the rate measured in the same run. */
#include "src/base/arena.h"
#include "tools/regard/command.h"

status verb_bench(struct command *command)
{
    (void)command;
    FAIL(STATUS_INPUT, "bench is being written");
}
