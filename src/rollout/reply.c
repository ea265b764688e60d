/* Replies' memory; see reply.h. */
#include "src/rollout/reply.h"

#include "src/base/arena.h"

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
