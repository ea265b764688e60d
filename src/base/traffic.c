/* See traffic.h. */
#include "src/base/traffic.h"

#include <stdatomic.h>

static _Atomic int64_t came[TRAFFIC_KINDS], whole;

const char *traffic_kind_name(enum traffic_kind kind)
{
    static const char *const names[TRAFFIC_KINDS] = {"weights", "experience", "gradients",
                                                     "parameters"};
    return names[kind];
}

void traffic_add(enum traffic_kind kind, int64_t bytes)
{
    atomic_fetch_add_explicit(&came[kind], bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&whole, bytes, memory_order_relaxed);
}

int64_t traffic_whole(void)
{
    return atomic_load_explicit(&whole, memory_order_relaxed);
}

void traffic_take(int64_t bytes[TRAFFIC_KINDS])
{
    for (int k = 0; k < TRAFFIC_KINDS; k++)
        bytes[k] = atomic_exchange_explicit(&came[k], 0, memory_order_relaxed);
}
