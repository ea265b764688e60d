/* Attention: right against float64, equal in every bit over instruction sets, threads, segments
 * beside it, the forest or the paths through it, and decoding against training. */
#include "tests/kernels/attention_problem.h"

/* What a call comes to in float64. */
struct answer {
    double *out, *lse, *maps;
    double off; /* what a number may be away */
};

static struct answer answer_new(const struct attention *a)
{
    const size_t rows = (size_t)a->query_rows, heads = (size_t)a->heads;
    struct answer answer = {.out = calloc(rows * heads * (size_t)a->head_dim, sizeof(double)),
                            .lse = calloc(rows * heads, sizeof(double)),
                            .maps =
                                calloc(heads * rows * (size_t)a->capture_stride, sizeof(double)),
                            .off = forward_tolerance(a->head_dim)};
    reference(a, answer.out, answer.lse, answer.maps, a->capture_stride);
    return answer;
}

static void answer_free(struct answer *answer)
{
    free(answer->out);
    free(answer->lse);
    free(answer->maps);
}

static void answer_check_out(const struct answer *answer, const struct attention *a,
                             const float *out)
{
    /* Tensor cores take weights rounded to bf16; values are at most 1. */
    const double rounded = real_is_bf16() ? 0x1p-9 : 0;
    check_close(out, answer->out, a->query_rows * a->heads * a->head_dim, answer->off + rounded,
                answer->off, "out");
}

/* Numbers [0, keys) of a row, of which there are `stride`; nothing was written behind them. */
static void check_row(const float *row, const double *want, int64_t keys, int64_t stride,
                      double off, double relative, const char *what)
{
    check_close(row, want, keys, off, relative, what);
    for (int64_t j = keys; j < stride; j++) assert_true(isnan(row[j]));
}

static void answer_check_maps(const struct answer *answer, const struct attention *a,
                              const float *maps)
{
    const int64_t stride = a->capture_stride;
    for (int64_t s = 0; s < a->segments; s++)
        for (int64_t r = a->query_begin[s]; r < a->query_begin[s + 1]; r++)
            for (int64_t h = 0; h < a->heads; h++) {
                const int64_t at = (h * a->query_rows + r) * stride;
                check_row(maps + at, answer->maps + at, segment_keys(a, s), stride, answer->off,
                          answer->off, "maps");
            }
}

static void answer_check_sums(const struct answer *answer, const struct attention *a,
                              const float *sums)
{
    const int64_t stride = a->capture_stride;
    double want[keys_max];
    for (int64_t s = 0; s < a->segments; s++)
        for (int64_t r = a->query_begin[s]; r < a->query_begin[s + 1]; r++) {
            const int64_t keys = segment_keys(a, s);
            for (int64_t j = 0; j < keys; j++) {
                want[j] = 0;
                for (int64_t h = 0; h < a->heads; h++)
                    want[j] += answer->maps[(h * a->query_rows + r) * stride + j];
            }
            check_row(sums + r * stride, want, keys, stride, (double)a->heads * answer->off,
                      answer->off, "capture");
        }
}

/* A call's results: out, lse, capture, maps; the last two NULL where not asked for. */
enum { results = 4 };

static void results_make(struct queue *q, struct attention *a, bool capture, float *to[results],
                         int64_t sizes[results])
{
    sizes[0] = a->query_rows * a->heads * a->head_dim;
    sizes[1] = a->query_rows * a->heads;
    sizes[2] = a->query_rows * a->capture_stride;
    sizes[3] = a->heads * a->query_rows * a->capture_stride;
    for (int m = 0; m < results; m++) to[m] = m < 2 || capture ? floats_new(sizes[m]) : NULL;
    a->out = to[0], a->lse = to[1], a->capture = to[2], a->maps = to[3];
    q->op->attention(q, a);
    queue_check(q);
}

static void results_free(float *of[results])
{
    for (int m = 0; m < results; m++)
        if (of[m]) guarded_free(of[m], "result");
}

/* On every queue, with and without capture: right, and the same bits. */
static void problem_check(const struct queues *all, struct problem *p)
{
    p->a.capture_stride = 300;
    struct answer answer = answer_new(&p->a);
    float *first[results] = {0};
    for (int i = 0; i < all->count; i++)
        for (int capture = 1; capture >= 0; capture--) {
            float *now[results];
            int64_t sizes[results];
            results_make(all->q[i], &p->a, capture, now, sizes);
            answer_check_out(&answer, &p->a, now[0]);
            check_close(now[1], answer.lse, sizes[1], answer.off, answer.off, "lse");
            if (capture) answer_check_sums(&answer, &p->a, now[2]);
            if (capture) answer_check_maps(&answer, &p->a, now[3]);
            for (int m = 0; m < results && first[0]; m++)
                if (now[m]) check_bits(now[m], first[m], sizes[m], all->name[i]);
            if (first[0])
                results_free(now);
            else
                memcpy(first, now, sizeof now);
        }
    results_free(first);
    answer_free(&answer);
}

