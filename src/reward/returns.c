/* Returns over a dialogue's turns, from the last turn back. */
#include "src/reward/returns.h"

#include "src/base/memory.h"

#include <inttypes.h>
#include <stdlib.h>

double turn_lambda(const struct reward_settings *settings, int64_t turn)
{
    int64_t count = settings->lambda_count;
    if (count == 0 || settings->single_turn) return 1;
    return settings->lambda[turn <= count ? turn - 1 : count - 1];
}

static double depth_lambda(const struct reward_settings *settings, int32_t depth)
{
    const int64_t count = settings->depth_count;
    if (count == 0) return 1;
    return settings->depth_lambda[depth < count ? depth : count - 1];
}

double span_lambda(const struct reward_settings *settings, int64_t turn, bool answer, int32_t depth)
{
    return turn_lambda(settings, turn) *
           (answer ? settings->lambda_final : depth_lambda(settings, depth));
}

struct batch {
    const char *items;
    size_t stride, chosen_offset;
    const int64_t *order;
};

static const struct turn_key *key_at(const struct batch *b, int64_t place)
{
    return (const struct turn_key *)(b->items + b->stride * (size_t)b->order[place]);
}

static bool chosen_at(const struct batch *b, int64_t place)
{
    return *(const bool *)(b->items + b->stride * (size_t)b->order[place] + b->chosen_offset);
}

/* Whether the item at a place is the first span of its reply. */
static bool begins_reply(const struct batch *b, int64_t place)
{
    return key_at(b, place)->span == 0;
}

/* The first span of the chosen reply among places [begin, end): exactly one. */
static status chosen_of(const struct batch *b, int64_t begin, int64_t end, int64_t *place)
{
    int64_t found = 0;
    for (int64_t i = begin; i < end; i++) {
        if (!chosen_at(b, i) || !begins_reply(b, i)) continue;
        *place = i;
        found++;
    }
    if (found != 1)
        FAIL(STATUS_INTERNAL,
             "dialogue %" PRId64 ", turn %d: %" PRId64 " candidates are marked as chosen, not one",
             key_at(b, begin)->dialogue, key_at(b, begin)->turn, found);
    return NULL;
}

/* What follows the replies at places [begin, end) in the next turn, [end, next_end). */
static status link_group(const struct batch *b, bool best, int64_t begin, int64_t end,
                         int64_t next_end, int64_t *next)
{
    int64_t chosen = -1;
    if (best) TRY(chosen_of(b, end, next_end, &chosen));
    for (int64_t i = begin; i < end; i++) {
        if (next[b->order[i]] >= 0) continue; /* a span of the same reply */
        if (best) next[b->order[i]] = b->order[chosen];
        for (int64_t j = end; !best && j < next_end; j++)
            if (begins_reply(b, j) && key_at(b, j)->candidate == key_at(b, i)->candidate)
                next[b->order[i]] = b->order[j];
    }
    return NULL;
}

/* A span is followed by the next one of its reply. */
static void link_spans(const struct batch *b, int64_t count, int64_t *next)
{
    for (int64_t i = 0; i + 1 < count; i++)
        if (turn_key_same_reply(key_at(b, i), key_at(b, i + 1)))
            next[b->order[i]] = b->order[i + 1];
}

static status link_batch(const struct reward_settings *settings, const struct batch *b,
                         int64_t count, int64_t *next)
{
    bool best = settings->continue_best;
    for (int64_t begin = 0, end; begin < count; begin = end) {
        end = turn_group_end(b->items, b->stride, count, b->order, begin);
        if (end == count || key_at(b, end)->dialogue != key_at(b, begin)->dialogue) continue;
        const struct turn_key *key = key_at(b, begin);
        if (key_at(b, end)->turn != key->turn + 1)
            FAIL(STATUS_INTERNAL, "dialogue %" PRId64 ": turn %d is followed by turn %d",
                 key->dialogue, key->turn, key_at(b, end)->turn);
        int64_t next_end = turn_group_end(b->items, b->stride, count, b->order, end);
        TRY(link_group(b, best, begin, end, next_end, next));
    }
    return NULL;
}

status turn_successors(const struct reward_settings *settings, const void *items, size_t stride,
                       size_t chosen_offset, int64_t count, int64_t *next)
{
    for (int64_t i = 0; i < count; i++) next[i] = -1;
    if (count == 0) return NULL;
    int64_t *order = memory_allocate((size_t)count * sizeof *order);
    struct batch batch = {items, stride, chosen_offset, order};
    status failed = turn_order(items, stride, count, order);
    if (!failed) link_spans(&batch, count, next);
    if (!failed && !settings->single_turn) failed = link_batch(settings, &batch, count, next);
    free(order);
    return failed;
}

/* Last places first, so that G(t+1) is there before G(t). */
static void fill(const struct reward_settings *settings, struct return_item *items, int64_t count,
                 const int64_t *order, const int64_t *next)
{
    for (int64_t place = count - 1; place >= 0; place--) {
        struct return_item *item = &items[order[place]];
        int64_t after = next[order[place]];
        item->result =
            span_lambda(settings, item->key.turn, item->answer, item->depth) * item->reward;
        if (after >= 0) item->result += settings->discount * items[after].result;
    }
}

status returns_compute(const struct reward_settings *settings, struct return_item *items,
                       int64_t count)
{
    if (count == 0) return NULL;
    int64_t *order = memory_allocate(2 * (size_t)count * sizeof *order);
    int64_t *next = order + count;
    status failed = turn_order(items, sizeof *items, count, order);
    if (!failed)
        failed = turn_successors(settings, items, sizeof *items,
                                 offsetof(struct return_item, chosen), count, next);
    if (!failed) fill(settings, items, count, order, next);
    free(order);
    return failed;
}

double reward_kl(const struct reward_settings *settings, const float *logp, const float *logp_ref,
                 int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double k1 = kl_bounded(&settings->kl_bounds, (double)logp[i] - (double)logp_ref[i]);
        sum += settings->kl_estimator == KL_K1 ? k1 : kl_k3(k1);
    }
    return settings->kl_coef * sum;
}
