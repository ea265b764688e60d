/* See heartbeat.h.  Any thread may note and ask: all that is shared is atomic. */
#include "src/base/heartbeat.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static _Atomic int64_t notes;
static _Atomic(const char *) doing = "start";
static atomic_flag claimed = ATOMIC_FLAG_INIT; /* by the thread that speaks */
static _Thread_local bool speaks;
typedef void note_function(void *context);
static _Atomic(note_function *) note_call;
static _Atomic(void *) note_context;

void heartbeat_note(void)
{
    atomic_fetch_add_explicit(&notes, 1, memory_order_relaxed);
    note_function *call = atomic_load_explicit(&note_call, memory_order_acquire);
    if (call) call(atomic_load_explicit(&note_context, memory_order_relaxed));
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
    /* A thread that still finds the call of before finds its context too. */
    if (call) atomic_store_explicit(&note_context, context, memory_order_relaxed);
    atomic_store_explicit(&note_call, call, memory_order_release);
}
