/* The index of a decoder's store: first fit, what is forgotten and what is not, and random
 * operations against a model that scans a map of rows. */
#include "src/model/prefix_cache.h"

#include "tests/model/model_test.h"

static int64_t add(struct prefix_cache *cache, int64_t parent, const int32_t *tokens, int64_t count)
{
    const int64_t node = prefix_cache_add(cache, parent, tokens, count);
    assert_true(node >= 0);
    return node;
}

static const int32_t abc[3] = {1, 2, 3}, xy[2] = {8, 9}, four[4] = {4, 4, 4, 4};

static void rows_are_given_out_first_fit_and_found_again(void **state)
{
    (void)state;
    struct prefix_cache *cache = prefix_cache_create();
    prefix_cache_clear(cache, 12);
    prefix_cache_begin(cache);
    assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, abc, 3), PREFIX_NONE);
    const int64_t a = add(cache, PREFIX_ROOT, abc, 3);
    const int64_t b = add(cache, a, xy, 2);
    assert_int_equal(prefix_cache_first(cache, a), 0);
    assert_int_equal(prefix_cache_first(cache, b), 3);
    assert_int_equal(prefix_cache_parent(cache, b), a);
    assert_int_equal(prefix_cache_count(cache, b), 2);
    assert_int_equal(prefix_cache_take(cache, 4), 5);
    assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, abc, 3), a);
    assert_int_equal(prefix_cache_find(cache, a, xy, 2), b);
    assert_int_equal(prefix_cache_find(cache, a, xy, 1), PREFIX_NONE);
    prefix_cache_destroy(cache);
}

static void equal_tokens_under_another_parent_are_another_node(void **state)
{
    (void)state;
    struct prefix_cache *cache = prefix_cache_create();
    prefix_cache_clear(cache, 12);
    prefix_cache_begin(cache);
    const int64_t a = add(cache, PREFIX_ROOT, abc, 3);
    assert_int_equal(prefix_cache_find(cache, a, abc, 3), PREFIX_NONE);
    const int64_t b = add(cache, a, abc, 3);
    assert_true(a != b);
    assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, abc, 3), a);
    assert_int_equal(prefix_cache_find(cache, a, abc, 3), b);
    prefix_cache_destroy(cache);
}

static void the_leaf_used_the_longest_ago_makes_room_and_parents_outlive_children(void **state)
{
    (void)state;
    struct prefix_cache *cache = prefix_cache_create();
    prefix_cache_clear(cache, 9);
    prefix_cache_begin(cache);
    const int64_t a = add(cache, PREFIX_ROOT, abc, 3); /* rows 0 to 2 */
    add(cache, a, xy, 2);                              /* 3, 4 */
    prefix_cache_begin(cache);
    add(cache, PREFIX_ROOT, four, 4); /* 5 to 8 */
    prefix_cache_begin(cache);
    /* a is as old as its child, but its child goes first; one of two rows is enough. */
    const int64_t c = add(cache, PREFIX_ROOT, xy, 1);
    assert_int_equal(prefix_cache_first(cache, c), 3);
    assert_int_equal(prefix_cache_evicted(cache), 1);
    assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, abc, 3), a);
    assert_int_equal(prefix_cache_find(cache, a, xy, 2), PREFIX_NONE);
    /* a was found just now: what is forgotten is the node of four. */
    assert_int_equal(prefix_cache_take(cache, 5), 4);
    assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, four, 4), PREFIX_NONE);
    assert_int_equal(prefix_cache_evicted(cache), 2);
    prefix_cache_destroy(cache);
}

static void only_what_the_batch_itself_needs_can_exhaust_the_rows(void **state)
{
    (void)state;
    struct prefix_cache *cache = prefix_cache_create();
    prefix_cache_clear(cache, 9);
    for (int batch = 0; batch < 5; batch++) {
        const int32_t other[3] = {batch, 50, 60};
        prefix_cache_begin(cache);
        const int64_t a = add(cache, PREFIX_ROOT, other, 3);
        add(cache, a, abc, 3);
        assert_true(prefix_cache_take(cache, 3) >= 0);
        assert_int_equal(prefix_cache_take(cache, 1), -1);
        assert_int_equal(prefix_cache_add(cache, a, xy, 2), PREFIX_NONE);
        assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, other, 3), a);
    }
    prefix_cache_begin(cache);
    assert_int_equal(prefix_cache_take(cache, 10), -1);
    assert_int_equal(prefix_cache_take(cache, 9), 0);
    prefix_cache_destroy(cache);
}

