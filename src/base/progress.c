/* See progress.h. */
#include "src/base/progress.h"

#include <stddef.h>

static _Thread_local void (*poll_function)(void *context);
static _Thread_local void *poll_context;
static _Thread_local int64_t replies_done;

void progress_set(void (*poll)(void *context), void *context)
{
    poll_function = poll;
    poll_context = context;
}

void progress_poll(void)
{
    if (poll_function) poll_function(poll_context);
}

void progress_add(int64_t replies)
{
    replies_done += replies;
}

int64_t progress_replies(void)
{
    return replies_done;
}
