/* Attention and its gradients: right against float64 and finite differences, equal in every bit
 * over instruction sets, threads, segments beside it, and decoding against training. */
#include "kernel_test.h"

enum { segments_most = 300, keys_most = 640 };

/* One call's arrays.  q, k and v have strides wider than a row, as slices of a joint product. */
struct problem {
    struct attention a;
    int32_t query_begin[segments_most + 1], key_begin[segments_most], key_end[segments_most];
    int64_t key_rows;
};

struct segment {
    int32_t queries, key_begin, key_end;
};

static struct problem *problem_new(int64_t heads, int64_t head_dim, bool causal, bool bias,
                                   const struct segment *list, int64_t segments)
{
    struct problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    int32_t rows = 0, span = 1;
    for (int64_t s = 0; s < segments; s++) {
        p->query_begin[s] = rows;
        rows += list[s].queries;
        p->key_begin[s] = list[s].key_begin;
        p->key_end[s] = list[s].key_end;
        if (list[s].key_end > p->key_rows) p->key_rows = list[s].key_end;
        if (list[s].queries > span) span = list[s].queries;
        if (list[s].key_end - list[s].key_begin > span) span = list[s].key_end - list[s].key_begin;
    }
    p->query_begin[segments] = rows;
    const int64_t width = heads * head_dim;
    struct attention *a = &p->a;
    a->segments = segments;
    a->heads = heads;
    a->head_dim = head_dim;
    a->query_rows = rows;
    a->query_begin = p->query_begin;
    a->key_begin = p->key_begin;
    a->key_end = p->key_end;
    /* Rows on whole cache lines where the heads allow it, as the model has them, or odd. */
    const int64_t gap = head_dim % 8 ? 1 : 8;
    a->q_stride = width + 3 * gap;
    a->k_stride = width + 5 * gap;
    a->v_stride = width + 7 * gap;
    a->q = random_new(rows * a->q_stride, 1, 1.0);
    a->k = random_new(p->key_rows * a->k_stride, 2, 1.0);
    a->v = random_new(p->key_rows * a->v_stride, 3, 1.0);
    a->bias_span = span;
    a->bias = bias ? random_new(heads * (2 * span - 1), 4, 1.0) : NULL;
    a->causal = causal;
    return p;
}

static void problem_free(struct problem *p)
{
    guarded_free((void *)p->a.q, "q");
    guarded_free((void *)p->a.k, "k");
    guarded_free((void *)p->a.v, "v");
    if (p->a.bias) guarded_free((void *)p->a.bias, "bias");
    free(p);
}

/* In float64: out [rows, width], lse [rows, heads], maps [heads, rows, map_stride]; the last
 * two may be NULL. */
static void reference(const struct attention *a, double *out, double *lse, double *maps,
                      int64_t map_stride)
{
    const int64_t d = a->head_dim, width = a->heads * d;
    const float *query = a->q, *key = a->k, *value = a->v;
    memset(out, 0, (size_t)(a->query_rows * width) * sizeof *out);
    for (int64_t s = 0; s < a->segments; s++) {
        const int64_t keys = a->key_end[s] - a->key_begin[s];
        const int64_t queries = a->query_begin[s + 1] - a->query_begin[s];
        for (int64_t i = 0; i < queries; i++)
            for (int64_t h = 0; h < a->heads; h++) {
                const int64_t row = a->query_begin[s] + i;
                const int64_t position = i + (a->causal ? keys - queries : 0);
                double weight[keys_most], sum = 0;
                for (int64_t j = 0; j < keys; j++) {
                    double score = 0;
                    for (int64_t n = 0; n < d; n++)
                        score += (double)query[row * a->q_stride + h * d + n] *
                                 (double)key[(a->key_begin[s] + j) * a->k_stride + h * d + n];
                    if (a->bias)
                        score += (double)a->bias[h * (2 * a->bias_span - 1) + j - position +
                                                 a->bias_span - 1];
                    weight[j] = a->causal && j > position ? 0 : exp(score);
                    sum += weight[j];
                }
                if (lse) lse[row * a->heads + h] = log(sum);
                for (int64_t j = 0; j < keys; j++) {
                    const double w = sum > 0 ? weight[j] / sum : 0;
                    if (maps) maps[(h * a->query_rows + row) * map_stride + j] = w;
                    for (int64_t n = 0; n < d; n++)
                        out[row * width + h * d + n] +=
                            w * (double)value[(a->key_begin[s] + j) * a->v_stride + h * d + n];
                }
            }
    }
}

static const struct segment several[] = {{5, 0, 37},  {1, 0, 37},  {40, 37, 77}, {0, 77, 77},
                                         {7, 77, 84}, {33, 0, 37}, {2, 84, 350}};
enum { several_count = sizeof several / sizeof *several };
/* Causal segments have no fewer keys than queries. */
static const struct segment causal_several[] = {
    {5, 0, 37}, {1, 0, 37}, {40, 37, 77}, {7, 77, 84}, {1, 84, 350}};
enum { causal_count = sizeof causal_several / sizeof *causal_several };

static struct problem *several_new(int64_t heads, int64_t head_dim, bool causal, bool bias)
{
    return causal ? problem_new(heads, head_dim, true, bias, causal_several, causal_count)
                  : problem_new(heads, head_dim, false, bias, several, several_count);
}

static const int64_t head_dims[] = {8, 11, 32, 64, 128, 136};

