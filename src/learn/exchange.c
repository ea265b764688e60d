/* The exchange of a learner that is alone: everything is there already. */
#include "src/learn/exchange.h"

#include "src/base/memory.h"

#include <string.h>

static status alone_floats(void *context, float *values, int64_t size)
{
    (void)context, (void)values, (void)size;
    return NULL;
}

static void alone_ready(void *context, int64_t offset)
{
    (void)context, (void)offset;
}

static status alone_finish(void *context)
{
    (void)context;
    return NULL;
}

static status alone_gather(void *context, const void *mine, size_t bytes, void **all, size_t *total)
{
    (void)context;
    *all = memory_allocate(bytes + 1);
    if (bytes) memcpy(*all, mine, bytes);
    *total = bytes;
    return NULL;
}

void learner_exchange_alone(struct learner_exchange *exchange)
{
    *exchange = (struct learner_exchange){.count = 1,
                                          .reduce_begin = alone_floats,
                                          .reduce_ready = alone_ready,
                                          .reduce_finish = alone_finish,
                                          .gather_values = alone_floats,
                                          .gather = alone_gather};
}
