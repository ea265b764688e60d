/* Advantages and critic targets, in float64 and in the order dialogue, turn, candidate. */
#include "src/learn/advantage.h"

#include "src/base/memory.h"

#include "src/reward/returns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A(t) = G(t) - V_old(H(t)). */
static void advantage_turn(struct advantage_item *items, int64_t count)
{
    for (int64_t i = 0; i < count; i++) items[i].advantage = items[i].return_ - items[i].value;
}

/* d(t) = lambda(t) R(t) + discount V(t+1) - V(t); A(t) = d(t) + discount gae.lambda A(t+1), V and
 * A after the end 0 (Schulman et al. 2016, eq. 16, over turns).  In task single_turn every turn
 * ends by itself and has weight 1. */
static void advantage_gae(const struct learn_settings *settings, struct advantage_item *items,
                          int64_t count, const int64_t *order, const int64_t *next)
{
    double discount = settings->reward.discount;
    for (int64_t place = count - 1; place >= 0; place--) {
        struct advantage_item *item = &items[order[place]];
        int64_t after = next[order[place]];
        item->advantage =
            span_lambda(&settings->reward, item->key.turn, item->answer, item->depth) *
                item->reward -
            item->value;
        if (after < 0) continue;
        item->advantage += discount * items[after].value;
        item->advantage += discount * settings->gae_lambda * items[after].advantage;
    }
}

/* One dialogue and turn's candidates, of which n spans: rloo, R minus the mean of the others; mean
 * and global, R minus the mean; grpo, that over deviation + 1e-6; none, R.  R is the sum over
 * a reply's spans, which all get its advantage.  Returns whether all R are equal. */
static bool advantage_of_group(int form, struct advantage_item *items, const int64_t *order,
                               int64_t n)
{
    double sum = 0, squares = 0, replies = 0;
    bool equal = true;
    for (int64_t i = 0, end; i < n; i = end) {
        struct advantage_item *first = &items[order[i]];
        first->advantage = first->reward;
        for (end = i + 1; end < n && turn_key_same_reply(&items[order[end]].key, &first->key);
             end++)
            first->advantage += items[order[end]].reward;
        equal = equal && first->advantage == items[order[0]].advantage;
        sum += first->advantage;
        replies++;
    }
    double mean = sum / replies;
    for (int64_t i = 0; i < n; i++) {
        struct advantage_item *item = &items[order[i]];
        if (item->key.span != 0) continue;
        if (form != GROUP_NONE) item->advantage = replies == 1 ? 0 : item->advantage - mean;
        squares += item->advantage * item->advantage;
    }
    /* R - (sum - R) / (N - 1) = (R - mean) N / (N - 1) */
    double factor =
        form == GROUP_GRPO ? 1 / (sqrt(squares / replies) + 1e-6) : replies / (replies - 1);
    for (int64_t i = 0; i < n; i++) {
        struct advantage_item *item = &items[order[i]];
        if (item->key.span != 0)
            item->advantage = items[order[i - 1]].advantage;
        else if (replies > 1 && (form == GROUP_RLOO || form == GROUP_GRPO))
            item->advantage *= factor;
    }
    return equal;
}

static void drop(struct advantage_item *items, const int64_t *order, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        items[order[i]].advantage = 0;
        items[order[i]].dropped = true;
    }
}

/* What of the batch is whitened: all that was not dropped; of each span, or of each reply once. */
struct whitening {
    bool centered, by_reply;
};

static bool counts(const struct whitening *how, const struct advantage_item *item)
{
    return !item->dropped && !(how->by_reply && item->key.span != 0);
}

/* Minus the mean (when centered), over the root of the mean square about it + 1e-8. */
static void whiten(struct advantage_item *items, int64_t count, const int64_t *order,
                   const struct whitening *how)
{
    double sum = 0, squares = 0, counted = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!counts(how, &items[order[i]])) continue;
        if (how->centered) sum += items[order[i]].advantage;
        counted++;
    }
    if (counted == 0) return;
    const double mean = sum / counted;
    for (int64_t i = 0; i < count; i++) {
        if (!counts(how, &items[order[i]])) continue;
        const double about = items[order[i]].advantage - mean;
        squares += about * about;
    }
    const double divisor = sqrt(squares / counted) + 1e-8;
    for (int64_t i = 0; i < count; i++)
        if (!items[i].dropped) items[i].advantage = (items[i].advantage - mean) / divisor;
}

