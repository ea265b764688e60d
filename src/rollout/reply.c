/* Replies' memory and terms; see reply.h. */
#include "src/rollout/reply.h"

#include "src/base/memory.h"

#include <stdlib.h>

void reply_allocate(struct reply *reply, const struct statistic_table *table,
                    const struct statistic_sizes *sizes, bool self_certainty, int64_t count)
{
    const size_t n = (size_t)count + 1; /* never of size 0 */
    *reply = (struct reply){.count = count};
    reply->tokens = memory_allocate(n * sizeof *reply->tokens);
    reply->logp = memory_allocate(n * sizeof *reply->logp);
    reply->token_entropy = memory_allocate(n * sizeof *reply->token_entropy);
    if (self_certainty) reply->self_certainty = memory_allocate(n * sizeof(float));
    statistics_allocate(&reply->statistics, table, sizes, count);
}

void reply_free(struct reply *reply)
{
    free(reply->tokens);
    free(reply->logp);
    free(reply->token_entropy);
    free(reply->self_certainty);
    statistics_free(&reply->statistics);
    *reply = (struct reply){0};
}

status reply_terms(const struct reward_settings *reward, struct turn_key key,
                   const struct prompt *prompt, const struct reply *reply, double terms[TERM_MAX])
{
    const struct statistics *s = &reply->statistics;
    const struct reward_turn turn = {.key = key,
                                     .entropy_floored =
                                         statistics_floats(s, STATISTIC_ENTROPY_FLOORED),
                                     .salient_mass = statistics_floats(s, STATISTIC_SALIENT_MASS),
                                     .visible = prompt->visible_count,
                                     .salient = prompt->salient_count,
                                     .reply = reply->tokens,
                                     .reply_count = reply->count,
                                     .history = prompt->tokens,
                                     .history_count = prompt->count};
    return reward_terms_compute(reward, &turn, terms);
}
