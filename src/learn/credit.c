/* Running statistics, scaled rewards, returns and advantages of a batch; see credit.h. */
#include "src/learn/credit.h"

#include "src/base/memory.h"
#include "src/learn/advantage.h"
#include "src/reward/returns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The running statistics are over replies, whatever spans they fall into. */
static status rewards_scale(const struct reward_settings *settings,
                            struct running_statistics *statistics, struct batch_item *items,
                            int64_t count, double divisors[TERM_MAX])
{
    struct running_item *running = memory_allocate(((size_t)count + 1) * sizeof *running);
    struct batch_item *replies = memory_allocate(((size_t)count + 1) * sizeof *replies);
    const int64_t reply_count = batch_replies(settings, items, count, replies);
    for (int64_t i = 0; i < reply_count; i++) {
        running[i].key = replies[i].key;
        memcpy(running[i].value, replies[i].terms, sizeof running[i].value);
    }
    status s = running_add(settings, statistics, running, reply_count);
    running_divisors(settings, statistics, divisors);
    for (int64_t i = 0; i < count; i++)
        items[i].scaled = batch_item_reward(settings, &items[i], divisors);
    free(replies);
    free(running);
    return s;
}

/* returns.center: less the mean of all rewards seen, the batch's among them. */
static status rewards_center(struct running_statistic *seen, struct return_item *returns,
                             int64_t count)
{
    int64_t *order = memory_allocate(((size_t)count + 1) * sizeof *order);
    status s = turn_order(returns, sizeof *returns, count, order);
    for (int64_t i = 0; !s && i < count; i++) running_statistic_add(seen, returns[order[i]].reward);
    for (int64_t i = 0; !s && i < count; i++) returns[i].reward -= seen->mean;
    free(order);
    return s;
}

/* The rewards' returns and, of those, the advantages and targets; both lists in the items' order.
 */
static status advantages_make(const struct learn_settings *settings,
                              struct running_statistics *statistics, const struct batch_item *items,
                              int64_t count, struct return_item *returns,
                              struct advantage_item *advantages)
{
    for (int64_t i = 0; i < count; i++)
        returns[i] = (struct return_item){
            .key = items[i].key,
            .reward = items[i].scaled -
                      items[i].kl_reward / batch_item_shares(&settings->reward, &items[i]),
            .answer = items[i].answer,
            .depth = items[i].depth,
            .chosen = items[i].chosen};
    if (settings->center) TRY(rewards_center(&statistics->reward, returns, count));
    TRY(returns_compute(&settings->reward, returns, count));
    for (int64_t i = 0; i < count; i++)
        advantages[i] = (struct advantage_item){.key = items[i].key,
                                                .reward = returns[i].reward,
                                                .return_ = returns[i].result,
                                                .value = items[i].value,
                                                .answer = items[i].answer,
                                                .depth = items[i].depth,
                                                .chosen = items[i].chosen};
    return advantage_compute(settings, advantages, count);
}

status credit_assign(const struct learn_settings *settings, struct running_statistics *statistics,
                     struct batch_item *items, int64_t count, double divisors[TERM_MAX])
{
    const size_t n = (size_t)count + 1;
    struct return_item *returns = memory_allocate(n * sizeof *returns);
    struct advantage_item *advantages = memory_allocate(n * sizeof *advantages);
    status s = rewards_scale(&settings->reward, statistics, items, count, divisors);
    if (!s) s = advantages_make(settings, statistics, items, count, returns, advantages);
    for (int64_t i = 0; !s && i < count; i++) {
        const struct turn_key *key = &items[i].key;
        items[i].span.value = advantages[i].advantage;
        items[i].target = advantages[i].target;
        items[i].dropped = advantages[i].dropped;
        items[i].return_ = advantages[i].return_;
        if (!(isfinite(advantages[i].advantage) && isfinite(advantages[i].target)))
            s = ERROR(STATUS_INTERNAL, "dialogue %lld turn %d candidate %d: advantage %g",
                      (long long)key->dialogue, key->turn, key->candidate, advantages[i].advantage);
    }
    free(returns);
    free(advantages);
    return s;
}
