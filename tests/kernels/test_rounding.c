/* Stochastic rounding of weights to bf16: the bits that kernels/ops.h promises, the mean, and what
 * two calls have in common.  Where `real` is fp32 nothing may be rounded. */
#include "tests/kernels/kernel_test.h"

#include "src/base/philox.h"

static const struct rounding some = {.key = {17, 8}, .counter = {3, 1}, .first = 16};

/* The bits that kernels/ops.h describes, from the CPU's own Philox. */
static float rounded(const struct rounding *rounding, int64_t i, float x)
{
    const uint64_t e = (uint64_t)(rounding->first + i);
    const uint32_t counter[4] = {(uint32_t)(e / 8), (uint32_t)(e / 8 >> 32), rounding->counter[0],
                                 rounding->counter[1]};
    uint32_t word[4], bits;
    if (x != x) return x;
    philox4x32(counter, rounding->key, word);
    memcpy(&bits, &x, sizeof bits);
    bits += e % 2 ? word[e % 8 / 2] >> 16 : word[e % 8 / 2] & 0xffff;
    bits &= 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* values [count] as a matrix of one column holds them: a product with 1 gives them back. */
static float *packed_new(struct queue *q, const float *values, int64_t count,
                         const struct rounding *rounding)
{
    struct packed_matrix *w;
    float *one = floats_new(1), *y = floats_new(count);
    *one = 1;
    assert_null(q->op->matrix_create(q, count, 1, false, &w));
    q->op->matrix_pack(q, w, values, rounding);
    q->op->matmul_float(q, y, one, w, 1, false);
    queue_check(q);
    q->op->matrix_destroy(q, w);
    guarded_free(one, "one");
    return y;
}

/* random_new's values are bf16's in tests of bf16: these lie between. */
static float *between_new(int64_t count, uint64_t stream)
{
    float *values = random_new(count, stream, 3);
    for (int64_t i = 0; i < count; i++) values[i] *= 1.001234f;
    return values;
}

static bool rounds(void)
{
    return on_cuda() && real_is_bf16();
}

static void the_bits_are_those_of_the_key_the_counter_and_the_place(void **state)
{
    (void)state;
    struct queues all = queues_new();
    static const int64_t counts[] = {1, 7, 8, 9, 2048, 5003};
    static const float special[] = {NAN,       INFINITY, -INFINITY, 0,     1e-40f,
                                    0x1p-133f, -1e-38f,  3.3e38f,   -1.5f, 0x1.fffffep0f};
    /* Places beyond 2^35 reach the counter's second word. */
    static const int64_t firsts[] = {0, 8, ((int64_t)1 << 40) + 24};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const int64_t count = counts[c];
        float *values = between_new(count, 1 + c);
        for (size_t i = 0; i < sizeof special / sizeof *special && count > 10; i++)
            values[i * 5] = special[i];
        for (int qi = 0; qi < all.count; qi++) {
            struct rounding rounding = some;
            rounding.first = firsts[c % 3];
            float *y = packed_new(all.q[qi], values, count, &rounding);
            for (int64_t i = 0; i < count; i++) {
                const float want = rounds() ? rounded(&rounding, i, values[i]) : values[i];
                if (!(y[i] == want) && !(isnan(y[i]) && isnan(want)))
                    fail_msg("%s: element %d of %d is %a, not %a (%a rounded)", all.name[qi],
                             (int)i, (int)count, (double)y[i], (double)want, (double)values[i]);
            }
            guarded_free(y, all.name[qi]);
        }
        guarded_free(values, "values");
    }
    queues_free(&all);
}

static void the_mean_of_many_roundings_is_the_value(void **state)
{
    (void)state;
    enum { count = 4096, versions = 4 };
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    float *values = floats_new(count);
    static const double shares[] = {0.03125, 0.3125, 0.75}; /* of the way to the next bf16 */
    for (size_t s = 0; s < sizeof shares / sizeof *shares; s++)
        for (int negative = 0; negative < 2; negative++) {
            const double sign = negative ? -1 : 1;
            const double below = sign, above = sign * (1 + 0x1p-7);
            int64_t up = 0;
            for (int64_t i = 0; i < count; i++)
                values[i] = (float)(below + (above - below) * shares[s]);
            for (uint32_t version = 0; version < versions; version++) {
                struct rounding rounding = some;
                rounding.counter[0] = version;
                float *y = packed_new(q, values, count, &rounding);
                for (int64_t i = 0; i < count; i++) {
                    const double seen = (double)y[i];
                    if (rounds() ? seen != below && seen != above : y[i] != values[i])
                        fail_msg("%a became %a", (double)values[i], seen);
                    up += seen == above;
                }
                guarded_free(y, "y");
            }
            /* Four standard deviations of a mean of that many draws. */
            const double draws = count * versions;
            const double share = rounds() ? (double)up / draws : shares[s];
            const double allowed = 4 * sqrt(shares[s] * (1 - shares[s]) / draws);
            if (fabs(share - shares[s]) > allowed)
                fail_msg("%g of %g roundings went up, not %g +- %g", share, draws, shares[s],
                         allowed);
        }
    guarded_free(values, "values");
    queues_free(&all);
}

/* How many of two roundings' results differ. */
static int64_t differences(struct queue *q, const float *values, int64_t count,
                           const struct rounding *a, const struct rounding *b)
{
    float *left = packed_new(q, values, count, a), *right = packed_new(q, values, count, b);
    int64_t differ = 0;
    for (int64_t i = 0; i < count; i++) differ += left[i] != right[i];
    guarded_free(left, "left");
    guarded_free(right, "right");
    return differ;
}

static void equal_arguments_give_equal_bits_and_others_others(void **state)
{
    (void)state;
    enum { count = 1000 };
    struct queues all = queues_new();
    float *values = between_new(count, 5);
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        assert_int_equal(differences(q, values, count, &some, &some), 0);
        struct rounding other[5] = {some, some, some, some, some};
        other[0].key[0]++, other[1].key[1]++, other[2].counter[0]++, other[3].counter[1]++;
        other[4].first += 8;
        /* A third of two independent roundings differ. */
        for (int i = 0; i < 5; i++) {
            const int64_t differ = differences(q, values, count, &some, &other[i]);
            if (rounds() ? differ < count / 4 || differ > count / 2 : differ != 0)
                fail_msg("%s: %d of %d differ with argument %d changed", all.name[qi], (int)differ,
                         count, i);
        }
    }
    guarded_free(values, "values");
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bits_are_those_of_the_key_the_counter_and_the_place),
        cmocka_unit_test(the_mean_of_many_roundings_is_the_value),
        cmocka_unit_test(equal_arguments_give_equal_bits_and_others_others),
    };
    return cmocka_run_group_tests_name("rounding", tests, NULL, NULL);
}