static void a_batch_whose_free_rows_are_scattered_fits_after_a_clear(void **state)
{
    (void)state;
    struct prefix_cache *cache = prefix_cache_create();
    prefix_cache_clear(cache, 9);
    prefix_cache_begin(cache);
    add(cache, PREFIX_ROOT, abc, 3);
    add(cache, PREFIX_ROOT, xy, 2);
    prefix_cache_begin(cache);
    assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, xy, 2), 1); /* rows 3 and 4 */
    assert_int_equal(prefix_cache_take(cache, 6), -1);
    prefix_cache_clear(cache, 9);
    prefix_cache_begin(cache);
    assert_int_equal(prefix_cache_find(cache, PREFIX_ROOT, xy, 2), PREFIX_NONE);
    add(cache, PREFIX_ROOT, xy, 2);
    assert_int_equal(prefix_cache_take(cache, 6), 2);
    prefix_cache_destroy(cache);
}

static void retained_rows_are_a_node_and_the_rest_of_their_piece_is_free(void **state)
{
    (void)state;
    struct prefix_cache *cache = prefix_cache_create();
    prefix_cache_clear(cache, 15);
    prefix_cache_begin(cache);
    const int64_t a = add(cache, PREFIX_ROOT, abc, 3);
    const int64_t first = prefix_cache_take(cache, 6), second = prefix_cache_take(cache, 6);
    assert_int_equal(first, 3);
    assert_int_equal(second, 9);
    prefix_cache_retain(cache, a, four, 4, first);
    prefix_cache_retain(cache, a, four, 4, second); /* there already */
    const int64_t node = prefix_cache_find(cache, a, four, 4);
    assert_int_equal(prefix_cache_first(cache, node), 3);
    assert_int_equal(prefix_cache_take(cache, 2), 7);
    prefix_cache_begin(cache);
    assert_int_equal(prefix_cache_find(cache, a, four, 4), node);
    assert_int_equal(prefix_cache_take(cache, 8), 7);
    assert_int_equal(prefix_cache_evicted(cache), 0);
    prefix_cache_destroy(cache);
}

/* The same in the plainest form. */
enum { ROWS = 60, NODES = 64, TAKEN = 16 };
struct plain_node {
    bool used;
    int64_t parent, first, count, batch;
    int32_t tokens[8];
};
struct plain {
    bool row_used[ROWS];
    struct plain_node node[NODES];
    int64_t batch, taken_first[TAKEN], taken_count[TAKEN], taken;
};

static int64_t plain_fit(const struct plain *p, int64_t count)
{
    for (int64_t first = 0; first + count <= ROWS; first++) {
        int64_t free_rows = 0;
        while (free_rows < count && !p->row_used[first + free_rows]) free_rows++;
        if (free_rows == count) return first;
    }
    return -1;
}

static int64_t plain_rows(struct plain *p, int64_t count)
{
    int64_t first;
    while ((first = plain_fit(p, count)) < 0) {
        int64_t oldest = -1;
        for (int64_t n = 0; n < NODES; n++) {
            bool leaf = p->node[n].used && p->node[n].batch != p->batch;
            for (int64_t c = 0; c < NODES; c++)
                leaf = leaf && !(p->node[c].used && p->node[c].parent == n);
            if (leaf && (oldest < 0 || p->node[n].batch < p->node[oldest].batch)) oldest = n;
        }
        if (oldest < 0) return -1;
        p->node[oldest].used = false;
        memset(p->row_used + p->node[oldest].first, 0, (size_t)p->node[oldest].count);
    }
    memset(p->row_used + first, 1, (size_t)count);
    return first;
}

static int64_t plain_find(struct plain *p, int64_t parent, const int32_t *tokens, int64_t count)
{
    for (int64_t n = 0; n < NODES; n++)
        if (p->node[n].used && p->node[n].parent == parent && p->node[n].count == count &&
            !memcmp(p->node[n].tokens, tokens, (size_t)count * sizeof *tokens))
            return n;
    return PREFIX_NONE;
}

static int64_t plain_make(struct plain *p, int64_t parent, const int32_t *tokens, int64_t count,
                          int64_t first)
{
    int64_t n = 0;
    while (p->node[n].used) n++;
    p->node[n] = (struct plain_node){true, parent, first, count, p->batch, {0}};
    memcpy(p->node[n].tokens, tokens, (size_t)count * sizeof *tokens);
    return n;
}

