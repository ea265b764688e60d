/* logprob: the reply's mean log-probability a token, in nats; 0 for a reply without tokens. */
#include "src/source/source.h"

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    (void)state;
    (void)spans;
    for (int64_t i = 0; i < count; i++)
        if (replies[i].count) values[i] = term_mean(replies[i].logp, replies[i].count);
    return NULL;
}

const struct source source_logprob = {.name = "logprob", .compute = compute};
