/* RMS norm of heads and its gradients. */
#include "tests/kernels/kernel_test.h"

/* Rows of heads * d that stand so many elements apart in y (and dx), dy and x. */
struct shape {
    int64_t m, heads, d, y_stride, dy_stride, x_stride;
};
static const struct shape shapes[] = {{1, 1, 1, 1, 1, 1},          {3, 2, 7, 14, 17, 15},
                                      {37, 12, 64, 768, 776, 960}, {5, 3, 128, 384, 384, 400},
                                      {90, 5, 20, 101, 100, 103},  {2, 1, 600, 600, 601, 602}};
enum { shape_count = sizeof shapes / sizeof *shapes };
static const float eps = 1e-6f;

static float *rows_new(const struct shape *s, int64_t stride, uint64_t seed, double size)
{
    const int64_t width = s->heads * s->d;
    float *x = floats_new((s->m - 1) * stride + width);
    for (int64_t i = 0; i < s->m; i++) fill_random(x + i * stride, width, seed + (uint64_t)i, size);
    return x;
}

/* 1 / sqrt(mean(x^2) + eps) in float64. */
static double head_inverse(const float *x, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += (double)x[i] * (double)x[i];
    return 1 / sqrt(sum / (double)d + (double)eps);
}

/* What one call gives. */
struct result {
    float *y, *inverse, *dx, *dw;
};

static struct result result_new(struct queue *q, const struct shape *s, const float *x,
                                const float *dy, const float *w)
{
    const int64_t count = (s->m - 1) * s->y_stride + s->heads * s->d;
    struct result r = {floats_new(count), floats_new(s->m * s->heads), floats_new(count),
                       floats_new(s->d)};
    for (int64_t j = 0; j < s->d; j++) r.dw[j] = 1;
    q->op->head_norm(q, r.y, s->y_stride, r.inverse, x, s->x_stride, w, s->m, s->heads, s->d, eps);
    q->op->head_norm_backward(q, r.dx, s->y_stride, r.dw, dy, s->dy_stride, x, s->x_stride, w,
                              r.inverse, s->m, s->heads, s->d);
    queue_check(q);
    return r;
}

static void result_free(struct result *r)
{
    guarded_free(r->y, "y");
    guarded_free(r->inverse, "inverse");
    guarded_free(r->dx, "dx");
    guarded_free(r->dw, "dw");
}

static void check_result(const struct result *r, const struct shape *s, const float *x,
                         const float *dy, const float *w)
{
    const int64_t d = s->d, width = s->heads * d;
    double *want_dw = calloc((size_t)d, sizeof *want_dw);
    for (int64_t j = 0; j < d; j++) want_dw[j] = 1;
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t h = 0; h < s->heads; h++) {
            const float *from = x + i * s->x_stride + h * d;
            const float *gradient = dy + i * s->dy_stride + h * d;
            const double inverse = head_inverse(from, d);
            double dot = 0;
            for (int64_t j = 0; j < d; j++)
                dot += (double)gradient[j] * (double)w[j] * (double)from[j];
            check_close(r->inverse + i * s->heads + h, &inverse, 1, 0, 1e-6, "inverse");
            for (int64_t j = 0; j < d; j++) {
                const int64_t at = i * s->y_stride + h * d + j;
                const double y = (double)from[j] * inverse * (double)w[j];
                const double dx = (double)gradient[j] * (double)w[j] * inverse -
                                  (double)from[j] * inverse * inverse * inverse / (double)d * dot;
                want_dw[j] += (double)gradient[j] * (double)from[j] * inverse;
                check_close(r->y + at, &y, 1, 1e-7, 1e-6, "y");
                check_close(r->dx + at, &dx, 1, 4e-6, 4e-6, "dx");
            }
        }
    for (int64_t i = 0; i + 1 < s->m; i++)
        for (int64_t at = i * s->y_stride + width; at < (i + 1) * s->y_stride; at++)
            assert_true(isnan(r->y[at]) && isnan(r->dx[at]));
    check_close(r->dw, want_dw, d, 2e-5, 1e-6, "dw");
    free(want_dw);
}

