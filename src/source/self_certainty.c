/* self_certainty: the mean over the reply's tokens of KL(uniform || next-token distribution), in
 * nats (arXiv 2505.19590); 0 for a reply without tokens. */
#include "src/source/source.h"

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    (void)state;
    (void)spans;
    for (int64_t i = 0; i < count; i++) {
        if (!replies[i].self_certainty)
            FAIL(STATUS_INTERNAL, "the source self_certainty was not asked for before sampling");
        if (replies[i].count) values[i] = term_mean(replies[i].self_certainty, replies[i].count);
    }
    return NULL;
}

const struct source source_self_certainty = {.name = "self_certainty", .compute = compute};