static void plain_retain(struct plain *p, int64_t parent, const int32_t *tokens, int64_t count,
                         int64_t taken)
{
    if (plain_find(p, parent, tokens, count) != PREFIX_NONE) return;
    const int64_t first = p->taken_first[taken];
    plain_make(p, parent, tokens, count, first);
    memset(p->row_used + first + count, 0, (size_t)(p->taken_count[taken] - count));
    p->taken--;
    p->taken_first[taken] = p->taken_first[p->taken];
    p->taken_count[taken] = p->taken_count[p->taken];
}

static void plain_begin(struct plain *p)
{
    for (int64_t i = 0; i < p->taken; i++)
        memset(p->row_used + p->taken_first[i], 0, (size_t)p->taken_count[i]);
    p->taken = 0;
    p->batch++;
}

/* One batch: paths of few tokens, so that many are met again, then pieces, some of them retained
 * behind a path. */
static void batch_agrees(struct plain *p, struct prefix_cache *cache, uint32_t batch,
                         int64_t *found, int64_t *refused)
{
    uint32_t draws = 0;
    int64_t leaf = PREFIX_ROOT;
    plain_begin(p);
    prefix_cache_begin(cache);
    for (int path = 0; path < 4; path++) {
        leaf = PREFIX_ROOT;
        for (int depth = 0; depth < 3; depth++) {
            int32_t tokens[8];
            const int64_t count = 1 + (int64_t)(uniform_at(batch, draws++) * 5);
            for (int64_t i = 0; i < count; i++)
                tokens[i] = (int32_t)(uniform_at(batch, draws++) * (i ? 1 : 3));
            int64_t want = plain_find(p, leaf, tokens, count);
            int64_t saw = prefix_cache_find(cache, leaf, tokens, count);
            assert_int_equal(saw, want);
            *found += want >= 0;
            if (want >= 0) {
                p->node[want].batch = p->batch;
            } else {
                const int64_t first = plain_rows(p, count);
                want = first < 0 ? PREFIX_NONE : plain_make(p, leaf, tokens, count, first);
                saw = prefix_cache_add(cache, leaf, tokens, count);
                assert_int_equal(saw, want);
                *refused += want < 0;
            }
            if (want < 0) break;
            assert_int_equal(prefix_cache_first(cache, saw), p->node[want].first);
            leaf = want;
        }
    }
    for (int i = 0; i < 4; i++) {
        const int64_t count = 3 + (int64_t)(uniform_at(batch, draws++) * 6);
        const int64_t first = plain_rows(p, count);
        assert_int_equal(prefix_cache_take(cache, count), first);
        *refused += first < 0;
        if (first < 0) continue;
        p->taken_first[p->taken] = first;
        p->taken_count[p->taken++] = count;
        if (i % 2) continue;
        const int32_t tokens[3] = {i, (int32_t)(uniform_at(batch, draws++) * 2), 0};
        prefix_cache_retain(cache, leaf, tokens, 1 + i % 3, first);
        plain_retain(p, leaf, tokens, 1 + i % 3, p->taken - 1);
    }
}

static void random_batches_agree_with_a_map_of_rows(void **state)
{
    (void)state;
    struct plain *p = calloc(1, sizeof *p);
    assert_non_null(p);
    struct prefix_cache *cache = prefix_cache_create();
    int64_t found = 0, refused = 0;
    prefix_cache_clear(cache, ROWS);
    for (uint32_t batch = 0; batch < 3000; batch++) batch_agrees(p, cache, batch, &found, &refused);
    if (found < 3000 || refused < 30 || prefix_cache_evicted(cache) < 3000)
        fail_msg("too little happened: %lld found, %lld refused, %lld forgotten", (long long)found,
                 (long long)refused, (long long)prefix_cache_evicted(cache));
    prefix_cache_destroy(cache);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_given_out_first_fit_and_found_again),
        cmocka_unit_test(equal_tokens_under_another_parent_are_another_node),
        cmocka_unit_test(the_leaf_used_the_longest_ago_makes_room_and_parents_outlive_children),
        cmocka_unit_test(only_what_the_batch_itself_needs_can_exhaust_the_rows),
        cmocka_unit_test(a_batch_whose_free_rows_are_scattered_fits_after_a_clear),
        cmocka_unit_test(retained_rows_are_a_node_and_the_rest_of_their_piece_is_free),
        cmocka_unit_test(random_batches_agree_with_a_map_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
