/* Embedding, elementwise operations, caches, counters, means and T5's relative bias: each
 * against a plain loop, with equal bits in every queue. */
#include "tests/kernels/kernel_test.h"

/* Enough for several threads to take part (32768 floats), and odd. */
enum { rows = 301, width = 131, count = rows * width, vocabulary = 17 };

/* One rounding of a value of size up to 2, or of a division: half a unit in the last place. */
static const double one_rounding = 0x1p-24;

static void ids_new(int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(uniform_at(11, (uint64_t)i) * vocabulary);
}

static void embedding_copies_rows_and_adds_gradients_in_order(void **state)
{
    (void)state;
    struct queues all = queues_new();
    float *table = random_new(vocabulary * width, 1, 1), *dy = random_new(count, 2, 1);
    float *before = random_new(vocabulary * width, 3, 1);
    float *want = floats_new(vocabulary * width);
    int32_t *ids = guarded_new(rows * sizeof *ids);
    ids_new(ids, rows);
    memcpy(want, before, vocabulary * width * sizeof *want);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < width; j++) want[ids[i] * width + j] += dy[i * width + j];
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        float *y = floats_new(count), *dtable = floats_new(vocabulary * width);
        q->op->embedding(q, y, table, ids, rows, width);
        for (int i = 0; i < rows; i++)
            check_bits(y + i * width, table + ids[i] * width, width, all.name[qi]);
        memcpy(dtable, before, vocabulary * width * sizeof *want);
        q->op->embedding_backward(q, dtable, dy, ids, rows, width);
        check_bits(dtable, want, vocabulary * width, all.name[qi]);
        guarded_free(y, all.name[qi]);
        guarded_free(dtable, all.name[qi]);
    }
    queues_free(&all);
    guarded_free(table, "table");
    guarded_free(dy, "dy");
    guarded_free(before, "before");
    guarded_free(want, "want");
    guarded_free(ids, "ids");
}

static void add_and_scale_are_one_rounding_from_exact_and_relu_backward_is_exact(void **state)
{
    (void)state;
    struct queues all = queues_new();
    float *a = random_new(count, 4, 1), *b = random_new(count, 5, 1);
    double *want = malloc(count * sizeof *want);
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        const char *name = all.name[qi];
        float *y = floats_new(count);
        q->op->add(q, y, a, b, count);
        for (int i = 0; i < count; i++) want[i] = (double)a[i] + (double)b[i];
        check_close(y, want, count, 0, one_rounding, name);
        q->op->scale(q, y, a, 0.3f, count);
        for (int i = 0; i < count; i++) want[i] = (double)a[i] * (double)0.3f;
        check_close(y, want, count, 0, one_rounding, name);
        q->op->relu_backward(q, y, b, a, count);
        for (int i = 0; i < count; i++) want[i] = a[i] > 0 ? b[i] : 0;
        check_close(y, want, count, 0, 0, name);
        memcpy(y, a, count * sizeof *y);
        q->op->add(q, y, y, b, count); /* in place */
        for (int i = 0; i < count; i++) want[i] = (double)a[i] + (double)b[i];
        check_close(y, want, count, 0, one_rounding, name);
        guarded_free(y, name);
    }
    free(want);
    queues_free(&all);
    guarded_free(a, "a");
    guarded_free(b, "b");
}

/* Columns [0, n) of rows that stand further apart; what lies between is left alone. */
static void biases_are_added_and_their_gradient_is_the_sum_of_rows(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {1, 1, 1}, {7, 5, 9}, {rows, width, width}, {rows, 96, 104}, {33, 960, 960}};
    struct queues all = queues_new();
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        const int64_t m = shapes[n][0], columns = shapes[n][1], stride = shapes[n][2];
        const int64_t size = (m - 1) * stride + columns;
        float *x = random_new(size, 20, 1), *bias = random_new(columns, 21, 1);
        double *sum = malloc((size_t)columns * sizeof *sum);
        float *chain = random_new(columns, 22, 1), *first = floats_new(columns);
        for (int64_t j = 0; j < columns; j++) sum[j] = (double)chain[j];
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < columns; j++) {
                sum[j] += (double)x[i * stride + j];
                chain[j] += x[i * stride + j];
            }
        for (int qi = 0; qi < all.count; qi++) {
            struct queue *q = all.q[qi];
            float *y = random_new(size, 20, 1), *dbias = random_new(columns, 22, 1);
            q->op->bias_add(q, y, stride, bias, m, columns);
            q->op->bias_backward(q, dbias, x, stride, m, columns);
            queue_check(q);
            for (int64_t at = 0; at < size; at++) {
                const double want =
                    (double)x[at] + (at % stride < columns ? (double)bias[at % stride] : 0);
                check_close(y + at, &want, 1, 0, one_rounding, all.name[qi]);
            }
            /* m roundings of sums of at most m. */
            check_close(dbias, sum, columns, (double)(m * m) * one_rounding, 0, all.name[qi]);
            if (!all.cuda) check_bits(dbias, chain, columns, all.name[qi]);
            if (qi == 0) memcpy(first, dbias, (size_t)columns * sizeof *first);
            check_bits(dbias, first, columns, all.name[qi]);
            guarded_free(y, all.name[qi]);
            guarded_free(dbias, all.name[qi]);
        }
        free(sum);
        guarded_free(x, "x");
        guarded_free(bias, "bias");
        guarded_free(chain, "chain");
        guarded_free(first, "first");
    }
    queues_free(&all);
}

