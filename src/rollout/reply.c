/* Replies' memory and terms; see reply.h and generate.h. */
#include "src/rollout/reply.h"

#include "src/base/memory.h"
#include "src/rollout/generate.h"

#include <stdlib.h>
#include <string.h>

void reply_allocate(struct reply *reply, int64_t count, int64_t turns, int64_t top)
{
    const size_t n = (size_t)count + 1; /* never of size 0 */
    *reply = (struct reply){.count = count, .turns = turns, .top = top};
    reply->tokens = memory_allocate(n * sizeof *reply->tokens);
    reply->logp = memory_allocate(n * sizeof(float));
    reply->token_entropy = memory_allocate(n * sizeof(float));
    reply->entropy = memory_allocate(n * sizeof(float));
    reply->entropy_floored = memory_allocate(n * sizeof(float));
    reply->salient_mass = memory_allocate(n * sizeof(float));
    reply->special_mass = memory_allocate(n * sizeof(float));
    reply->turn_mass = memory_allocate(n * (size_t)turns * sizeof(float) + 4);
    reply->top_position = memory_allocate(n * (size_t)top * sizeof(int32_t) + 4);
    reply->top_weight = memory_allocate(n * (size_t)top * sizeof(float) + 4);
}

void reply_free(struct reply *reply)
{
    free(reply->tokens);
    free(reply->logp);
    free(reply->token_entropy);
    free(reply->entropy);
    free(reply->entropy_floored);
    free(reply->salient_mass);
    free(reply->special_mass);
    free(reply->turn_mass);
    free(reply->top_position);
    free(reply->top_weight);
    memset(reply, 0, sizeof *reply);
}

status reply_terms(const struct reward_settings *reward, struct turn_key key,
                   const struct prompt *prompt, const struct reply *reply, double terms[TERM_MAX])
{
    const struct reward_turn turn = {.key = key,
                                     .entropy_floored = reply->entropy_floored,
                                     .salient_mass = reply->salient_mass,
                                     .visible = prompt->visible_count,
                                     .salient = prompt->salient_count,
                                     .reply = reply->tokens,
                                     .reply_count = reply->count,
                                     .history = prompt->tokens,
                                     .history_count = prompt->count};
    return reward_terms_compute(reward, &turn, terms);
}
