/* Advantages and critic targets, in float64 and in the order dialogue, turn, candidate. */
#include "src/learn/advantage.h"

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
static void advantage_gae(const struct config *config, const struct reward_settings *reward,
                          struct advantage_item *items, int64_t count, const int64_t *order,
                          const int64_t *next)
{
    double discount = config->turns.discount;
    for (int64_t place = count - 1; place >= 0; place--) {
        struct advantage_item *item = &items[order[place]];
        int64_t after = next[order[place]];
        double weight = reward->single_turn ? 1 : turn_lambda(reward, item->key.turn);
        item->advantage = weight * item->reward - item->value;
        if (after < 0) continue;
        item->advantage += discount * items[after].value;
        item->advantage += discount * config->gae.lambda * items[after].advantage;
    }
}

/* One dialogue and turn's n candidates: rloo, R minus the mean of the others; mean, R minus the
 * mean; grpo, that over deviation + 1e-6. */
static void advantage_of_group(int form, struct advantage_item *items, const int64_t *order,
                               int64_t n)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += items[order[i]].reward;
    double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) {
        struct advantage_item *item = &items[order[i]];
        item->advantage = n == 1 ? 0 : item->reward - mean;
        squares += item->advantage * item->advantage;
    }
    if (n == 1 || form == GROUP_MEAN) return;
    /* R - (sum - R) / (n - 1) = (R - mean) n / (n - 1) */
    double factor =
        form == GROUP_GRPO ? 1 / (sqrt(squares / (double)n) + 1e-6) : (double)n / (double)(n - 1);
    for (int64_t i = 0; i < n; i++) items[order[i]].advantage *= factor;
}

/* Minus the mean (when centered), over the root of the mean square about it + 1e-8. */
static void whiten(struct advantage_item *items, int64_t count, const int64_t *order, bool centered)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; centered && i < count; i++) sum += items[order[i]].advantage;
    double mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        double about = items[order[i]].advantage - mean;
        squares += about * about;
    }
    double divisor = sqrt(squares / (double)count) + 1e-8;
    for (int64_t i = 0; i < count; i++) items[i].advantage = (items[i].advantage - mean) / divisor;
}

/* G(t), or the largest of the turn's candidates. */
static void set_targets(const struct config *config, struct advantage_item *items, int64_t count,
                        const int64_t *order)
{
    for (int64_t begin = 0, end; begin < count; begin = end) {
        end = turn_group_end(items, sizeof *items, count, order, begin);
        double best = -INFINITY;
        for (int64_t i = begin; i < end; i++) best = fmax(best, items[order[i]].return_);
        for (int64_t i = begin; i < end; i++) {
            struct advantage_item *item = &items[order[i]];
            item->target = config->critic.target == CRITIC_TARGET_BEST ? best : item->return_;
        }
    }
}

static status compute(const struct config *config, struct advantage_item *items, int64_t count,
                      int64_t *order, int64_t *next)
{
    const struct reward_settings reward = reward_settings_of(config);
    TRY(turn_order(items, sizeof *items, count, order));
    TRY(turn_successors(&reward, items, sizeof *items, offsetof(struct advantage_item, chosen),
                        count, next));
    bool group = config->advantage == ADVANTAGE_GROUP;
    if (config->advantage == ADVANTAGE_TURN) advantage_turn(items, count);
    if (config->advantage == ADVANTAGE_GAE)
        advantage_gae(config, &reward, items, count, order, next);
    for (int64_t begin = 0, end; group && begin < count; begin = end) {
        end = turn_group_end(items, sizeof *items, count, order, begin);
        advantage_of_group(config->group.form, items, order + begin, end - begin);
    }
    if (config->ppo.whiten && !(group && config->group.form == GROUP_GRPO))
        whiten(items, count, order, !group);
    set_targets(config, items, count, order);
    return NULL;
}

status advantage_compute(const struct config *config, struct advantage_item *items, int64_t count)
{
    if (count == 0) return NULL;
    int64_t *order = malloc(2 * (size_t)count * sizeof *order);
    if (!order) FAIL(STATUS_INTERNAL, "out of memory for the advantages of a batch");
    status failed = compute(config, items, count, order, order + count);
    free(order);
    return failed;
}

status critic_explained_variance(const struct advantage_item *items, int64_t count, double *out)
{
    *out = 0;
    if (count == 0) return NULL;
    int64_t *order = malloc((size_t)count * sizeof *order);
    if (!order) FAIL(STATUS_INTERNAL, "out of memory for the order of a batch");
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
    int64_t *order = malloc((size_t)count * sizeof *order);
    if (!order) FAIL(STATUS_INTERNAL, "out of memory for the order of a batch");
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
