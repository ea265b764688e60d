/* entropy: minus the mean entropy of the next-token distributions that the reply was sampled from,
 * in nats (arXiv 2505.22660); 0 for a reply without tokens. */
#include "src/source/source.h"

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    (void)state;
    (void)spans;
    for (int64_t i = 0; i < count; i++)
        if (replies[i].count) values[i] = 0 - term_mean(replies[i].token_entropy, replies[i].count);
    return NULL;
}

const struct source source_entropy = {.name = "entropy", .compute = compute};