/* The shim is slow: on it one size for each of the kernels' forms. */
static bool is_left_out(int64_t head_dim)
{
    return on_cuda() && head_dim != 11 && head_dim != 64 && head_dim != 136;
}

static void attention_equals_float64_and_has_the_same_bits_everywhere(void **state)
{
    (void)state;
    enum { stride = 300 };
    struct queues all = queues_new();
    for (int form = 0; form < 4; form++)
        for (size_t n = 0; n < sizeof head_dims / sizeof *head_dims; n++) {
            if (is_left_out(head_dims[n])) continue;
            struct problem *p = several_new(3, head_dims[n], form & 1, form & 2);
            const int64_t rows = p->a.query_rows, width = 3 * head_dims[n];
            double *want = calloc((size_t)(rows * width), sizeof *want);
            double *want_lse = calloc((size_t)(rows * 3), sizeof *want_lse);
            double *want_maps = calloc((size_t)(3 * rows * stride), sizeof *want_maps);
            reference(&p->a, want, want_lse, want_maps, stride);
            float *first[4] = {0};
            for (int i = 0; i < all.count; i++)
                for (int capture = 0; capture < 2; capture++) {
                    float *out = floats_new(rows * width), *lse = floats_new(rows * 3);
                    float *sums = floats_new(rows * stride), *maps = floats_new(3 * rows * stride);
                    p->a.out = out;
                    p->a.lse = lse;
                    p->a.capture = capture ? sums : NULL;
                    p->a.maps = capture ? maps : NULL;
                    p->a.capture_stride = stride;
                    all.q[i]->op->attention(all.q[i], &p->a);
                    queue_check(all.q[i]);
                    /* Scores are chains of head_dim terms of at most 1: off by at most about
                     * head_dim^1.5 u, u = 2^-24, and e^x by as much relatively. */
                    const double off = pow((double)head_dims[n], 1.5) * 0x1p-24 + 2e-6;
                    /* Tensor cores take weights rounded to bf16; values are at most 1. */
                    const double rounded = real_is_bf16() ? 0x1p-9 : 0;
                    check_close(out, want, rows * width, off + rounded, off, "out");
                    check_close(lse, want_lse, rows * 3, off, off, "lse");
                    if (capture) {
                        for (int64_t s = 0; s < p->a.segments; s++)
                            for (int64_t r = p->query_begin[s]; r < p->query_begin[s + 1]; r++) {
                                const int64_t keys = p->key_end[s] - p->key_begin[s];
                                for (int64_t j = 0; j < stride; j++) {
                                    double sum = 0;
                                    for (int64_t h = 0; h < 3; h++) {
                                        const int64_t at = (h * rows + r) * stride + j;
                                        sum += want_maps[at];
                                        if (j < keys)
                                            check_close(maps + at, want_maps + at, 1, off, off,
                                                        "maps");
                                        else
                                            assert_true(isnan(maps[at]));
                                    }
                                    if (j < keys)
                                        check_close(sums + r * stride + j, &sum, 1, 3 * off, off,
                                                    "capture");
                                    else
                                        assert_true(isnan(sums[r * stride + j]));
                                }
                            }
                    }
                    float *now[4] = {out, lse, sums, maps};
                    const int64_t sizes[4] = {rows * width, rows * 3, rows * stride,
                                              3 * rows * stride};
                    for (int m = 0; m < 4; m++) {
                        if (m >= 2 && !capture) {
                            guarded_free(now[m], "not captured");
                        } else if (!first[m]) {
                            first[m] = now[m];
                        } else {
                            check_bits(now[m], first[m], sizes[m], all.name[i]);
                            guarded_free(now[m], all.name[i]);
                        }
                    }
                }
            for (int m = 0; m < 4; m++) guarded_free(first[m], "first");
            free(want);
            free(want_lse);
            free(want_maps);
            problem_free(p);
        }
    queues_free(&all);
}

/* Row `row` of out of a call. */
static void out_row(struct queue *q, struct problem *p, int64_t row, float *to)
{
    const int64_t width = p->a.heads * p->a.head_dim;
    float *out = floats_new(p->a.query_rows * width);
    p->a.out = out;
    q->op->attention(q, &p->a);
    queue_check(q);
    memcpy(to, out + row * width, (size_t)width * sizeof *to);
    guarded_free(out, "out");
}

static void decode_steps_give_the_bits_of_training(int32_t steps, int32_t d)
{
    enum { heads = 2 };
    struct queues all = queues_new();
    const int64_t width = heads * d;
    const struct segment whole = {steps, 0, steps};
    struct problem *training = problem_new(heads, d, true, true, &whole, 1);
    float *want = floats_new(steps * width), *got = floats_new(width);
    training->a.out = want;
    all.q[0]->op->attention(all.q[0], &training->a);
    queue_check(all.q[0]);
    for (int i = 0; i < all.count; i++)
        for (int32_t t = 0; t < steps; t++) {
            /* The shim is slow: steps at the tiles' ends, and some between. */
            if (all.cuda && t % 64 > 1 && t % 64 < 63 && (steps > 70 || t % 7)) continue;
            /* Step t: one query, the keys and values so far, the same bias. */
            struct problem decode = *training;
            decode.query_begin[1] = 1;
            decode.key_end[0] = t + 1;
            decode.a.query_begin = decode.query_begin;
            decode.a.key_begin = decode.key_begin;
            decode.a.key_end = decode.key_end;
            decode.a.query_rows = 1;
            decode.a.q = real_at(all.q[i], training->a.q, t * training->a.q_stride);
            out_row(all.q[i], &decode, 0, got);
            check_bits(got, want + t * width, width, "decode step");
        }
    guarded_free(want, "out");
    guarded_free(got, "out");
    problem_free(training);
    queues_free(&all);
}