static void attention_equals_float64_and_has_the_same_bits_everywhere(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int form = 0; form < 4; form++)
        for (size_t n = 0; n < head_dims_count; n++) {
            if (is_left_out(head_dims[n])) continue;
            struct problem *p = several_new(3, head_dims[n], form & 1, form & 2);
            problem_check(&all, p);
            problem_free(p);
        }
    queues_free(&all);
}

static void ranges_grouped_heads_and_a_scale_equal_float64(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int form = 0; form < 4; form++)
        for (size_t n = 0; n < head_dims_count; n++) {
            if (is_left_out(head_dims[n])) continue;
            struct problem *p = forest_new(head_dims[n], form & 1, form & 2);
            problem_check(&all, p);
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
    const struct form form = {.heads = heads, .head_dim = d, .causal = true, .bias = true};
    struct problem *training = problem_new(&form, &whole, 1);
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

/* One list of keys, whole and cut into ranges: on CUDA, whose tiles begin anew with each range, at
 * multiples of 64. */
static void a_list_cut_into_ranges_has_the_bits_of_one_range(void **state)
{
    (void)state;
    const int32_t step = on_cuda() ? 64 : 1, keys = 230;
    const struct segment_of_ranges whole = {40, 1, {{3, 3 + keys}}};
    const struct segment_of_ranges parts = {
        40,
        4,
        {{3, 3 + step}, {3 + step, 3 + step}, {3 + step, 3 + 3 * step}, {3 + 3 * step, 3 + keys}}};
    struct queues all = queues_new();
    for (int form = 0; form < 4; form++)
        for (int64_t d = 11; d <= 64; d += 53) {
            const struct form of = {.heads = 2,
                                    .kv_heads = 1,
                                    .head_dim = d,
                                    .scale = 0.25f,
                                    .causal = form & 1,
                                    .bias = form & 2};
            struct problem *one = problem_of_ranges(&of, &whole, 1);
            struct problem *four = problem_of_ranges(&of, &parts, 1);
            one->a.capture_stride = four->a.capture_stride = keys;
            for (int i = 0; i < all.count; i++) {
                float *want[results], *got[results];
                int64_t sizes[results];
                results_make(all.q[i], &one->a, true, want, sizes);
                results_make(all.q[i], &four->a, true, got, sizes);
                for (int m = 0; m < results; m++)
                    check_bits(got[m], want[m], sizes[m], all.name[i]);
                results_free(want);
                results_free(got);
            }
            problem_free(one);
            problem_free(four);
        }
    queues_free(&all);
}

/* A trunk, two children and a grandchild of the second, every token once; on CUDA their lengths
 * are whole tiles, but for the last. */
enum { nodes = 4 };
struct forest {
    int32_t length[nodes], begin[nodes]; /* of rows of q, k and v */
    struct segment_of_ranges of[nodes];
};

static struct forest forest_make(bool tiles)
{
    static const int parent[nodes] = {-1, 0, 0, 2};
    struct forest f = {.length = {tiles ? 64 : 37, tiles ? 64 : 20, tiles ? 128 : 70, 9}};
    for (int n = 0; n < nodes; n++) {
        if (n > 0) f.begin[n] = f.begin[n - 1] + f.length[n - 1];
        f.of[n].queries = f.length[n];
        if (parent[n] >= 0) f.of[n] = f.of[parent[n]];
        f.of[n].queries = f.length[n];
        f.of[n].ranges[f.of[n].count++] = (struct range){f.begin[n], f.begin[n] + f.length[n]};
    }
    return f;
}

/* The call of one node's path by itself: all tokens of the path as queries and, side by side, as
 * keys. */
static struct problem *path_new(const struct problem *forest, const struct segment_of_ranges *of)
{
    const struct attention *a = &forest->a;
    int32_t length = 0;
    for (int r = 0; r < of->count; r++) length += of->ranges[r].end - of->ranges[r].begin;
    const struct segment whole = {length, 0, length};
    const struct form form = {.heads = a->heads,
                              .kv_heads = a->kv_heads,
                              .head_dim = a->head_dim,
                              .scale = a->scale,
                              .causal = true};
    struct problem *p = problem_new(&form, &whole, 1);
    float *const to[3] = {(float *)p->a.q, (float *)p->a.k, (float *)p->a.v};
    const float *const from[3] = {a->q, a->k, a->v};
    const int64_t strides[3] = {a->q_stride, a->k_stride, a->v_stride};
    for (int m = 0; m < 3; m++) {
        int64_t row = 0;
        for (int r = 0; r < of->count; r++) {
            const int64_t count = of->ranges[r].end - of->ranges[r].begin;
            memcpy(to[m] + row * strides[m], from[m] + of->ranges[r].begin * strides[m],
                   (size_t)(count * strides[m]) * sizeof(float));
            row += count;
        }
    }
    return p;
}

static void a_forest_has_the_bits_of_its_paths_one_by_one(void **state)
{
    (void)state;
    struct queues all = queues_new();
    const struct forest f = forest_make(on_cuda());
    for (int64_t d = 11; d <= 64; d += 53) {
        const struct form form = {
            .heads = 4, .kv_heads = 2, .head_dim = d, .scale = 0.25f, .causal = true};
        struct problem *forest = problem_of_ranges(&form, f.of, nodes);
        const int64_t width = form.heads * d;
        for (int i = 0; i < all.count; i++) {
            float *out = floats_new(forest->a.query_rows * width);
            forest->a.out = out;
            all.q[i]->op->attention(all.q[i], &forest->a);
            for (int n = 0; n < nodes; n++) {
                struct problem *path = path_new(forest, &f.of[n]);
                float *alone = floats_new(path->a.query_rows * width);
                path->a.out = alone;
                all.q[i]->op->attention(all.q[i], &path->a);
                queue_check(all.q[i]);
                check_bits(out + f.begin[n] * width,
                           alone + (path->a.query_rows - f.length[n]) * width, f.length[n] * width,
                           all.name[i]);
                guarded_free(alone, "out");
                problem_free(path);
            }
            guarded_free(out, "out");
        }
        problem_free(forest);
    }
    queues_free(&all);
}

/* Each token of the last node by itself, with its ancestors' keys and its own so far. */
static void a_decode_step_in_a_forest_gives_the_bits_of_training(void **state)
{
    (void)state;
    enum { last = nodes - 1 };
    struct queues all = queues_new();
    struct forest f = forest_make(false);
    for (int64_t d = 11; d <= 64; d += 53) {
        const struct form form = {
            .heads = 4, .kv_heads = 2, .head_dim = d, .scale = 0.25f, .causal = true};
        struct problem *forest = problem_of_ranges(&form, f.of, nodes);
        const int64_t width = form.heads * d;
        float *want = floats_new(forest->a.query_rows * width);
        forest->a.out = want;
        all.q[0]->op->attention(all.q[0], &forest->a);
        queue_check(all.q[0]);
        for (int i = 0; i < all.count; i++)
            for (int32_t t = 0; t < f.length[last]; t++) {
                struct problem step = *forest;
                const int32_t first = forest->range_begin[last], row = f.begin[last] + t;
                float got[4 * 64];
                step.a.segments = step.a.query_rows = 1;
                step.query_begin[1] = 1;
                step.range_begin[1] = f.of[last].count;
                for (int r = 0; r < f.of[last].count; r++) {
                    step.key_begin[r] = forest->key_begin[first + r];
                    step.key_end[r] = forest->key_end[first + r];
                }
                step.key_end[f.of[last].count - 1] = row + 1;
                step.a.query_begin = step.query_begin;
                step.a.range_begin = step.range_begin;
                step.a.key_begin = step.key_begin;
                step.a.key_end = step.key_end;
                step.a.q = real_at(all.q[i], forest->a.q, row * forest->a.q_stride);
                out_row(all.q[i], &step, 0, got);
                check_bits(got, want + row * width, width, all.name[i]);
            }
        guarded_free(want, "out");
        problem_free(forest);
    }
    queues_free(&all);
}

/* Rows of the capture far longer than the keys: scores that a device keeps in between do not fit at
 * once, and the sums are the same, bit for bit. */
static void long_rows_of_the_capture_change_no_bits(void **state)
{
    (void)state;
    enum { heads = 2, d = 16, narrow = 266, wide = 30000 };
    struct queues all = queues_new();
    for (int i = 0; i<all.count; i += all.count> 1 ? all.count - 1 : 1) {
        struct queue *q = all.q[i];
        struct problem *p = several_new(heads, d, false, false);
        const int64_t rows = p->a.query_rows;
        float *out = floats_new(rows * heads * d);
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
                check_bits(sums[1] + r * wide, sums[0] + r * narrow, segment_keys(&p->a, s),
                           "capture");
        guarded_free(sums[0], "capture");
        guarded_free(sums[1], "capture");
        guarded_free(out, "out");
        problem_free(p);
    }
    queues_free(&all);
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
    enum { heads = 2, d = 64, width = heads * d, stride = keys_max };
    static const int32_t all_keys[] = {1, 63, 64, 65, 255, 256, 257, 600};
    struct queues all = queues_new();
    for (size_t n = 0; n < sizeof all_keys / sizeof *all_keys; n++) {
        const int32_t keys = all_keys[n];
        struct problem *p = problem_new(&(struct form){.heads = heads, .head_dim = d},
                                        &(struct segment){form_rows, 0, keys + 7}, 1);
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
                if (!want) {
                    struct answer answer = answer_new(&now.a);
                    answer_check_out(&answer, &now.a, out);
                    answer_check_sums(&answer, &now.a, sums);
                    answer_free(&answer);
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

/* Two sizes, and on the shim, which is slow, one. */
static const int64_t dialogue_dims[] = {11, 64};

static void dialogues_that_share_their_history_equal_float64(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int n = 0; n < (all.cuda ? 1 : 2); n++)
        for (int decoding = 0; decoding < 2; decoding++) {
            struct problem *p = dialogues_new(dialogue_dims[n], decoding);
            problem_check(&all, p);
            problem_free(p);
        }
    queues_free(&all);
}

/* The rows of all replies in one call, in two that cut a history's replies apart, and each alone;
 * with the capture. */
static void a_decode_batch_has_the_bits_of_each_row_alone(void **state)
{
    (void)state;
    enum { stride = 200 };
    struct queues all = queues_new();
    for (int n = 0; n < (all.cuda ? 1 : 2); n++) {
        struct problem *p = dialogues_new(dialogue_dims[n], true);
        const int64_t rows = p->a.query_rows, width = p->a.heads * p->a.head_dim;
        float *want = floats_new(rows * width), *want_sums = floats_new(rows * stride);
        p->a.capture_stride = stride;
        p->a.out = want;
        p->a.capture = want_sums;
        all.q[0]->op->attention(all.q[0], &p->a);
        for (int i = 0; i < all.count; i++)
            for (int64_t begin = 0, end; begin < 2 * rows; begin = end) {
                /* Row by row, then rows 0 to 2 and the others. */
                end = begin < rows ? begin + 1 : begin == rows ? rows + 3 : 2 * rows;
                const int64_t first = begin % rows, count = end - begin;
                struct attention part = p->a;
                int32_t query_begin[segments_max + 1];
                float *out = floats_new(count * width), *sums = floats_new(count * stride);
                for (int32_t s = 0; s <= count; s++) query_begin[s] = s;
                part.segments = part.query_rows = count;
                part.query_begin = query_begin;
                int32_t range_begin[segments_max + 1];
                for (int64_t s = 0; s <= count; s++)
                    range_begin[s] = p->range_begin[first + s] - p->range_begin[first];
                part.range_begin = range_begin;
                part.key_begin += p->range_begin[first];
                part.key_end += p->range_begin[first];
                part.q = real_at(all.q[i], p->a.q, first * p->a.q_stride);
                part.out = out;
                part.capture = sums;
                all.q[i]->op->attention(all.q[i], &part);
                queue_check(all.q[i]);
                check_bits(out, want + first * width, count * width, all.name[i]);
                check_bits(sums, want_sums + first * stride, count * stride, all.name[i]);
                guarded_free(out, "out");
                guarded_free(sums, "capture");
            }
        guarded_free(want, "out");
        guarded_free(want_sums, "capture");
        problem_free(p);
    }
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_equals_float64_and_has_the_same_bits_everywhere),
        cmocka_unit_test(ranges_grouped_heads_and_a_scale_equal_float64),
        cmocka_unit_test(a_list_cut_into_ranges_has_the_bits_of_one_range),
        cmocka_unit_test(a_forest_has_the_bits_of_its_paths_one_by_one),
        cmocka_unit_test(a_decode_step_in_a_forest_gives_the_bits_of_training),
        cmocka_unit_test(a_decode_step_gives_the_bits_of_training),
        cmocka_unit_test(a_row_has_the_same_bits_whatever_stands_beside_it),
        cmocka_unit_test(a_row_has_the_same_bits_in_every_form),
        cmocka_unit_test(what_is_not_finite_stays_visible_and_apart),
        cmocka_unit_test(capture_accumulates_over_calls),
        cmocka_unit_test(dialogues_that_share_their_history_equal_float64),
        cmocka_unit_test(a_decode_batch_has_the_bits_of_each_row_alone),
        cmocka_unit_test(long_rows_of_the_capture_change_no_bits),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
