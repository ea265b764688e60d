/* The order of a batch's turns: a sort of indices by key. */
#include "src/reward/order.h"

#include <inttypes.h>
#include <stdlib.h>

struct view {
    const char *items;
    size_t stride;
};

static const struct turn_key *key_at(const struct view *view, int64_t index)
{
    return (const struct turn_key *)(view->items + view->stride * (size_t)index);
}

static int compare(const void *left, const void *right, void *context)
{
    const struct turn_key *a = key_at(context, *(const int64_t *)left);
    const struct turn_key *b = key_at(context, *(const int64_t *)right);
    if (a->dialogue != b->dialogue) return a->dialogue < b->dialogue ? -1 : 1;
    if (a->turn != b->turn) return a->turn < b->turn ? -1 : 1;
    if (a->candidate != b->candidate) return a->candidate < b->candidate ? -1 : 1;
    if (a->span != b->span) return a->span < b->span ? -1 : 1;
    return 0;
}

bool turn_key_same_reply(const struct turn_key *a, const struct turn_key *b)
{
    return a->dialogue == b->dialogue && a->turn == b->turn && a->candidate == b->candidate;
}

status turn_order(const void *items, size_t stride, int64_t count, int64_t *order)
{
    struct view view = {items, stride};
    for (int64_t i = 0; i < count; i++) order[i] = i;
    if (count > 1) qsort_r(order, (size_t)count, sizeof *order, compare, &view);
    for (int64_t i = 1; i < count; i++) {
        if (compare(&order[i - 1], &order[i], &view) == 0) {
            const struct turn_key *key = key_at(&view, order[i]);
            FAIL(STATUS_INTERNAL,
                 "dialogue %" PRId64 ", turn %d, candidate %d, span %d is there twice",
                 key->dialogue, key->turn, key->candidate, key->span);
        }
    }
    return NULL;
}

int64_t turn_group_end(const void *items, size_t stride, int64_t count, const int64_t *order,
                       int64_t begin)
{
    struct view view = {items, stride};
    const struct turn_key *first = key_at(&view, order[begin]);
    int64_t end = begin + 1;
    while (end < count && key_at(&view, order[end])->dialogue == first->dialogue &&
           key_at(&view, order[end])->turn == first->turn)
        end++;
    return end;
}