static void a_decode_step_gives_the_bits_of_training(void **state)
{
    (void)state;
    decode_steps_give_the_bits_of_training(70, 32);
    decode_steps_give_the_bits_of_training(60, 64); /* keys within one tile of CUDA's kernels */
    decode_steps_give_the_bits_of_training(300, 64);
}

static void a_row_has_the_same_bits_whatever_stands_beside_it(void **state)
{
    (void)state;
    enum { width = 2 * 32 };
    struct queues all = queues_new();
    struct problem *p = several_new(2, 32, false, false);
    for (int64_t s = 0; s < p->a.segments; s++) {
        if (p->query_begin[s] == p->query_begin[s + 1]) continue;
        const int64_t row = p->query_begin[s + 1] - 1;
        float want[width], got[width];
        out_row(all.q[all.count - 1], p, row, want);
        struct problem alone = *p;
        alone.query_begin[0] = 0;
        alone.query_begin[1] = 1;
        alone.key_begin[0] = p->key_begin[s];
        alone.key_end[0] = p->key_end[s];
        alone.a.query_begin = alone.query_begin;
        alone.a.key_begin = alone.key_begin;
        alone.a.key_end = alone.key_end;
        alone.a.segments = alone.a.query_rows = 1;
        alone.a.q = real_at(all.q[0], p->a.q, row * p->a.q_stride);
        out_row(all.q[0], &alone, 0, got);
        check_bits(got, want, width, "row alone");
    }
    problem_free(p);
    queues_free(&all);
}

enum { form_rows = 150, forms = 8 };

/* One history's queries, of which the first form_rows stand in an array: 3, 20, 40 or all in one
 * segment, as decode steps and the learner have them; all in nine segments; some before segments of
 * other keys and, as a graph made for more has them, empty ones and rows of none; in arrays whose
 * rows are not whole 16 bytes.  Returns how many rows, from the first, are the same in all. */
static int32_t form_make(int form, int32_t keys, struct problem *p, float *moved[3])
{
    static const int32_t rows_of[] = {3, 20, 40, form_rows, 17, 3, 3, 40};
    const int32_t rows = rows_of[form];
    const int64_t width = p->a.heads * p->a.head_dim;
    p->a.segments = form == 4 ? 9 : form == 5 ? 8 : 1;
    p->a.query_rows = form == 5 ? form_rows : rows;
    for (int32_t s = 0; s < p->a.segments; s++) {
        p->query_begin[s] = s * rows;
        p->key_begin[s] = 3;
        p->key_end[s] = 3 + keys;
    }
    p->query_begin[p->a.segments] = (int32_t)p->a.segments * rows;
    if (form == 4) p->query_begin[9] = (int32_t)(p->a.query_rows = form_rows);
    if (form == 5) {
        p->key_begin[1] = 1, p->key_end[2] = keys + 2;
        p->query_begin[2] = 53;
        for (int s = 3; s <= p->a.segments; s++) p->query_begin[s] = 120;
        for (int s = 3; s < p->a.segments; s++) p->key_begin[s] = p->key_end[s] = 0;
    }
    p->a.query_begin = p->query_begin;
    p->a.key_begin = p->key_begin;
    p->a.key_end = p->key_end;
    if (form < 6) return form == 4 ? form_rows : rows;
    const float *from[3] = {p->a.q, p->a.k, p->a.v};
    const int64_t strides[3] = {p->a.q_stride, p->a.k_stride, p->a.v_stride};
    for (int m = 0; m < 3; m++) {
        const int64_t count = m ? p->key_rows : rows;
        moved[m] = floats_new(count * (width + 1));
        for (int64_t r = 0; r < count; r++)
            memcpy(moved[m] + r * (width + 1), from[m] + r * strides[m],
                   (size_t)width * sizeof(float));
    }
    p->a.q = moved[0], p->a.k = moved[1], p->a.v = moved[2];
    p->a.q_stride = p->a.k_stride = p->a.v_stride = width + 1;
    return rows;
}

