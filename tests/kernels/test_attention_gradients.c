/* Gradients of attention: the slopes of the forward pass, right against float64 and plain C, equal
 * in every bit over instruction sets, threads and orders of threads. */
#include "tests/kernels/attention_problem.h"

static const char *const names[] = {"dq", "dk", "dv", "dbias"};

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

/* Some of the numbers of rows that stand `stride` apart. */
static void check_slopes(struct problem *p, const float *dout, double *out, float *x,
                         const float *got, int64_t rows, int64_t row_step, int64_t stride,
                         int64_t width, const char *what)
{
    for (int64_t r = 0; r < rows; r += row_step)
        for (int64_t n = r % 5; n < width; n += 9)
            if (!isnan(got[r * stride + n])) /* a row that nobody reads */
                check_slope(p, dout, out, x + r * stride + n, (double)got[r * stride + n], what,
                            r * stride + n);
}

static void problem_slopes(const struct queues *all, struct problem *p)
{
    const struct attention *a = &p->a;
    const int64_t width = a->heads * a->head_dim, key_width = a->kv_heads * a->head_dim;
    float *dout = random_new(a->query_rows * width, 9, 1.0), *first[4];
    double *out = calloc((size_t)(a->query_rows * width), sizeof *out);
    int64_t sizes[4];
    gradients_new(all->q[0], p, dout, false, first, sizes);
    for (int i = 1; i < all->count; i++) {
        float *now[4];
        gradients_new(all->q[i], p, dout, false, now, sizes);
        for (int m = 0; m < 4; m++) {
            check_bits(now[m], first[m], sizes[m], all->name[i]);
            guarded_free(now[m], all->name[i]);
        }
    }
    float *before = random_new(sizes[3], 43, 1.0); /* what dbias was added to */
    check_slopes(p, dout, out, (float *)a->q, first[0], a->query_rows, 3, a->q_stride, width, "dq");
    check_slopes(p, dout, out, (float *)a->k, first[1], p->key_rows, 17, a->k_stride, key_width,
                 "dk");
    check_slopes(p, dout, out, (float *)a->v, first[2], p->key_rows, 17, a->v_stride, key_width,
                 "dv");
    for (int64_t at = 0; at < sizes[3]; at += 13)
        check_slope(p, dout, out, (float *)a->bias + at, (double)first[3][at] - (double)before[at],
                    "dbias", at);
    guarded_free(before, "before");
    for (int m = 0; m < 4; m++) guarded_free(first[m], names[m]);
    guarded_free(dout, "dout");
    free(out);
}

static void gradients_are_the_slopes_and_have_the_same_bits_everywhere(void **state)
{
    (void)state;
    if (on_cuda()) skip(); /* held against plain C below, whose slopes these are */
    struct queues all = queues_new();
    for (int form = 0; form < 4; form++) {
        struct problem *p =
            form & 2 ? forest_new(11, form & 1, true) : several_new(2, 11, form & 1, true);
        problem_slopes(&all, p);
        problem_free(p);
    }
    queues_free(&all);
}

static void gradients_of_keys_are_added_to_what_is_there(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct problem *p = several_new(2, 11, true, false);
    float *dout = random_new(p->a.query_rows * 22, 9, 1.0), *fresh[4], *added[4];
    int64_t sizes[4];
    gradients_new(all.q[0], p, dout, false, fresh, sizes);
    gradients_new(all.q[0], p, dout, true, added, sizes);
    for (int m = 1; m < 3; m++) {
        float *before = random_new(sizes[m], 40 + (uint64_t)m, 1.0);
        for (int64_t i = 0; i < sizes[m]; i++) {
            const double want = (double)before[i] + (isnan(fresh[m][i]) ? 0 : (double)fresh[m][i]);
            check_close(added[m] + i, &want, 1, real_is_bf16() ? 0.02 : 2e-5, 2e-6, names[m]);
        }
        guarded_free(before, "before");
    }
    for (int m = 0; m < 4; m++) {
        guarded_free(fresh[m], names[m]);
        guarded_free(added[m], names[m]);
    }
    guarded_free(dout, "dout");
    problem_free(p);
    queues_free(&all);
}

