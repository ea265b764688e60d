/* The batch in numbers; see update_metrics.h. */
#include "src/learn/update_metrics.h"

#include "src/base/memory.h"
#include "src/learn/advantage.h"
#include "src/reward/terms.h"

#include <math.h>
#include <stdlib.h>

static void rewards_add(const struct reward_settings *settings, const struct batch_item *item,
                        const double divisors[TERM_MAX], double share, struct update_metrics *out)
{
    out->reward += share * reward_combine(settings, item->terms, NULL, item->reply_tokens);
    out->reward_scaled += share * item->scaled;
    for (int64_t t = 0; t < settings->term_count; t++) {
        out->terms[t] += share * item->terms[t];
        out->scaled[t] += share * item->terms[t] / divisors[t];
    }
}

static void replies_add(const struct batch_item *item, double share, struct update_metrics *out)
{
    out->tokens += item->reply_tokens;
    out->salient_share += item->visible ? share * (double)item->salient / (double)item->visible : 0;
    out->reply_length += share * (double)item->reply_tokens;
    out->end_rate += share * item->ended;
    out->salient_empty += item->salient == 0;
    out->history_dropped += share * (double)item->dropped_tokens;
    out->histories_pruned += item->pruned;
    out->histories_short += item->whole;
    out->distinct_2 += share * item->distinct_2;
    out->token_entropy += share * item->token_entropy;
    out->kl_behaviour += item->kl_sum;
    out->blocks += share * item->spans;
    out->answer_missing += !item->answered;
    out->sub_unbalanced += item->unbalanced;
    out->answer_forced += item->forced > 0;
    out->forced += item->forced;
}

/* Of the replies in whose history several users have names. */
static void speakers_fill(const struct batch_item *items, int64_t count, struct update_metrics *out)
{
    for (int64_t i = 0; i < count; i++) out->speaker_replies += items[i].speakers;
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < 2 && items[i].speakers; k++) {
            const double share = 1.0 / (double)out->speaker_replies;
            out->speaker_mass[k] += share * items[i].speaker_mass[k];
            out->speaker_coverage[k] += share * items[i].speaker_coverage[k];
        }
}

/* Of the replies that were cut. */
static void interrupted_fill(const struct reward_settings *settings, const struct batch_item *items,
                             int64_t count, struct update_metrics *out)
{
    for (int64_t i = 0; i < count; i++) out->interrupted += items[i].interrupted;
    for (int64_t i = 0; i < count; i++) {
        if (!items[i].interrupted) continue;
        const double share = 1.0 / (double)out->interrupted;
        out->reward_interrupted +=
            share * reward_combine(settings, items[i].terms, NULL, items[i].reply_tokens);
        out->reply_length_interrupted += share * (double)items[i].reply_tokens;
        for (int64_t t = 0; t < settings->term_count; t++)
            out->terms_interrupted[t] += share * items[i].terms[t];
    }
}

/* Of G and the number of a reply's spans. */
static double return_blocks_correlation(const struct batch_item *items, int64_t count)
{
    struct running_statistic returns = {0}, blocks = {0};
    double together = 0;
    for (int64_t i = 0; i < count; i++) {
        running_statistic_add(&returns, items[i].return_);
        running_statistic_add(&blocks, items[i].spans);
    }
    for (int64_t i = 0; i < count; i++)
        together += (items[i].return_ - returns.mean) * (items[i].spans - blocks.mean);
    const double spread = sqrt(returns.m2) * sqrt(blocks.m2);
    return spread > 0 ? together / spread : 0;
}

/* What group.filter leaves of the batch's replies, and how many groups it drops. */
static status dropped_count(const struct batch_item *replies, int64_t count,
                            struct update_metrics *out)
{
    int64_t *order = memory_allocate(((size_t)count + 1) * sizeof *order);
    status s = turn_order(replies, sizeof *replies, count, order);
    for (int64_t begin = 0, end; !s && begin < count; begin = end) {
        end = turn_group_end(replies, sizeof *replies, count, order, begin);
        out->groups_dropped += replies[order[begin]].dropped;
    }
    for (int64_t i = 0; i < count; i++) {
        if (replies[i].dropped) continue;
        out->learned_turns++;
        out->learned_tokens += replies[i].reply_tokens - replies[i].forced;
    }
    free(order);
    return s;
}

static status explained_variance(const struct batch_item *items, int64_t count, double *out)
{
    struct advantage_item *values = memory_allocate(((size_t)count + 1) * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (struct advantage_item){
            .key = items[i].key, .value = items[i].value, .target = items[i].target};
    status s = critic_explained_variance(values, count, out);
    free(values);
    return s;
}

/* Over spans. */
static double advantage_deviation(const struct batch_item *items, int64_t count)
{
    const double share = count ? 1.0 / (double)count : 0;
    double squares = 0, mean = 0;
    for (int64_t i = 0; i < count; i++) {
        mean += share * items[i].span.value;
        squares += share * items[i].span.value * items[i].span.value;
    }
    return sqrt(fmax(0, squares - mean * mean));
}

static status replies_fill(const struct reward_settings *settings, const struct batch_item *items,
                           int64_t count, const double divisors[TERM_MAX],
                           struct update_metrics *out)
{
    const double share = count ? 1.0 / (double)count : 0;
    out->turns = count;
    for (int64_t i = 0; i < count; i++) {
        rewards_add(settings, &items[i], divisors, share, out);
        replies_add(&items[i], share, out);
        out->overlong += share * reward_overlong(settings, items[i].reply_tokens);
    }
    interrupted_fill(settings, items, count, out);
    speakers_fill(items, count, out);
    TRY(dropped_count(items, count, out));
    if (out->tokens > out->forced) out->kl_behaviour /= (double)(out->tokens - out->forced);
    out->return_blocks_correlation = return_blocks_correlation(items, count);
    TRY(share_within(items, sizeof *items, offsetof(struct batch_item, scaled), count,
                     &out->reward_within_share));
    for (int64_t t = 0; t < settings->term_count; t++)
        TRY(share_within(items, sizeof *items,
                         offsetof(struct batch_item, terms) + (size_t)t * sizeof items->terms[t],
                         count, &out->within_share[t]));
    return NULL;
}

status update_metrics_fill(const struct reward_settings *settings, const struct batch_item *items,
                           int64_t count, const double divisors[TERM_MAX],
                           struct update_metrics *out)
{
    struct batch_item *replies = memory_allocate(((size_t)count + 1) * sizeof *replies);
    const int64_t reply_count = batch_replies(settings, items, count, replies);
    out->spans = count;
    out->advantage_deviation = advantage_deviation(items, count);
    status s = replies_fill(settings, replies, reply_count, divisors, out);
    for (int64_t i = 0; i < count; i++)
        out->blocks_by_depth[items[i].depth < BLOCK_DEPTHS_LOGGED ? items[i].depth
                                                                  : BLOCK_DEPTHS_LOGGED - 1] +=
            1.0 / (double)reply_count;
    free(replies);
    return s ? s : explained_variance(items, count, &out->explained_variance);
}