/* Keys end before, at and behind the end of a tile or of a part of the keys. */
static void a_row_has_the_same_bits_in_every_form(void **state)
{
    (void)state;
    enum { heads = 2, d = 64, width = heads * d, stride = keys_most };
    static const int32_t all_keys[] = {1, 63, 64, 65, 255, 256, 257, 600};
    struct queues all = queues_new();
    for (size_t n = 0; n < sizeof all_keys / sizeof *all_keys; n++) {
        const int32_t keys = all_keys[n];
        struct problem *p =
            problem_new(heads, d, false, false, &(struct segment){form_rows, 0, keys + 7}, 1);
        p->a.capture_stride = stride;
        float *want = NULL, *want_sums = NULL;
        for (int i = 0; i < all.count; i++)
            for (int form = forms - 1; form >= 0; form--) {
                /* Enough for the shim, which is slow, after all forms in one order of threads. */
                if (all.cuda && keys > 65 && (i > 0 || keys == 256) && form != 3 && form != 0)
                    continue;
                struct problem now = *p;
                float *moved[3] = {0};
                const int32_t rows = form_make(form, keys, &now, moved);
                float *out = floats_new(now.a.query_rows * width);
                float *sums = floats_new(now.a.query_rows * stride);
                now.a.out = out;
                now.a.capture = sums;
                all.q[i]->op->attention(all.q[i], &now.a);
                queue_check(all.q[i]);
                if (!want) { /* held against float64 */
                    /* As in attention_equals_float64_and_has_the_same_bits_everywhere. */
                    const double off = 512 * 0x1p-24 + 2e-6;
                    double *right = calloc((size_t)(rows * width), sizeof *right);
                    double *maps = calloc((size_t)(heads * rows * stride), sizeof *maps);
                    reference(&now.a, right, NULL, maps, stride);
                    check_close(out, right, rows * width, off + (real_is_bf16() ? 0x1p-9 : 0), off,
                                "out");
                    for (int64_t r = 0; r < rows; r++)
                        for (int64_t j = 0; j < keys; j++) {
                            const double sum = maps[r * stride + j] + maps[(rows + r) * stride + j];
                            check_close(sums + r * stride + j, &sum, 1, 2 * off, off, "capture");
                        }
                    free(right);
                    free(maps);
                }
                for (int64_t r = 0; want && r < (rows < 40 ? rows : 40); r++) {
                    check_bits(out + r * width, want + r * width, width, all.name[i]);
                    check_bits(sums + r * stride, want_sums + r * stride, keys, all.name[i]);
                }
                if (form == 5) /* rows of no segment */
                    for (int64_t at = 120 * width; at < form_rows * width; at++)
                        assert_true(isnan(out[at]));
                for (int m = 0; m < 3; m++)
                    if (moved[m]) guarded_free(moved[m], "moved");
                if (!want) {
                    want = out, want_sums = sums;
                    continue;
                }
                guarded_free(out, "out");
                guarded_free(sums, "sums");
            }
        guarded_free(want, "want");
        guarded_free(want_sums, "want");
        problem_free(p);
    }
    queues_free(&all);
}

/* A NaN in a query or a value is in the rows that read it and in no other. */
static void what_is_not_finite_stays_visible_and_apart(void **state)
{
    (void)state;
    enum { width = 2 * 32, broken_row = 2, broken_key = 50, broken_column = 33 };
    struct queues all = queues_new();
    for (int i = 0; i < all.count; i++) {
        struct problem *p = several_new(2, 32, false, false);
        const int64_t count = p->a.query_rows * width;
        float *want = floats_new(count), *got = floats_new(count);
        p->a.out = want;
        all.q[i]->op->attention(all.q[i], &p->a);
        ((float *)p->a.q)[broken_row * p->a.q_stride] = NAN; /* of head 0 */
        ((float *)p->a.v)[broken_key * p->a.v_stride + broken_column] = NAN;
        p->a.out = got;
        all.q[i]->op->attention(all.q[i], &p->a);
        queue_check(all.q[i]);
        for (int64_t s = 0; s < p->a.segments; s++)
            for (int64_t r = p->query_begin[s]; r < p->query_begin[s + 1]; r++)
                for (int n = 0; n < width; n++) {
                    const bool reads = p->key_begin[s] <= broken_key && broken_key < p->key_end[s];
                    const bool broken =
                        (r == broken_row && n < 32) || (reads && n == broken_column);
                    if (broken)
                        assert_true(isnan(got[r * width + n]));
                    else
                        check_bits(got + r * width + n, want + r * width + n, 1, all.name[i]);
                }
        guarded_free(want, "out");
        guarded_free(got, "out");
        problem_free(p);
    }
    queues_free(&all);
}

static void capture_accumulates_over_calls(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct queue *q = all.q[all.count - 1];
    struct problem *p = several_new(2, 16, false, false);
    const int64_t rows = p->a.query_rows, stride = 266;
    float *sums = floats_new(rows * stride), *once = floats_new(rows * stride);
    float *out = floats_new(rows * 32);
    p->a.out = out;
    p->a.capture_stride = stride;
    p->a.capture = once;
    q->op->attention(q, &p->a);
    p->a.capture = sums;
    q->op->attention(q, &p->a);
    p->a.capture_accumulate = true;
    q->op->attention(q, &p->a);
    for (int64_t s = 0; s < p->a.segments; s++)
        for (int64_t r = p->query_begin[s]; r < p->query_begin[s + 1]; r++)
            for (int64_t j = 0; j < p->key_end[s] - p->key_begin[s]; j++) {
                const double want = 2 * (double)once[r * stride + j];
                check_close(sums + r * stride + j, &want, 1, 1e-9, 4e-7, "twice");
            }
    guarded_free(sums, "capture");
    guarded_free(once, "capture");
    guarded_free(out, "out");
    problem_free(p);
    queues_free(&all);
}

/* L = sum(out dout) in float64. */
static double loss(const struct attention *a, const float *dout, double *out)
{
    const int64_t count = a->query_rows * a->heads * a->head_dim;
    double sum = 0;
    reference(a, out, NULL, NULL, 0);
    for (int64_t i = 0; i < count; i++) sum += out[i] * (double)dout[i];
    return sum;
}

/* Central differences of the float64 loss: with step 2^-8 their own error is of third order,
 * about 1e-5; the float32 gradient is off by less. */
