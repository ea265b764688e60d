/* Replies' memory and terms; see reply.h. */
#include "src/rollout/reply.h"

#include "src/base/memory.h"
#include "src/reward/blocks.h"

#include <stdlib.h>
#include <string.h>

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
    free(reply->received);
    statistics_free(&reply->statistics);
    free(reply->blocks.begin);
    free(reply->blocks.marks);
    *reply = (struct reply){0};
}

void reply_blocks_copy(struct reply *reply, const struct reply_blocks *blocks)
{
    reply->blocks = *blocks;
    reply->blocks.begin = memory_allocate(((size_t)blocks->count + 1) * sizeof *blocks->begin);
    reply->blocks.marks = memory_allocate((size_t)reply->count + 1);
    memcpy(reply->blocks.begin, blocks->begin, (size_t)blocks->count * sizeof *blocks->begin);
    memcpy(reply->blocks.marks, blocks->marks, (size_t)reply->count);
}

static struct reward_turn turn_of(struct turn_key key, const struct prompt *prompt,
                                  const struct reply *reply)
{
    const struct statistics *s = &reply->statistics;
    return (struct reward_turn){.key = key,
                                .entropy_floored = statistics_floats(s, STATISTIC_ENTROPY_FLOORED),
                                .salient_mass = statistics_floats(s, STATISTIC_SALIENT_MASS),
                                .visible = prompt->visible_count,
                                .salient = prompt->salient_count,
                                .reply = reply->tokens,
                                .reply_count = reply->count,
                                .history = prompt->tokens,
                                .history_count = prompt->count};
}

status reply_block_terms(const struct reward_settings *reward, struct turn_key key,
                         const struct prompt *prompt, const struct reply *reply,
                         double terms[TERM_MAX], double *blocks, size_t stride)
{
    const struct reward_turn turn = turn_of(key, prompt, reply);
    const struct reply_blocks *at = &reply->blocks;
    TRY(blocks_terms(reward, &turn, at->marks, at->begin, at->count, blocks, stride));
    reward_terms_merge(reward, blocks, stride, at->count, terms);
    return NULL;
}

status reply_terms(const struct reward_settings *reward, struct turn_key key,
                   const struct prompt *prompt, const struct reply *reply, double terms[TERM_MAX])
{
    const struct reward_turn turn = turn_of(key, prompt, reply);
    const int64_t blocks = reply->blocks.count;
    if (!blocks) return reward_terms_compute(reward, &turn, terms);
    double(*each)[TERM_MAX] = memory_allocate((size_t)blocks * sizeof *each);
    memcpy(each[blocks - 1], terms, sizeof *each);
    status s = reply_block_terms(reward, key, prompt, reply, terms, *each, sizeof *each);
    free(each);
    return s;
}
