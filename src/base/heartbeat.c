/* See heartbeat.h.  Any thread may note and ask; the counter and the text are all that is shared.
 */
#include "src/base/heartbeat.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static _Atomic int64_t notes;
static _Atomic(const char *) doing = "start";
static atomic_flag claimed = ATOMIC_FLAG_INIT; /* by the thread that speaks */
static _Thread_local bool speaks;
static void (*note_call)(void *);
static void *note_context;

void heartbeat_note(void)
{
    atomic_fetch_add_explicit(&notes, 1, memory_order_relaxed);
    if (note_call) note_call(note_context);
}

int64_t heartbeat_count(void)
{
    return atomic_load_explicit(&notes, memory_order_relaxed);
}

const char *heartbeat_doing(const char *what)
{
    if (!speaks) speaks = !atomic_flag_test_and_set(&claimed);
    const char *before = speaks ? atomic_exchange(&doing, what) : what;
    heartbeat_note();
    return before;
}

const char *heartbeat_what(void)
{
    return atomic_load(&doing);
}

void heartbeat_on_note(void (*call)(void *context), void *context)
{
    note_context = context;
    note_call = call;
}