static void check_slope(struct problem *p, const float *dout, double *out, float *x, double got,
                        const char *what, int64_t at)
{
    const float step = 0x1p-8f, before = *x;
    *x = before + step;
    const double up_at = (double)*x, up = loss(&p->a, dout, out);
    *x = before - step;
    const double down_at = (double)*x, down = loss(&p->a, dout, out);
    *x = before;
    const double want = (up - down) / (up_at - down_at);
    if (!(fabs(got - want) <= 2e-4 * (1 + fabs(want))))
        fail_msg("%s[%lld] is %.9g, differences give %.9g", what, (long long)at, got, want);
}

static void gradients_are_the_slopes_and_have_the_same_bits_everywhere(void **state)
{
    (void)state;
    enum { heads = 2, d = 11, width = heads * d };
    if (on_cuda()) skip(); /* held against plain C below, whose slopes these are */
    struct queues all = queues_new();
    for (int causal = 0; causal < 2; causal++) {
        struct problem *p = several_new(heads, d, causal, true);
        const int64_t rows = p->a.query_rows, key_rows = p->key_rows;
        const int64_t biases = heads * (2 * p->a.bias_span - 1);
        float *dout = random_new(rows * width, 9, 1.0);
        double *out = calloc((size_t)(rows * width), sizeof *out);
        const int64_t sizes[4] = {rows * p->a.q_stride, key_rows * p->a.k_stride,
                                  key_rows * p->a.v_stride, biases};
        float *first[4] = {0};
        for (int i = 0; i < all.count; i++) {
            float *now[4];
            for (int m = 0; m < 4; m++) now[m] = floats_new(sizes[m]);
            memset(now[3], 0, (size_t)biases * sizeof(float));
            struct attention_gradients g = {.dout = dout,
                                            .dq = now[0],
                                            .dk = now[1],
                                            .dv = now[2],
                                            .key_rows = key_rows,
                                            .dbias = now[3]};
            all.q[i]->op->attention_backward(all.q[i], &p->a, &g);
            queue_check(all.q[i]);
            for (int m = 0; m < 4; m++) {
                guarded_check(now[m], all.name[i]);
                if (i == 0) {
                    first[m] = now[m];
                } else {
                    check_bits(now[m], first[m], sizes[m], all.name[i]);
                    guarded_free(now[m], all.name[i]);
                }
            }
        }
        float *const values[3] = {(float *)p->a.q, (float *)p->a.k, (float *)p->a.v};
        const int64_t strides[3] = {p->a.q_stride, p->a.k_stride, p->a.v_stride};
        const char *const names[3] = {"dq", "dk", "dv"};
        for (int m = 0; m < 3; m++) {
            const int64_t count = m ? key_rows : rows;
            for (int64_t r = 0; r < count; r += m ? 17 : 3)
                for (int64_t n = r % 5; n < width; n += 9) {
                    const int64_t at = r * strides[m] + n;
                    check_slope(p, dout, out, values[m] + at, (double)first[m][at], names[m], at);
                }
        }
        for (int64_t at = 0; at < biases; at += 13)
            check_slope(p, dout, out, (float *)p->a.bias + at, (double)first[3][at], "dbias", at);

        /* Adding to dk and dv, and to dbias, which is always added to. */
        float *dk = random_new(sizes[1], 21, 1.0), *dv = random_new(sizes[2], 22, 1.0);
        float *before = random_new(sizes[1], 21, 1.0), *dq = floats_new(sizes[0]);
        struct attention_gradients g = {.dout = dout,
                                        .dq = dq,
                                        .dk = dk,
                                        .dv = dv,
                                        .key_rows = key_rows,
                                        .accumulate_kv = true};
        all.q[1]->op->attention_backward(all.q[1], &p->a, &g);
        for (int64_t r = 0; r < key_rows; r++)
            for (int64_t n = 0; n < width; n++) {
                const int64_t at = r * p->a.k_stride + n;
                const double want = (double)before[at] + (double)first[1][at];
                check_close(dk + at, &want, 1, 2e-5, 2e-6, "dk added to");
            }
        guarded_free(dk, "dk");
        guarded_free(dv, "dv");
        guarded_free(dq, "dq");
        guarded_free(before, "before");
        for (int m = 0; m < 4; m++) guarded_free(first[m], "gradient");
        guarded_free(dout, "dout");
        free(out);
        problem_free(p);
    }
    queues_free(&all);
}

/* dq, dk, dv, dbias of a call, as new arrays. */
static void gradients_new(struct queue *q, struct problem *p, const float *dout, bool accumulate,
                          float *to[4], int64_t sizes[4])
{
    const struct attention *a = &p->a;
    sizes[0] = a->query_rows * a->q_stride;
    sizes[1] = p->key_rows * a->k_stride;
    sizes[2] = p->key_rows * a->v_stride;
    sizes[3] = a->bias ? a->heads * (2 * a->bias_span - 1) : 0;
    for (int m = 0; m < 4; m++)
        to[m] = m == 0 || (m < 3 && !accumulate) ? floats_new(sizes[m])
                                                 : random_new(sizes[m], 40 + (uint64_t)m, 1.0);
    struct attention_gradients g = {.dout = dout,
                                    .dq = to[0],
                                    .dk = to[1],
                                    .dv = to[2],
                                    .accumulate_kv = accumulate,
                                    .key_rows = p->key_rows,
                                    .dbias = a->bias ? to[3] : NULL};
    q->op->attention_backward(q, a, &g);
    queue_check(q);
}

