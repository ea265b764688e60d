/* See progress.h. */
#include "src/base/progress.h"

#include <stddef.h>

static _Thread_local void (*poll_function)(void *context);
static _Thread_local void *poll_context;

void progress_set(void (*poll)(void *context), void *context)
{
    poll_function = poll;
    poll_context = context;
}

void progress_poll(void)
{
    if (poll_function) poll_function(poll_context);
}