/* ppo.whiten; global is always over the batch's deviation, grpo never. */
static void whiten_as_set(const struct learn_settings *settings, struct advantage_item *items,
                          int64_t count, const int64_t *order)
{
    const bool group = settings->advantage == ADVANTAGE_GROUP;
    const bool global = group && settings->group_form == GROUP_GLOBAL;
    const struct whitening how = {.centered = !group || global, .by_reply = global};
    if (global || (settings->whiten && !(group && settings->group_form == GROUP_GRPO)))
        whiten(items, count, order, &how);
}

/* G of the span; with critic.target best the first span of a reply, before which the candidates of
 * a turn have one history, has the largest of their first spans. */
static void set_targets(const struct learn_settings *settings, struct advantage_item *items,
                        int64_t count, const int64_t *order)
{
    for (int64_t begin = 0, end; begin < count; begin = end) {
        end = turn_group_end(items, sizeof *items, count, order, begin);
        double best = -INFINITY;
        for (int64_t i = begin; i < end; i++)
            if (!items[order[i]].key.span) best = fmax(best, items[order[i]].return_);
        for (int64_t i = begin; i < end; i++) {
            struct advantage_item *item = &items[order[i]];
            const bool first = settings->critic_target == CRITIC_TARGET_BEST && !item->key.span;
            item->target = first ? best : item->return_;
        }
    }
}

static status compute(const struct learn_settings *settings, struct advantage_item *items,
                      int64_t count, int64_t *order, int64_t *next)
{
    TRY(turn_order(items, sizeof *items, count, order));
    TRY(turn_successors(&settings->reward, items, sizeof *items,
                        offsetof(struct advantage_item, chosen), count, next));
    bool group = settings->advantage == ADVANTAGE_GROUP;
    if (settings->advantage == ADVANTAGE_TURN) advantage_turn(items, count);
    if (settings->advantage == ADVANTAGE_GAE) advantage_gae(settings, items, count, order, next);
    for (int64_t begin = 0, end; group && begin < count; begin = end) {
        end = turn_group_end(items, sizeof *items, count, order, begin);
        const bool equal =
            advantage_of_group(settings->group_form, items, order + begin, end - begin);
        if (equal && settings->group_filter) drop(items, order + begin, end - begin);
    }
    whiten_as_set(settings, items, count, order);
    set_targets(settings, items, count, order);
    return NULL;
}

status advantage_compute(const struct learn_settings *settings, struct advantage_item *items,
                         int64_t count)
{
    if (count == 0) return NULL;
    int64_t *order = memory_allocate(2 * (size_t)count * sizeof *order);
    status failed = compute(settings, items, count, order, order + count);
    free(order);
    return failed;
}

status critic_explained_variance(const struct advantage_item *items, int64_t count, double *out)
{
    *out = 0;
    if (count == 0) return NULL;
    int64_t *order = memory_allocate((size_t)count * sizeof *order);
    status failed = turn_order(items, sizeof *items, count, order);
    struct running_statistic target = {0}, residual = {0};
    for (int64_t i = 0; !failed && i < count; i++) {
        const struct advantage_item *item = &items[order[i]];
        running_statistic_add(&target, item->target);
        running_statistic_add(&residual, item->target - item->value);
    }
    free(order);
    if (!failed && target.m2 > 0) *out = 1 - residual.m2 / target.m2;
    return failed;
}

status share_within(const void *items, size_t stride, size_t offset, int64_t count, double *out)
{
    *out = 0;
    if (count == 0) return NULL;
    int64_t *order = memory_allocate((size_t)count * sizeof *order);
    status failed = turn_order(items, stride, count, order);
    struct running_statistic all = {0};
    double within = 0;
    for (int64_t begin = 0, end; !failed && begin < count; begin = end) {
        struct running_statistic group = {0};
        end = turn_group_end(items, stride, count, order, begin);
        for (int64_t i = begin; i < end; i++) {
            double value;
            memcpy(&value, (const char *)items + stride * (size_t)order[i] + offset, sizeof value);
            running_statistic_add(&group, value);
            running_statistic_add(&all, value);
        }
        within += group.m2;
    }
    free(order);
    if (!failed && all.m2 > 0) *out = within / all.m2;
    return failed;
}