/* Each number, and all together: the error's norm against the gradient's.  Weights and slopes in
 * bf16 are off by 2^-9 each. */
static void check_gradient(const float *got, const float *want, int64_t count, double off,
                           double norm_off, const char *what)
{
    double error = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        const double right = (double)want[i];
        if (isnan(right)) { /* between rows */
            assert_true(isnan(got[i]));
            continue;
        }
        check_close(got + i, &right, 1, off, 1e-5, what);
        error += ((double)got[i] - right) * ((double)got[i] - right);
        norm += right * right;
    }
    if (!(sqrt(error) <= norm_off * sqrt(norm)))
        fail_msg("%s: off by %g of its norm", what, sqrt(error / norm));
}

/* Whether the backward pass computes a row's sums again or gets the forward pass's. */
static void gradients_are_those_of_plain_c(void **state)
{
    (void)state;
    enum { heads = 2 };
    struct queues all = queues_new();
    struct queue *c;
    assert_null(cpu_queue_create(1, "c", &c));
    for (size_t n = 0; n < sizeof head_dims / sizeof *head_dims; n++)
        for (int form = 0; form < 4; form++) {
            const bool causal = form & 1, kept = form & 2;
            const int64_t width = heads * head_dims[n];
            if (is_left_out(head_dims[n])) continue;
            struct problem *p = several_new(heads, head_dims[n], causal, !kept || causal);
            float *dout = random_new(p->a.query_rows * width, 9, 1.0), *want[4];
            float *out = floats_new(p->a.query_rows * width);
            float *lse = floats_new(p->a.query_rows * heads);
            int64_t sizes[4];
            gradients_new(c, p, dout, kept, want, sizes);
            for (int i = 0; i < all.count; i++) {
                float *got[4];
                if (kept) {
                    p->a.out = out;
                    p->a.lse = lse;
                    all.q[i]->op->attention(all.q[i], &p->a);
                }
                gradients_new(all.q[i], p, dout, kept, got, sizes);
                /* Sums of up to 350 products of a weight's error, 2e-6, with numbers below 10.  An
                 * output kept in bf16 is off by 2^-9, dout . out by up to some 0.02. */
                static const char *const names[] = {"dq", "dk", "dv", "dbias"};
                const double off = real_is_bf16() ? (kept ? 0.05 : 0.02) : 4e-5;
                for (int m = 0; m < 4; m++) {
                    check_gradient(got[m], want[m], sizes[m], off, real_is_bf16() ? 5e-3 : 1e-5,
                                   names[m]);
                    guarded_free(got[m], all.name[i]);
                }
            }
            for (int m = 0; m < 4; m++) guarded_free(want[m], "plain C");
            guarded_free(dout, "dout");
            guarded_free(out, "out");
            guarded_free(lse, "lse");
            problem_free(p);
        }
    c->op->destroy(c);
    queues_free(&all);
}

/* dq, dk, dv and what is added to dbias in float64, as `want` has them: NaN where nothing is to be
 * written.  want[3] begins with what is added to. */
static void reference_gradients(const struct attention *a, const float *dout, int64_t key_rows,
                                float *want[4])
{
    enum { d_most = 128 };
    const float *query = a->q, *key = a->k, *value = a->v;
    const int64_t d = a->head_dim, width = a->heads * d, span = 2 * a->bias_span - 1;
    assert_true(d <= d_most);
    for (int64_t h = 0; h < a->heads; h++) {
        double *dk = calloc((size_t)(key_rows * d), sizeof *dk);
        double *dv = calloc((size_t)(key_rows * d), sizeof *dv);
        double *dbias = calloc((size_t)span, sizeof *dbias);
        bool *read = calloc((size_t)key_rows + 1, sizeof *read);
        for (int64_t s = 0; s < a->segments; s++) {
            for (int64_t j = a->key_begin[s]; j < a->key_end[s]; j++) read[j] = true;
            for (int64_t row = a->query_begin[s]; row < a->query_begin[s + 1]; row++) {
                const int64_t begin = a->key_begin[s], keys = a->key_end[s] - begin;
                const int64_t queries = a->query_begin[s + 1] - a->query_begin[s];
                const int64_t position = row - a->query_begin[s] + (a->causal ? keys - queries : 0);
                const float *q = query + row * a->q_stride + h * d;
                const float *y = dout + row * width + h * d;
                double w[keys_most], dp[keys_most], sum = 0, mean = 0, dq[d_most] = {0};
                for (int64_t j = 0; j < keys; j++) {
                    const float *k = key + (begin + j) * a->k_stride + h * d;
                    const float *v = value + (begin + j) * a->v_stride + h * d;
                    double score = 0;
                    dp[j] = 0;
                    for (int64_t n = 0; n < d; n++) {
                        score += (double)q[n] * (double)k[n];
                        dp[j] += (double)y[n] * (double)v[n];
                    }
                    if (a->bias)
                        score += (double)a->bias[h * span + j - position + a->bias_span - 1];
                    w[j] = a->causal && j > position ? 0 : exp(score);
                    sum += w[j];
                }
                for (int64_t j = 0; j < keys; j++) {
                    w[j] /= sum;
                    mean += w[j] * dp[j];
                }
                for (int64_t j = 0; j < keys; j++) {
                    const double ds = w[j] * (dp[j] - mean);
                    for (int64_t n = 0; n < d; n++) {
                        dq[n] += ds * (double)key[(begin + j) * a->k_stride + h * d + n];
                        dk[(begin + j) * d + n] += ds * (double)q[n];
                        dv[(begin + j) * d + n] += w[j] * (double)y[n];
                    }
                    if (a->bias) dbias[j - position + a->bias_span - 1] += ds;
                }
                for (int64_t n = 0; n < d; n++)
                    want[0][row * a->q_stride + h * d + n] = (float)dq[n];
            }
        }
        for (int64_t j = 0; j < key_rows; j++)
            for (int64_t n = 0; n < d && read[j]; n++) {
                want[1][j * a->k_stride + h * d + n] = (float)dk[j * d + n];
                want[2][j * a->v_stride + h * d + n] = (float)dv[j * d + n];
            }
        for (int64_t i = 0; a->bias && i < span; i++) want[3][h * span + i] += (float)dbias[i];
        free(dk);
        free(dv);
        free(dbias);
        free(read);
    }
}