/* Whether the backward pass computes a row's sums again or gets the forward pass's. */
static void gradients_are_those_of_plain_c(void **state)
{
    (void)state;
    enum { heads = 2 };
    struct queues all = queues_new();
    struct queue *c;
    assert_null(cpu_queue_create(1, "c", &c));
    for (size_t n = 0; n < head_dims_count; n++)
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

/* On every queue: right against float64, and the same bits. */
static void problem_gradients(const struct queues *all, struct problem *p)
{
    const struct attention *a = &p->a;
    const int64_t rows = a->query_rows, width = a->heads * a->head_dim;
    float *dout = random_new(rows * width, 9, 1.0), *want[4], *first[4] = {0};
    float *out = floats_new(rows * width), *lse = floats_new(rows * a->heads);
    const int64_t counts[4] = {rows * a->q_stride, p->key_rows * a->k_stride,
                               p->key_rows * a->v_stride,
                               a->bias ? a->heads * (2 * a->bias_span - 1) : 0};
    for (int m = 0; m < 4; m++)
        want[m] = m < 3 ? floats_new(counts[m]) : random_new(counts[m], 43, 1.0);
    reference_gradients(a, dout, p->key_rows, want);
    p->a.out = out;
    p->a.lse = lse;
    for (int i = 0; i < all->count; i++) {
        float *got[4];
        int64_t sizes[4];
        all->q[i]->op->attention(all->q[i], a);
        gradients_new(all->q[i], p, dout, false, got, sizes);
        /* As in gradients_are_those_of_plain_c. */
        for (int m = 0; m < 4; m++) {
            check_gradient(got[m], want[m], sizes[m], real_is_bf16() ? 0.05 : 4e-5,
                           real_is_bf16() ? 5e-3 : 1e-5, names[m]);
            if (first[m]) check_bits(got[m], first[m], sizes[m], all->name[i]);
            if (first[m])
                guarded_free(got[m], names[m]);
            else
                first[m] = got[m];
        }
    }
    guarded_free(out, "out");
    guarded_free(lse, "lse");
    for (int m = 0; m < 4; m++) guarded_free(want[m], "want");
    for (int m = 0; m < 4; m++) guarded_free(first[m], "gradient");
    guarded_free(dout, "dout");
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
            const int64_t d = sizes_of[n];
            if (all.cuda && !real_is_bf16() && d != 16) continue; /* the shim is slow */
            const struct form of = {
                .heads = heads, .head_dim = d, .causal = form == 1, .bias = form < 2};
            struct problem *p = problem_new(&of, lists[form], most);
            /* The last rows are of no segment, as in a graph made for more. */
            const int32_t there = (int32_t)p->a.query_rows - more;
            for (int s = 0; s <= most; s++)
                if (p->query_begin[s] > there) p->query_begin[s] = there;
            if (n == 2) p->a.q_stride--, p->a.k_stride--, p->a.v_stride--;
            problem_gradients(&all, p);
            problem_free(p);
        }
    queues_free(&all);
}

static void gradients_of_ranges_grouped_heads_and_a_scale_are_those_of_float64(void **state)
{
    (void)state;
    static const int64_t sizes_of[] = {64, 16, 11, 128};
    struct queues all = queues_new();
    for (int n = 0; n < 4; n++)
        for (int form = 0; form < 4; form++) {
            /* The shim is slow. */
            if (all.cuda && sizes_of[n] == 128 && (form != 3 || !real_is_bf16())) continue;
            struct problem *p = forest_new(sizes_of[n], form & 1, form & 2);
            problem_gradients(&all, p);
            problem_free(p);
        }
    queues_free(&all);
}

static void gradients_of_dialogues_that_share_their_history_are_those_of_float64(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int64_t d = 11; d <= (all.cuda ? 11 : 64); d += 53) {
        struct problem *p = dialogues_new(d, false);
        problem_gradients(&all, p);
        problem_free(p);
    }
    queues_free(&all);
}

