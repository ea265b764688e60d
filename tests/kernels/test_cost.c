/* The costs of operations against numbers counted by hand, and of attention against a count of the
 * pairs one by one. */
#include "kernels/cost.h"
#include "tests/kernels/kernel_test.h"

static const struct queue narrow = {.real_bytes = 2};

#define SAME(of_call, of_flops, of_bytes)                                                          \
    do {                                                                                           \
        const struct cost got = (of_call);                                                         \
        assert_true(got.flops == (double)(of_flops));                                              \
        assert_true(got.bytes == (double)(of_bytes));                                              \
    } while (0)

static void products(void **state)
{
    (void)state;
    const struct matrix_size size = {.n = 5, .k = 7};
    /* x [3,7] and w [5,7] are bf16, y [3,5] bf16, fp32, or fp32 that is read as well */
    SAME(cost_product(&narrow, 3, size, 2, false), 2 * 3 * 5 * 7, 2 * (3 * 7 + 5 * 7 + 3 * 5));
    SAME(cost_product(&narrow, 3, size, 4, false), 210, 2 * (3 * 7 + 5 * 7) + 4 * 3 * 5);
    SAME(cost_product(&narrow, 3, size, 4, true), 210, 2 * (3 * 7 + 5 * 7) + 2 * 4 * 3 * 5);
    SAME(cost_weight_gradient(&narrow, 3, 5, 7, false), 210, 2 * 3 * (5 + 7) + 4 * 5 * 7);
    SAME(cost_weight_gradient(&narrow, 3, 5, 7, true), 210, 2 * 3 * (5 + 7) + 2 * 4 * 5 * 7);
}

static void roofline(void **state)
{
    (void)state;
    const struct cost cost = {.flops = 600, .bytes = 40};
    const struct cost_rates computes = {.flops = 100, .bandwidth = 10, .launch = 1};
    const struct cost_rates moves = {.flops = 1000, .bandwidth = 10, .launch = 0.5};
    const struct cost_rates none = {0};
    assert_true(cost_seconds(cost, &computes) == 7);
    assert_true(cost_seconds(cost, &moves) == 4.5);
    assert_true(cost_seconds(cost, &none) == 0);
}

/* Three segments of 4, 1 and 2 queries; the first has two ranges, the others share one. */
static const int32_t query_begin[] = {0, 4, 5, 7}, range_begin[] = {0, 2, 3, 4};
static const int32_t key_begin[] = {10, 3, 0, 0}, key_end[] = {13, 7, 9, 9};

static struct attention call_of(bool causal)
{
    return (struct attention){.segments = 3,
                              .head_dim = 8,
                              .heads = 4,
                              .kv_heads = 2,
                              .query_rows = 7,
                              .query_begin = query_begin,
                              .range_begin = range_begin,
                              .key_begin = key_begin,
                              .key_end = key_end,
                              .causal = causal};
}

static void attention(void **state)
{
    (void)state;
    const int queries[] = {4, 1, 2}, keys[] = {7, 9, 9};
    for (int causal = 0; causal < 2; causal++) {
        struct attention a = call_of(causal);
        double pairs = 0;
        for (int s = 0; s < 3; s++)
            for (int i = 0; i < queries[s]; i++)
                for (int j = 0; j < keys[s]; j++) pairs += !causal || j <= i + keys[s] - queries[s];
        const struct attention_work work = attention_work(&a);
        assert_true(work.pairs == pairs);
        assert_true(work.keys == 7 + 9 + 9);
        /* q and out [7,32]; k and v [25,16]; the weights' own five operations */
        SAME(cost_attention(&narrow, &a, work), pairs * (4 * 32 + 5 * 4),
             2 * (2 * 7 * 32 + 2 * 25 * 16));
        float capture[1], lse[1];
        a.capture = capture;
        a.lse = lse;
        SAME(cost_attention(&narrow, &a, work), pairs * (4 * 32 + 6 * 4),
             2 * (2 * 7 * 32 + 2 * 25 * 16) + 4 * 7 * 4 + 4 * pairs);
        const struct attention_gradients g = {.accumulate_kv = true};
        /* q, dout, dq; k, v, and dk, dv twice */
        SAME(cost_attention_backward(&narrow, &a, &g, work), pairs * (10 * 32 + 8 * 4),
             2 * (3 * 7 * 32 + 6 * 25 * 16));
    }
    struct attention one_range_each = call_of(false);
    one_range_each.range_begin = NULL;
    assert_true(attention_work(&one_range_each).pairs == 4 * 3 + 1 * 4 + 2 * 9);
}

static void alignment(void **state)
{
    (void)state;
    /* One pair: sides of 5 and 4 tokens, the first 2 of each the prompt. */
    const int32_t begin[] = {0, 5, 9}, prompt[] = {2, 2};
    const real *there = "";
    struct alignment a = {.pairs = 1,
                          .tokens = 9,
                          .begin = begin,
                          .prompt = prompt,
                          .student = {.heads = 2, .kv_heads = 2, .head_dim = 4},
                          .teacher = {.heads = 3, .kv_heads = 3, .head_dim = 6, .q = there}};
    const double pairs = 5 * (5 + 2) + 4 * (4 + 3), work = 4 * 9 * (4 * 3 + 8);
    SAME(cost_alignment(&narrow, &a), pairs * (2 * 8 + 2 * 18 + 10 * 3),
         2 * 9 * (2 * 8 + 2 * 18) + work);
    a.teacher.q = NULL;
    SAME(cost_alignment(&narrow, &a), pairs * (2 * 8 + 10 * 3), 2 * 9 * 2 * 8 + work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(roofline),
        cmocka_unit_test(attention),
        cmocka_unit_test(alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
