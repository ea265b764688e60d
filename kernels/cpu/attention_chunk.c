/* See attention.h.  A score is one chain of additions over head_dim, a sum over keys one chain,
 * ascending through the segment's list of ranges: first those that a group shares, for all rows of
 * a chunk at once, then each segment's own. */
#include "kernels/cpu/attention.h"

#include <string.h>

static int64_t keys_of(const struct attention *a, int64_t range, int64_t range_end)
{
    int64_t keys = 0;
    for (int64_t r = range; r < range_end; r++) keys += a->key_end[r] - a->key_begin[r];
    return keys;
}

/* How many ranges the lists of segments s and t have in common, from the first. */
static int64_t ranges_common(const struct attention *a, int64_t s, int64_t t)
{
    const int64_t i = ranges_before(a, s), j = ranges_before(a, t);
    const int64_t ranges = ranges_before(a, s + 1) - i, others = ranges_before(a, t + 1) - j;
    int64_t n = 0;
    while (n < ranges && n < others && a->key_begin[i + n] == a->key_begin[j + n] &&
           a->key_end[i + n] == a->key_end[j + n])
        n++;
    return n;
}

/* The next segment joins where it has the ranges that the first two have in common; it begins a
 * group of its own where it has more in common with the one behind it.  A segment alone shares all
 * of its ranges with itself. */
static struct group group_at(const struct attention *a, int64_t first)
{
    struct group group = {.first = first, .last = first + 1};
    const int64_t range = ranges_before(a, first);
    const int64_t common = first + 1 < a->segments ? ranges_common(a, first, first + 1) : 0;
    while (
        common > 0 && group.last < a->segments && ranges_common(a, first, group.last) >= common &&
        (group.last + 1 == a->segments || ranges_common(a, group.last, group.last + 1) <= common))
        group.last++;
    group.shared = group.last == first + 1 ? ranges_before(a, first + 1) - range : common;
    group.shared_keys = keys_of(a, range, range + group.shared);
    for (int64_t s = first; s < group.last; s++) {
        const int64_t own = keys_of(a, ranges_before(a, s) + group.shared, ranges_before(a, s + 1));
        if (own > group.own_keys) group.own_keys = own;
    }
    return group;
}

struct groups groups_of(const struct attention *a, struct group *list)
{
    struct groups groups = {.list = list};
    for (int64_t s = 0; s < a->segments; s = list[groups.count++].last) {
        const struct group group = list[groups.count] = group_at(a, s);
        const int64_t keys = group.shared_keys + group.own_keys;
        if (group.shared_keys > groups.shared_keys) groups.shared_keys = group.shared_keys;
        if (group.own_keys > groups.own_keys) groups.own_keys = group.own_keys;
        if (keys > groups.keys) groups.keys = keys;
    }
    return groups;
}

static int64_t keys_floats(const struct attention *a, int64_t keys, int forms)
{
    return (forms & SIDE_TRANSPOSED ? a->head_dim * keys_stride(keys) : 0) +
           (forms & SIDE_ROWS && a->range_begin ? keys * a->head_dim : 0);
}

static float *keys_open(struct keys *k, const struct attention *a, int64_t keys, int forms,
                        float *memory)
{
    *k = (struct keys){.range = -1};
    if (forms & SIDE_TRANSPOSED) k->transposed = memory;
    if (forms & SIDE_TRANSPOSED) memory += a->head_dim * keys_stride(keys);
    if (forms & SIDE_ROWS) k->gathered = memory;
    return memory + keys_floats(a, keys, forms & SIDE_ROWS);
}

int64_t side_floats(const struct attention *a, const struct groups *groups, int forms)
{
    return keys_floats(a, groups->shared_keys, forms) + keys_floats(a, groups->own_keys, forms);
}

float *side_open(struct side *side, const struct attention *a, const struct groups *groups,
                 const real *from, int64_t from_stride, int forms, float *memory)
{
    side->from = from;
    side->from_stride = from_stride;
    memory = keys_open(&side->shared, a, groups->shared_keys, forms, memory);
    return keys_open(&side->own, a, groups->own_keys, forms, memory);
}

static void keys_set(const struct row_functions *rows, struct keys *k, const struct side *side,
                     const struct attention *a, int64_t range, int64_t range_end, int64_t column)
{
    if (k->range == range && k->range_end == range_end && k->column == column) return;
    const int64_t d = a->head_dim;
    int64_t before = 0, filled = 0;
    k->range = range;
    k->range_end = range_end;
    k->column = column;
    k->stride = keys_stride(keys_of(a, range, range_end));
    for (int64_t r = range; r < range_end; r++) filled += a->key_end[r] > a->key_begin[r];
    k->rows = k->gathered;
    k->rows_stride = d;
    for (int64_t r = range; r < range_end; r++) {
        const int64_t keys = a->key_end[r] - a->key_begin[r];
        if (keys == 0) continue;
        const float *from = floats_at(side->from, a->key_begin[r] * side->from_stride + column);
        if (k->transposed)
            rows->transpose(k->transposed + before, k->stride, from, side->from_stride, keys, d);
        for (int64_t i = 0; k->gathered && filled > 1 && i < keys; i++)
            memcpy(k->gathered + (before + i) * d, from + i * side->from_stride,
                   (size_t)d * sizeof *from);
        if (filled == 1) k->rows = from;
        if (filled == 1) k->rows_stride = side->from_stride;
        before += keys;
    }
}

