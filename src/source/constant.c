/* constant: 1 for every reply, a control that no reply can change. */
#include "src/source/source.h"

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    (void)state;
    (void)replies;
    (void)spans;
    for (int64_t i = 0; i < count; i++) values[i] = 1;
    return NULL;
}

const struct source source_constant = {.name = "constant", .compute = compute};
