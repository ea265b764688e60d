/* The rotary embedding: right against float64, its inverse the gradient, and one row's bits the
 * same whatever stands beside it. */
#include "tests/kernels/kernel_test.h"

enum { positions = 90 };

/* Rows of heads * d that stand heads * d + gap apart.  Halves that are no whole vectors, one head,
 * SmolLM2's and Llama's heads. */
struct shape {
    int64_t m, heads, d, gap;
};
static const struct shape shapes[] = {{1, 1, 2, 0},    {5, 3, 6, 1},   {7, 2, 34, 3},
                                      {41, 12, 64, 8}, {9, 5, 128, 0}, {150, 3, 22, 5}};
enum { shape_count = sizeof shapes / sizeof *shapes };

/* cos and sin of angles like a model's. */
static float *table_new(int64_t d)
{
    float *table = floats_new(positions * d);
    for (int64_t p = 0; p < positions; p++)
        for (int64_t j = 0; j < d / 2; j++) {
            const double angle = (double)p * pow(10000, -2 * (double)j / (double)d);
            table[p * d + j] = (float)cos(angle);
            table[p * d + d / 2 + j] = (float)sin(angle);
        }
    return table;
}

/* In no order, some twice. */
static int32_t *positions_new(int64_t m)
{
    int32_t *position = guarded_new((size_t)m * sizeof *position);
    for (int64_t i = 0; i < m; i++) position[i] = (int32_t)(uniform_at(5, (uint64_t)i) * positions);
    if (m > 1) position[m - 1] = positions - 1;
    return position;
}

/* Random rows, NaNs between them. */
static float *rows_new(const struct shape *s, uint64_t seed)
{
    const int64_t width = s->heads * s->d, stride = width + s->gap;
    float *x = floats_new((s->m - 1) * stride + width);
    for (int64_t i = 0; i < s->m; i++) fill_random(x + i * stride, width, seed + (uint64_t)i, 2);
    return x;
}

static void rope_equals_float64_with_the_same_bits_everywhere(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < shape_count; n++)
        for (int inverse = 0; inverse < 2; inverse++) {
            const struct shape *s = &shapes[n];
            const int64_t width = s->heads * s->d, stride = width + s->gap, half = s->d / 2;
            float *table = table_new(s->d), *first = NULL;
            int32_t *position = positions_new(s->m);
            for (int i = 0; i < all.count; i++) {
                float *x = rows_new(s, 10), *before = rows_new(s, 10);
                all.q[i]->op->rope(all.q[i], x, stride, position, table, s->m, s->heads, s->d,
                                   inverse);
                queue_check(all.q[i]);
                for (int64_t r = 0; r < s->m; r++)
                    for (int64_t at = 0; at < width; at++) {
                        const int64_t j = at % s->d, pair = j < half ? at + half : at - half;
                        const float *angle = table + position[r] * s->d + j % half;
                        const double sine = (double)angle[half] * (inverse ? -1 : 1);
                        const double want =
                            (double)before[r * stride + at] * (double)angle[0] +
                            (double)before[r * stride + pair] * (j < half ? -sine : sine);
                        /* Three roundings of numbers below 4. */
                        check_close(x + r * stride + at, &want, 1, 6e-7, 0, all.name[i]);
                    }
                for (int64_t r = 0; r + 1 < s->m; r++)
                    for (int64_t at = width; at < stride; at++)
                        assert_true(isnan(x[r * stride + at]));
                guarded_free(before, "before");
                if (first) {
                    check_bits(x, first, (s->m - 1) * stride + width, all.name[i]);
                    guarded_free(x, all.name[i]);
                } else {
                    first = x;
                }
            }
            guarded_free(first, "x");
            guarded_free(table, "table");
            guarded_free(position, "position");
        }
    queues_free(&all);
}

/* sum(dy rope(x)) = sum(rope inverse(dy) x): the inverse is the transpose, which is the gradient.
 */
static void the_inverse_is_the_gradient(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < shape_count; n++) {
        const struct shape *s = &shapes[n];
        const int64_t width = s->heads * s->d, stride = width + s->gap;
        float *table = table_new(s->d), *x = rows_new(s, 10), *y = rows_new(s, 10);
        float *dy = rows_new(s, 900), *dx = rows_new(s, 900);
        int32_t *position = positions_new(s->m);
        struct queue *q = all.q[all.count - 1];
        q->op->rope(q, y, stride, position, table, s->m, s->heads, s->d, false);
        q->op->rope(q, dx, stride, position, table, s->m, s->heads, s->d, true);
        queue_check(q);
        double forward = 0, backward = 0;
        for (int64_t r = 0; r < s->m; r++)
            for (int64_t at = r * stride; at < r * stride + width; at++) {
                forward += (double)dy[at] * (double)y[at];
                backward += (double)dx[at] * (double)x[at];
            }
        const double off = (double)(s->m * width) * (real_is_bf16() ? 0.02 : 1e-6);
        if (!(fabs(forward - backward) <= off))
            fail_msg("forward %.9g, backward %.9g", forward, backward);
        q->op->rope(q, y, stride, position, table, s->m, s->heads, s->d, true);
        queue_check(q);
        for (int64_t r = 0; r < s->m; r++) /* and back */
            for (int64_t at = r * stride; at < r * stride + width; at++) {
                const double want = (double)x[at];
                check_close(y + at, &want, 1, real_is_bf16() ? 0.03 : 2e-6, 0, "there and back");
            }
        guarded_free(table, "table");
        guarded_free(x, "x");
        guarded_free(y, "y");
        guarded_free(dy, "dy");
        guarded_free(dx, "dx");
        guarded_free(position, "position");
    }
    queues_free(&all);
}

/* One row alone, the batch cut in two, other strides and rows that begin at odd addresses. */
static void a_row_has_the_same_bits_however_the_batch_is_cut(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < shape_count; n++) {
        const struct shape *s = &shapes[n];
        const int64_t width = s->heads * s->d, stride = width + s->gap;
        float *table = table_new(s->d), *want = rows_new(s, 10);
        int32_t *position = positions_new(s->m);
        struct queue *q = all.q[0];
        q->op->rope(q, want, stride, position, table, s->m, s->heads, s->d, false);
        for (int i = 0; i < all.count; i++) {
            q = all.q[i];
            float *x = rows_new(s, 10);
            const int64_t cut = s->m / 3;
            q->op->rope(q, x, stride, position, table, cut, s->heads, s->d, false);
            q->op->rope(q, x + cut * stride, stride, position + cut, table, s->m - cut, s->heads,
                        s->d, false);
            queue_check(q);
            check_bits(x, want, (s->m - 1) * stride + width, all.name[i]);
            guarded_free(x, all.name[i]);
            x = rows_new(s, 10);
            for (int64_t r = 0; r < s->m; r++) {
                float *alone = floats_new(width + 1);
                memcpy(alone + 1, x + r * stride, (size_t)width * sizeof *x);
                q->op->rope(q, alone + 1, width + 7, position + r, table, 1, s->heads, s->d, false);
                queue_check(q);
                check_bits(alone + 1, want + r * stride, width, all.name[i]);
                guarded_free(alone, all.name[i]);
            }
            guarded_free(x, all.name[i]);
        }
        guarded_free(table, "table");
        guarded_free(want, "x");
        guarded_free(position, "position");
    }
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rope_equals_float64_with_the_same_bits_everywhere),
        cmocka_unit_test(the_inverse_is_the_gradient),
        cmocka_unit_test(a_row_has_the_same_bits_however_the_batch_is_cut),
    };
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