/* Rows and keys of several tiles, a graph's empty segments and rows of none behind them, keys that
 * several segments read or none, rows that are not whole 16 bytes. */
static void gradients_of_every_form_are_those_of_float64(void **state)
{
    (void)state;
    enum { heads = 2, more = 5, most = 6 };
    static const struct segment lists[3][most] = {
        {{130, 0, 130}, {70, 130, 200}, {0, 200, 200}, {8, 200, 201}, {0, 0, 0}, {0, 0, 0}},
        {{40, 0, 110}, {65, 110, 175}, {6, 0, 110}, {0, 0, 0}, {0, 177, 180}, {0, 0, 0}},
        {{64, 0, 150}, {17, 0, 150}, {0, 160, 170}, {90, 0, 150}, {9, 172, 190}, {0, 0, 0}}};
    static const int64_t sizes_of[] = {64, 16, 32, 128};
    struct queues all = queues_new();
    for (int n = 0; n < 4; n++)
        for (int form = 0; form < 3; form++) {
            const int64_t d = sizes_of[n], width = heads * d;
            if (all.cuda && !real_is_bf16() && d != 16) continue; /* the shim is slow */
            struct problem *p = problem_new(heads, d, form == 1, form < 2, lists[form], most);
            /* The last rows are of no segment, as in a graph made for more. */
            const int32_t there = (int32_t)p->a.query_rows - more;
            for (int s = 0; s <= most; s++)
                if (p->query_begin[s] > there) p->query_begin[s] = there;
            if (n == 2) p->a.q_stride--, p->a.k_stride--, p->a.v_stride--;
            const int64_t rows = p->a.query_rows;
            float *dout = random_new(rows * width, 9, 1.0), *want[4], *first[4] = {0};
            const int64_t counts[4] = {rows * p->a.q_stride, p->key_rows * p->a.k_stride,
                                       p->key_rows * p->a.v_stride,
                                       p->a.bias ? heads * (2 * p->a.bias_span - 1) : 0};
            for (int m = 0; m < 4; m++)
                want[m] = m < 3 ? floats_new(counts[m]) : random_new(counts[m], 43, 1.0);
            reference_gradients(&p->a, dout, p->key_rows, want);
            for (int i = 0; i < all.count; i++) {
                float *got[4], *out = floats_new(rows * width), *lse = floats_new(rows * heads);
                int64_t sizes[4];
                p->a.out = out;
                p->a.lse = lse;
                all.q[i]->op->attention(all.q[i], &p->a);
                gradients_new(all.q[i], p, dout, false, got, sizes);
                /* As in gradients_are_those_of_plain_c. */
                static const char *const names[] = {"dq", "dk", "dv", "dbias"};
                for (int m = 0; m < 4; m++) {
                    check_gradient(got[m], want[m], sizes[m], real_is_bf16() ? 0.05 : 4e-5,
                                   real_is_bf16() ? 5e-3 : 1e-5, names[m]);
                    if (first[m]) check_bits(got[m], first[m], sizes[m], all.name[i]);
                    if (first[m])
                        guarded_free(got[m], names[m]);
                    else
                        first[m] = got[m];
                }
                guarded_free(out, "out");
                guarded_free(lse, "lse");
            }
            for (int m = 0; m < 4; m++) guarded_free(want[m], "want");
            for (int m = 0; m < 4; m++) guarded_free(first[m], "gradient");
            guarded_free(dout, "dout");
            problem_free(p);
        }
    queues_free(&all);
}

/* More segments than a block has threads: of one row, as decoding has them, or of more than a tile
 * of few; gradients with and without what the forward pass kept. */