void side_share(const struct row_functions *rows, struct side *side, const struct attention *a,
                const struct group *group, int64_t column)
{
    const int64_t range = ranges_before(a, group->first);
    keys_set(rows, &side->shared, side, a, range, range + group->shared, column);
}

/* The keys of its own of the chunk's row. */
static const struct keys *side_own(const struct row_functions *rows, struct side *side,
                                   const struct chunk *c, int64_t row)
{
    const struct attention *a = c->a;
    const int64_t s = c->segment[row], range = ranges_before(a, s) + c->group->shared;
    keys_set(rows, &side->own, side, a, range, ranges_before(a, s + 1), key_column(a, c->head));
    return &side->own;
}

void chunk_set(struct chunk *c, const struct attention *a, int64_t begin, int64_t end)
{
    const int64_t room = c->each < chunk_rows ? chunk_rows / c->each : 1;
    c->a = a;
    c->begin = begin;
    c->rows = end - begin < room ? end - begin : room;
    c->items = c->rows * c->each;
    c->keys = 0;
    for (int64_t i = 0, s = c->group->first, last = -1, keys = 0; i < c->rows; i++) {
        while (begin + i >= a->query_begin[s + 1]) s++;
        if (s != last) keys = keys_of(a, ranges_before(a, s), ranges_before(a, s + 1));
        last = s;
        int64_t position = begin + i - a->query_begin[s], visible = keys;
        if (a->causal) {
            position += keys - (a->query_begin[s + 1] - a->query_begin[s]);
            visible = position < 0 ? 0 : position + 1;
        }
        c->segment[i] = s;
        c->segment_keys[i] = keys;
        c->position[i] = position;
        c->visible[i] = visible;
        if (visible > c->keys) c->keys = visible;
    }
    c->shared = c->keys < c->group->shared_keys ? c->keys : c->group->shared_keys;
}

int64_t chunk_run(const struct chunk *c, int64_t row)
{
    int64_t end = row + 1;
    while (end < c->rows && c->segment[end] == c->segment[row]) end++;
    return end;
}

int64_t run_own_keys(const struct chunk *c, int64_t row, int64_t end)
{
    int64_t most = 0;
    for (int64_t i = row; i < end; i++)
        if (c->visible[i] - c->group->shared_keys > most)
            most = c->visible[i] - c->group->shared_keys;
    return most;
}

void chunk_dots(const struct row_functions *rows, const struct chunk *c, struct side *side,
                float *to, const float *x, int64_t x_stride)
{
    const int64_t d = c->a->head_dim, each = c->each;
    rows->product(to, c->stride, x, x_stride, 1, side->shared.transposed, side->shared.stride,
                  c->items, row_padded(c->shared), d, false);
    for (int64_t i = 0, end; i < c->rows; i = end) {
        end = chunk_run(c, i);
        const int64_t own = run_own_keys(c, i, end);
        if (own == 0) continue;
        const struct keys *keys = side_own(rows, side, c, i);
        rows->product(to + i * each * c->stride + c->group->shared_keys, c->stride,
                      x + i * each * x_stride, x_stride, 1, keys->transposed, keys->stride,
                      (end - i) * each, row_padded(own), d, false);
    }
}

void chunk_sums(const struct row_functions *rows, const struct chunk *c, struct side *side,
                float *y, int64_t y_stride, const float *weights)
{
    const int64_t d = c->a->head_dim, each = c->each;
    rows->product(y, y_stride, weights, c->stride, 1, side->shared.rows, side->shared.rows_stride,
                  c->items, d, c->shared, false);
    for (int64_t i = 0, end; i < c->rows; i = end) {
        end = chunk_run(c, i);
        const int64_t own = run_own_keys(c, i, end);
        if (own == 0) continue;
        const struct keys *keys = side_own(rows, side, c, i);
        rows->product(y + i * each * y_stride, y_stride,
                      weights + i * each * c->stride + c->group->shared_keys, c->stride, 1,
                      keys->rows, keys->rows_stride, (end - i) * each, d, own, true);
    }
}

void chunk_weights(const struct row_functions *rows, const struct chunk *c, struct side *k,
                   float *weights, const float *queries, int64_t query_stride, float *lse)
{
    const struct attention *a = c->a;
    chunk_dots(rows, c, k, weights, queries, query_stride);
    for (int64_t item = 0; item < c->items; item++) {
        const int64_t i = item / c->each, h = c->head + item % c->each;
        const float *bias = NULL;
        if (a->bias)
            bias = a->bias + h * (2 * a->bias_span - 1) + a->bias_span - 1 - c->position[i];
        float *own = weights + item * c->stride;
        const float sum =
            a->statistics
                ? head_weights(rows, c, item, own, bias)
                : rows->attention_weights(own, a->scale, bias, c->visible[i], row_padded(c->keys));
        if (lse) lse[(c->begin + i) * a->heads + h] = sum;
    }
}