static void head_norm_equals_float64_with_the_same_bits_everywhere(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < shape_count; n++) {
        const struct shape *s = &shapes[n];
        const int64_t width = s->heads * s->d, count = (s->m - 1) * s->y_stride + width;
        float *x = rows_new(s, s->x_stride, 100, 3), *dy = rows_new(s, s->dy_stride, 400, 1);
        float *w = random_new(s->d, 2, 1);
        struct result first = {0};
        for (int i = 0; i < all.count; i++) {
            struct result now = result_new(all.q[i], s, x, dy, w);
            if (i == 0) {
                check_result(&now, s, x, dy, w);
                first = now;
                continue;
            }
            check_bits(now.y, first.y, count, all.name[i]);
            check_bits(now.inverse, first.inverse, s->m * s->heads, all.name[i]);
            check_bits(now.dx, first.dx, count, all.name[i]);
            check_bits(now.dw, first.dw, s->d, all.name[i]);
            result_free(&now);
        }
        /* A row alone, whose inverse nobody wants. */
        struct queue *q = all.q[all.count - 1];
        float *alone = floats_new(width);
        q->op->head_norm(q, alone, width, NULL, x + (s->m - 1) * s->x_stride, width, w, 1, s->heads,
                         s->d, eps);
        check_bits(alone, first.y + (s->m - 1) * s->y_stride, width, "row alone");
        guarded_free(alone, "row alone");
        result_free(&first);
        guarded_free(x, "x");
        guarded_free(dy, "dy");
        guarded_free(w, "w");
    }
    queues_free(&all);
}

static void outputs_may_take_the_place_of_inputs(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < shape_count; n++)
        for (int i = 0; i < all.count; i++) {
            struct shape s = shapes[n];
            s.y_stride = s.dy_stride = s.x_stride;
            struct queue *q = all.q[i];
            float *x = rows_new(&s, s.x_stride, 100, 3), *dy = rows_new(&s, s.x_stride, 400, 1);
            float *y = rows_new(&s, s.x_stride, 100, 3), *dx = rows_new(&s, s.x_stride, 400, 1);
            float *w = random_new(s.d, 2, 1), *dw = floats_new(s.d);
            struct result apart = result_new(q, &s, x, dy, w);
            for (int64_t j = 0; j < s.d; j++) dw[j] = 1;
            q->op->head_norm(q, y, s.x_stride, NULL, y, s.x_stride, w, s.m, s.heads, s.d, eps);
            q->op->head_norm_backward(q, dx, s.x_stride, dw, dx, s.x_stride, x, s.x_stride, w,
                                      apart.inverse, s.m, s.heads, s.d);
            queue_check(q);
            check_bits(dw, apart.dw, s.d, all.name[i]);
            for (int64_t r = 0; r < s.m; r++) {
                check_bits(y + r * s.x_stride, apart.y + r * s.x_stride, s.heads * s.d,
                           all.name[i]);
                check_bits(dx + r * s.x_stride, apart.dx + r * s.x_stride, s.heads * s.d,
                           all.name[i]);
            }
            /* Without a gradient of the weights. */
            float *other = rows_new(&s, s.x_stride, 400, 1);
            q->op->head_norm_backward(q, other, s.x_stride, NULL, dy, s.x_stride, x, s.x_stride, w,
                                      apart.inverse, s.m, s.heads, s.d);
            queue_check(q);
            check_bits(other, dx, s.heads * s.d, "without dw");
            guarded_free(other, "dx");
            result_free(&apart);
            guarded_free(x, "x");
            guarded_free(y, "y");
            guarded_free(dy, "dy");
            guarded_free(dx, "dx");
            guarded_free(w, "w");
            guarded_free(dw, "dw");
        }
    queues_free(&all);
}

static void the_gradient_is_the_slope(void **state)
{
    (void)state;
    enum { heads = 2, d = 11, width = heads * d };
    const struct shape s = {1, heads, d, width, width, width};
    struct queues all = queues_new();
    float *x = rows_new(&s, width, 100, 1), *dy = rows_new(&s, width, 400, 1);
    float *w = random_new(d, 2, 1);
    struct result r = result_new(all.q[0], &s, x, dy, w);
    for (int j = 0; j < width + d; j++) {
        float *at = j < width ? x + j : w + j - width;
        const float step = 0x1p-10f, before = *at;
        double sum[2] = {0};
        for (int side = 0; side < 2; side++) {
            *at = before + (side ? step : -step);
            for (int n = 0; n < width; n++)
                sum[side] += (double)dy[n] * (double)w[n % d] * (double)x[n] *
                             head_inverse(x + n / d * d, d);
        }
        *at = before;
        /* Third-order error of the difference: about 1e-6. */
        const double want = (sum[1] - sum[0]) / (2 * (double)step) + (j < width ? 0 : 1);
        check_close(j < width ? r.dx + j : r.dw + j - width, &want, 1, 1e-5, 1e-5, "gradient");
    }
    result_free(&r);
    guarded_free(x, "x");
    guarded_free(dy, "dy");
    guarded_free(w, "w");
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_norm_equals_float64_with_the_same_bits_everywhere),
        cmocka_unit_test(outputs_may_take_the_place_of_inputs),
        cmocka_unit_test(the_gradient_is_the_slope),
    };
    return cmocka_run_group_tests_name("head_norm", tests, NULL, NULL);
}