/* On the CPU, where one order of additions runs through the list. */
static void gradients_of_a_list_cut_into_ranges_have_the_bits_of_one_range(void **state)
{
    (void)state;
    if (on_cuda()) skip();
    const struct segment_of_ranges whole = {40, 1, {{3, 233}}};
    const struct segment_of_ranges parts = {40, 4, {{3, 4}, {4, 50}, {50, 50}, {50, 233}}};
    struct queues all = queues_new();
    for (int causal = 0; causal < 2; causal++) {
        const struct form form = {.heads = 2,
                                  .kv_heads = 1,
                                  .head_dim = 32,
                                  .scale = 0.25f,
                                  .causal = causal,
                                  .bias = true};
        struct problem *one = problem_of_ranges(&form, &whole, 1);
        struct problem *four = problem_of_ranges(&form, &parts, 1);
        float *dout = random_new(40 * 64, 9, 1.0);
        for (int i = 0; i < all.count; i++) {
            float *want[4], *got[4];
            int64_t sizes[4];
            gradients_new(all.q[i], one, dout, false, want, sizes);
            gradients_new(all.q[i], four, dout, false, got, sizes);
            for (int m = 0; m < 4; m++) {
                check_bits(got[m], want[m], sizes[m], names[m]);
                guarded_free(got[m], names[m]);
                guarded_free(want[m], names[m]);
            }
        }
        guarded_free(dout, "dout");
        problem_free(one);
        problem_free(four);
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
        const int count = form == 1 ? 140 : segments_max;
        struct segment list[segments_max];
        for (int s = 0; s < count; s++) {
            const int32_t group = s / 3; /* of three that read the same keys */
            list[s] = (struct segment){form == 1 ? 33 : 1, group % 50, group % 50 + 1 + group % 40};
        }
        const struct form of = {.heads = heads, .head_dim = d, .bias = form != 1};
        struct problem *p = problem_new(&of, list, count);
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

/* Biases far longer than the keys: the parts of dbias that a device keeps in between do not fit at
 * once, and other gradients are the same, bit for bit. */
static void a_long_bias_changes_no_bits(void **state)
{
    (void)state;
    enum { heads = 2, d = 16, spread = 1 << 18 };
    struct queues all = queues_new();
    for (int i = 0; i<all.count; i += all.count> 1 ? all.count - 1 : 1) {
        struct queue *q = all.q[i];
        struct problem *p = several_new(heads, d, false, false);
        float *dout = random_new(p->a.query_rows * heads * d, 9, 1.0), *gradient[2][4];
        float *bias = random_new(heads * (2 * spread - 1), 4, 1.0);
        const int64_t span = p->a.bias_span;
        float *close = floats_new(heads * (2 * span - 1));
        int64_t sizes[4];
        for (int64_t h = 0; h < heads; h++)
            memcpy(close + h * (2 * span - 1), bias + h * (2 * spread - 1) + spread - span,
                   (size_t)(2 * span - 1) * sizeof *close);
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
        for (int m = 0; m < 3; m++) check_bits(gradient[1][m], gradient[0][m], sizes[m], names[m]);
        guarded_free(before, "before");
        for (int n = 0; n < 2; n++)
            for (int m = 0; m < 4; m++) guarded_free(gradient[n][m], "gradient");
        guarded_free(close, "bias");
        guarded_free(bias, "bias");
        guarded_free(dout, "dout");
        p->a.bias = NULL;
        problem_free(p);
    }
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_slopes_and_have_the_same_bits_everywhere),
        cmocka_unit_test(gradients_of_keys_are_added_to_what_is_there),
        cmocka_unit_test(gradients_are_those_of_plain_c),
        cmocka_unit_test(gradients_of_every_form_are_those_of_float64),
        cmocka_unit_test(gradients_of_ranges_grouped_heads_and_a_scale_are_those_of_float64),
        cmocka_unit_test(gradients_of_dialogues_that_share_their_history_are_those_of_float64),
        cmocka_unit_test(gradients_of_a_list_cut_into_ranges_have_the_bits_of_one_range),
        cmocka_unit_test(many_segments_give_what_plain_c_gives),
        cmocka_unit_test(a_long_bias_changes_no_bits),
    };
    return cmocka_run_group_tests_name("attention_gradients", tests, NULL, NULL);
}