static void many_segments_give_what_plain_c_gives(void **state)
{
    (void)state;
    enum { heads = 2, d = 16, width = heads * d };
    struct queues all = queues_new();
    struct queue *c;
    assert_null(cpu_queue_create(1, "c", &c));
    for (int form = 0; form < 3; form++) {
        const int count = form == 1 ? 140 : segments_most;
        struct segment list[segments_most];
        for (int s = 0; s < count; s++) {
            const int32_t group = s / 3; /* of three that read the same keys */
            list[s] = (struct segment){form == 1 ? 33 : 1, group % 50, group % 50 + 1 + group % 40};
        }
        struct problem *p = problem_new(heads, d, false, form != 1, list, count);
        const int64_t rows = p->a.query_rows;
        float *dout = random_new(rows * width, 9, 1.0), *want[5], *got[5];
        float *lse = form > 0 ? floats_new(rows * heads) : NULL;
        int64_t sizes[4];
        for (int i = -1; i < all.count; i++) {
            float **to = i < 0 ? want : got;
            struct queue *q = i < 0 ? c : all.q[i];
            p->a.out = to[4] = floats_new(rows * width);
            p->a.lse = lse;
            q->op->attention(q, &p->a);
            gradients_new(q, p, dout, true, to, sizes);
            /* As in gradients_are_those_of_plain_c. */
            const double off = real_is_bf16() ? (lse ? 0.05 : 0.02) : 4e-5;
            for (int m = 0; i >= 0 && m < 5; m++) {
                check_gradient(got[m], want[m], m < 4 ? sizes[m] : rows * width, off,
                               real_is_bf16() ? 5e-3 : 1e-5, all.name[i]);
                guarded_free(got[m], all.name[i]);
            }
        }
        for (int m = 0; m < 5; m++) guarded_free(want[m], "plain C");
        if (lse) guarded_free(lse, "lse");
        guarded_free(dout, "dout");
        problem_free(p);
    }
    c->op->destroy(c);
    queues_free(&all);
}

/* Rows of the capture and biases far longer than the keys: what a device keeps in between does not
 * fit at once, and the sums are the same, bit for bit. */
static void wide_rows_change_no_bits(void **state)
{
    (void)state;
    enum { heads = 2, d = 16, narrow = 266, wide = 30000, spread = 1 << 18 };
    struct queues all = queues_new();
    for (int i = 0; i<all.count; i += all.count> 1 ? all.count - 1 : 1) {
        struct queue *q = all.q[i];
        struct problem *p = several_new(heads, d, false, false);
        const int64_t rows = p->a.query_rows;
        float *out = floats_new(rows * heads * d), *dout = random_new(rows * heads * d, 9, 1.0);
        float *sums[2] = {floats_new(rows * narrow), floats_new(rows * wide)};
        p->a.out = out;
        for (int n = 0; n < 2; n++) {
            p->a.capture = sums[n];
            p->a.capture_stride = n ? wide : narrow;
            q->op->attention(q, &p->a);
            queue_check(q);
        }
        for (int64_t s = 0; s < p->a.segments; s++)
            for (int64_t r = p->query_begin[s]; r < p->query_begin[s + 1]; r++)
                check_bits(sums[1] + r * wide, sums[0] + r * narrow,
                           p->key_end[s] - p->key_begin[s], "capture");
        guarded_free(sums[0], "capture");
        guarded_free(sums[1], "capture");
        p->a.capture = NULL;

        float *bias = random_new(heads * (2 * spread - 1), 4, 1.0), *gradient[2][4];
        const int64_t span = p->a.bias_span;
        float *close = floats_new(heads * (2 * span - 1));
        for (int64_t h = 0; h < heads; h++)
            memcpy(close + h * (2 * span - 1), bias + h * (2 * spread - 1) + spread - span,
                   (size_t)(2 * span - 1) * sizeof *close);
        int64_t sizes[4];
        p->a.out = NULL;
        for (int n = 0; n < 2; n++) {
            p->a.bias = n ? bias : close;
            p->a.bias_span = n ? spread : span;
            gradients_new(q, p, dout, false, gradient[n], sizes);
        }
        /* Of dbias, what was added to the numbers that gradients_new began with. */
        float *before = random_new(sizes[3], 43, 1.0);
        for (int64_t h = 0; h < heads; h++)
            for (int64_t at = 0; at < 2 * span - 1; at++) {
                const int64_t near = h * (2 * span - 1) + at;
                const int64_t far = h * (2 * spread - 1) + spread - span + at;
                const float added = gradient[1][3][far] - before[far];
                const double want = (double)gradient[0][3][near] - (double)before[near];
                check_close(&added, &want, 1, 1e-6, 1e-6, "dbias");
            }
        for (int m = 0; m < 3; m++)
            check_bits(gradient[1][m], gradient[0][m], sizes[m], "dq dk dv");
        guarded_free(before, "before");
        for (int n = 0; n < 2; n++)
            for (int m = 0; m < 4; m++) guarded_free(gradient[n][m], "gradient");
        guarded_free(close, "bias");
        guarded_free(bias, "bias");
        p->a.bias = NULL;
        guarded_free(out, "out");
        guarded_free(dout, "dout");
        problem_free(p);
    }
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_equals_float64_and_has_the_same_bits_everywhere),
        cmocka_unit_test(a_decode_step_gives_the_bits_of_training),
        cmocka_unit_test(a_row_has_the_same_bits_whatever_stands_beside_it),
        cmocka_unit_test(a_row_has_the_same_bits_in_every_form),
        cmocka_unit_test(what_is_not_finite_stays_visible_and_apart),
        cmocka_unit_test(capture_accumulates_over_calls),
        cmocka_unit_test(gradients_are_the_slopes_and_have_the_same_bits_everywhere),
        cmocka_unit_test(gradients_are_those_of_plain_c),
        cmocka_unit_test(gradients_of_every_form_are_those_of_float64),
        cmocka_unit_test(many_segments_give_what_plain_c_gives),
        cmocka_unit_test(wide_rows_change_no_bits),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
