/* Replies of spans; see batch_item.h. */
#include "src/learn/batch_item.h"

#include "src/reward/terms.h"

double batch_item_shares(const struct reward_settings *settings, const struct batch_item *item)
{
    return settings->block_mean ? item->spans : 1;
}

double batch_item_reward(const struct reward_settings *settings, const struct batch_item *item,
                         const double divisors[TERM_MAX])
{
    return reward_of_span(settings, item->terms, divisors, item->span.begin, item->span.end) /
           batch_item_shares(settings, item);
}

int64_t batch_replies(const struct reward_settings *settings, const struct batch_item *items,
                      int64_t count, struct batch_item *replies)
{
    int64_t n = 0;
    for (int64_t i = 0, end; i < count; i = end) {
        struct batch_item *reply = &replies[n++];
        *reply = items[i];
        for (end = i + 1; end < count && turn_key_same_reply(&items[i].key, &items[end].key);
             end++) {
            reply->scaled += items[end].scaled;
            reply->kl_reward += items[end].kl_reward;
        }
        reply->span.end = items[end - 1].span.end;
        reward_terms_merge(settings, items[i].terms, sizeof *items, end - i, reply->terms);
    }
    return n;
}