static void cache_append_writes_its_rows_alone_and_advance_adds(void **state)
{
    (void)state;
    enum { slots = 3, positions = 4, stride = 9, w = 5 };
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    const int32_t slot[] = {2, 0}, position[] = {3, 1};
    float *to = random_new(slots * positions * w, 6, 1), *from = random_new(2 * stride, 7, 1);
    float want[slots * positions * w];
    memcpy(want, to, sizeof want);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < w; j++)
            want[slot[i] * positions * w + position[i] * w + j] = from[i * stride + j];
    q->op->cache_append(q, to, positions * w, slot, position, from, stride, 2, w, sizeof(float));
    check_bits(to, want, slots * positions * w, "cache");
    int32_t *steps = guarded_new(3 * sizeof *steps);
    for (int i = 0; i < 3; i++) steps[i] = 10 * i;
    q->op->advance(q, steps, -2, 3, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(steps[i], 10 * i - 2);
    q->op->advance(q, steps, 5, 2, 2); /* the first and the last */
    for (int i = 0; i < 3; i++) assert_int_equal(steps[i], 10 * i - 2 + (i != 1 ? 5 : 0));
    guarded_free(steps, "steps");
    guarded_free(to, "to");
    guarded_free(from, "from");
    queues_free(&all);
}

static void mean_rows_and_its_gradient(void **state)
{
    (void)state;
    enum { segments = 5 };
    const int32_t begin[segments + 1] = {2, 3, 3, 100, 107, rows - 4};
    struct queues all = queues_new();
    float *x = random_new(count, 8, 1), *dout = random_new(segments * width, 9, 1);
    float *first = floats_new(segments * width);
    double *want = calloc(segments * width, sizeof *want);
    double *dwant = calloc(count, sizeof *dwant);
    for (int s = 0; s < segments; s++)
        for (int i = begin[s]; i < begin[s + 1]; i++)
            for (int j = 0; j < width; j++) {
                const double n = begin[s + 1] - begin[s];
                want[s * width + j] += x[i * width + j] / n;
                dwant[i * width + j] = dout[s * width + j] / n;
            }
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        float *out = floats_new(segments * width), *dx = floats_new(count);
        memset(dx, 0, count * sizeof *dx); /* rows outside stay zero */
        q->op->mean_rows(q, out, x, begin, segments, width);
        /* 190 roundings of sums of at most 190, divided by 190: 190 u. */
        check_close(out, want, segments * width, 190 * one_rounding, 0, all.name[qi]);
        if (qi == 0) memcpy(first, out, segments * width * sizeof *out);
        check_bits(out, first, segments * width, all.name[qi]);
        q->op->mean_rows_backward(q, dx, dout, begin, segments, width);
        check_close(dx, dwant, count, 0, one_rounding, all.name[qi]);
        guarded_free(out, all.name[qi]);
        guarded_free(dx, all.name[qi]);
    }
    free(want);
    free(dwant);
    queues_free(&all);
    guarded_free(x, "x");
    guarded_free(dout, "dout");
    guarded_free(first, "first");
}

/* T5's buckets for 32 buckets and max_distance 128, where each begins, worked out by hand:
 * both ways: 8 + floor(2 log2(d / 8)); one way: 16 + floor(16/3 log2(d / 16)). */
static const int begins_both[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
static const int begins_one[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                 16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113};

static int bucket_by_hand(int distance, bool bidirectional)
{
    const int *begins = bidirectional ? begins_both : begins_one;
    const int n = bidirectional ? 16 : 32;
    const int away = bidirectional ? abs(distance) : distance < 0 ? -distance : 0;
    int bucket = 0;
    while (bucket + 1 < n && begins[bucket + 1] <= away) bucket++;
    return bucket + (bidirectional && distance > 0 ? 16 : 0);
}

static void relative_bias_has_t5s_buckets_and_their_gradient(void **state)
{
    (void)state;
    enum { heads = 3, buckets = 32, span = 300, distances = 2 * span - 1 };
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    float *table = random_new(buckets * heads, 12, 1);
    float *dbias = random_new(heads * distances, 13, 1);
    for (int both = 0; both < 2; both++) {
        float *bias = floats_new(heads * distances), *dtable = floats_new(buckets * heads);
        float want[buckets * heads];
        for (int i = 0; i < buckets * heads; i++) want[i] = dtable[i] = (float)i;
        q->op->relative_bias(q, bias, table, span, heads, buckets, 128, both);
        q->op->relative_bias_backward(q, dtable, dbias, span, heads, buckets, 128, both);
        for (int i = 0; i < distances; i++)
            for (int h = 0; h < heads; h++) {
                const int bucket = bucket_by_hand(i - span + 1, both);
                if (bias[h * distances + i] != table[bucket * heads + h])
                    fail_msg("distance %d, %s: not bucket %d", i - span + 1,
                             both ? "both ways" : "one way", bucket);
                want[bucket * heads + h] += dbias[h * distances + i];
            }
        check_bits(dtable, want, buckets * heads, "dtable");
        guarded_free(bias, "bias");
        guarded_free(dtable, "dtable");
    }
    guarded_free(table, "table");
    guarded_free(dbias, "dbias");
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_copies_rows_and_adds_gradients_in_order),
        cmocka_unit_test(add_and_scale_are_one_rounding_from_exact_and_relu_backward_is_exact),
        cmocka_unit_test(biases_are_added_and_their_gradient_is_the_sum_of_rows),
        cmocka_unit_test(cache_append_writes_its_rows_alone_and_advance_adds),
        cmocka_unit_test(mean_rows_and_its_gradient),
        cmocka_unit_test(relative_bias_has_t5s_buckets_and_their_gradient),
    };
    return cmocka_run_group_tests_name("elementwise", tests, NULL, NULL);
}
