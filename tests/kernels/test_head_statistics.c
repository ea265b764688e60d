/* Statistics of every head's row of attention: right against float64, equal in every bit over
 * instruction sets, threads and orders, and whether a reply's tokens are there already or sampled
 * one by one; of replies that share a history, with and without keys of their own. */
#include "tests/kernels/attention_problem.h"

enum {
    HISTORIES = 4,
    REPLIES = 7,
    STEPS = 5, /* the longest reply */
    LAYER = 1,
    LAYERS = 3, /* the call's heads have the columns in the middle */
    STRIDE = 208,
    ENDED = 3, /* its second token ends it, though it goes on */
    END = 4,
    OUTPUTS = 6
};
static const int32_t lengths[HISTORIES] = {1, 7, 66, 200};
static const int32_t history_of[REPLIES] = {0, 1, 1, 2, 2, 2, 3};
static const int32_t counts[REPLIES] = {2, 1, 5, 4, 3, 1, 4};
static const char *const names[OUTPUTS] = {"entropy", "copy", "lookback",
                                           "sinks",   "peak", "row_entropy"};

/* All tokens at once, and what they come to in float64. */
struct case_of {
    struct problem *all;
    bool own_keys; /* a causal model's: a reply's rows read their reply's keys too */
    int64_t rows, width;
    int32_t key_begin[HISTORIES], key_end[HISTORIES];
    int32_t *token, *next, *history, *reply, *step; /* per history token; per row */
    float *visible, *sink, uniform[HISTORIES];
    double *want[OUTPUTS]; /* [rows, width]; the last at a reply's first row */
    double *until_end;     /* [width] row_entropy of ENDED as far as its end */
};

static struct problem *problem_make(bool own_keys)
{
    const struct form cross = {.heads = 3, .head_dim = 64};
    const struct form causal = {
        .heads = 6, .kv_heads = 2, .head_dim = 16, .scale = 0.4f, .causal = true};
    struct segment segments[REPLIES];
    struct segment_of_ranges paths[REPLIES];
    int32_t begin[HISTORIES], row = 0;
    for (int h = 0; h < HISTORIES; h++) begin[h] = row, row += lengths[h];
    for (int r = 0; r < REPLIES; r++) {
        const int32_t h = history_of[r], end = begin[h] + lengths[h];
        segments[r] = (struct segment){counts[r], begin[h], end};
        /* The history's last token is the first of the reply's own rows. */
        paths[r] =
            (struct segment_of_ranges){counts[r], 2, {{begin[h], end - 1}, {row, row + counts[r]}}};
        row += counts[r];
    }
    return own_keys ? problem_of_ranges(&causal, paths, REPLIES)
                    : problem_new(&cross, segments, REPLIES);
}

/* Of a row on V: its entropy over log|V|. */
static double entropy_of(const struct case_of *c, int32_t history, const double *row)
{
    const int32_t begin = c->key_begin[history];
    double sum = 0, entropy = 0;
    int count = 0;
    for (int32_t j = 0; j < lengths[history]; j++) {
        if (c->visible[begin + j] == 0.0f) continue;
        sum += row[j];
        count++;
    }
    if (count < 2) return 0;
    for (int32_t j = 0; j < lengths[history]; j++)
        if (c->visible[begin + j] != 0.0f) entropy -= row[j] / sum * log(row[j] / sum);
    return entropy / log(count);
}

static void want_row(struct case_of *c, int64_t row, int64_t column, const double *a)
{
    const int32_t history = c->history[row], begin = c->key_begin[history];
    const int32_t n = lengths[history];
    double on = 0, copy = 0, sink = 0, peak = 0, behind = 0;
    for (int32_t j = 0; j < n; j++) {
        sink += a[j] * (double)c->sink[begin + j];
        if (c->visible[begin + j] == 0.0f) continue;
        on += a[j];
        if (a[j] > peak) peak = a[j];
        if (c->token[begin + j] == c->next[row]) copy += a[j];
    }
    for (int32_t j = n; c->own_keys && j < n + c->step[row]; j++) behind += a[j];
    const double all[] = {entropy_of(c, history, a), copy, on + behind > 0 ? on / (on + behind) : 0,
                          sink, peak};
    for (int k = 0; k < OUTPUTS - 1; k++) c->want[k][row * c->width + column] = all[k];
}

static void want_make(struct case_of *c)
{
    const struct attention *a = &c->all->a;
    double *out = calloc((size_t)(c->rows * a->heads * a->head_dim), sizeof *out);
    double *maps = calloc((size_t)(a->heads * c->rows * STRIDE), sizeof *maps);
    for (int k = 0; k < OUTPUTS; k++)
        c->want[k] = calloc((size_t)(c->rows * c->width), sizeof(double));
    c->until_end = calloc((size_t)c->width, sizeof(double));
    reference(a, out, NULL, maps, STRIDE);
    for (int r = 0; r < REPLIES; r++)
        for (int64_t h = 0; h < a->heads; h++) {
            const int64_t first = a->query_begin[r], column = LAYER * a->heads + h;
            double sum[STRIDE] = {0};
            for (int64_t row = first; row < first + counts[r]; row++) {
                const double *map = maps + (h * c->rows + row) * STRIDE;
                want_row(c, row, column, map);
                for (int32_t j = 0; j < lengths[history_of[r]]; j++) sum[j] += map[j];
                if (r == ENDED && row == first + 1)
                    c->until_end[column] = entropy_of(c, history_of[r], sum);
            }
            c->want[OUTPUTS - 1][first * c->width + column] = entropy_of(c, history_of[r], sum);
        }
    free(out);
    free(maps);
}

/* Tokens of 0 to 4, so that many are equal; the history of one token has a V of one, and that of
 * seven has most of its tokens outside. */
static void case_make(struct case_of *c, bool own_keys)
{
    *c = (struct case_of){.all = problem_make(own_keys), .own_keys = own_keys};
    c->rows = c->all->a.query_rows;
    c->width = LAYERS * c->all->a.heads;
    int32_t tokens = 0;
    for (int h = 0; h < HISTORIES; h++) {
        c->key_begin[h] = tokens;
        c->key_end[h] = tokens += lengths[h];
    }
    c->token = guarded_new((size_t)tokens * 4);
    c->visible = floats_new(tokens);
    c->sink = floats_new(tokens);
    for (int h = 0; h < HISTORIES; h++) {
        int count = 0;
        for (int32_t i = c->key_begin[h]; i < c->key_end[h]; i++) {
            c->token[i] = (int32_t)(uniform_at(5, (uint64_t)i) * 5);
            c->visible[i] = h == 0 || uniform_at(6, (uint64_t)i) < (h == 1 ? 0.4 : 0.8);
            c->sink[i] = own_keys ? i == c->key_begin[h] : uniform_at(7, (uint64_t)i) < 0.2;
            count += c->visible[i] != 0.0f;
        }
        c->uniform[h] = count > 1 ? (float)log(count) : 0.0f;
        if (h > 0) assert_true(count > 1);
    }
    int32_t **rows[] = {&c->next, &c->history, &c->reply, &c->step};
    for (int i = 0; i < 4; i++) *rows[i] = guarded_new((size_t)c->rows * 4);
    for (int r = 0; r < REPLIES; r++)
        for (int32_t t = 0; t < counts[r]; t++) {
            const int32_t row = c->all->query_begin[r] + t;
            c->next[row] = (int32_t)(uniform_at(8, (uint64_t)row) * 4);
            if (r == ENDED && t == 1) c->next[row] = END;
            c->history[row] = history_of[r];
            c->reply[row] = r;
            c->step[row] = t;
        }
    want_make(c);
}

static void case_free(struct case_of *c)
{
    void *all[] = {c->token, c->visible, c->sink, c->next, c->history, c->reply, c->step};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i], "case");
    for (int k = 0; k < OUTPUTS; k++) free(c->want[k]);
    free(c->until_end);
    problem_free(c->all);
}

/* Outputs of `entries` tokens, and what a call without rows of its own needs. */
static struct head_statistics call_new(struct case_of *c, int64_t entries, float *out[OUTPUTS])
{
    for (int k = 0; k < OUTPUTS; k++) out[k] = floats_new(entries * c->width);
    struct head_statistics s = {.layer = LAYER,
                                .width = c->width,
                                .key_begin = c->key_begin,
                                .key_end = c->key_end,
                                .token = c->token,
                                .visible = c->visible,
                                .sink = c->sink,
                                .uniform = c->uniform,
                                .end = {9, END},
                                .ends = 2,
                                .entropy = out[0],
                                .copy = out[1],
                                .lookback = out[2],
                                .sinks = out[3],
                                .peak = out[4],
                                .row_entropy = out[5],
                                .stride = STRIDE,
                                .rows = floats_new(REPLIES * c->width * STRIDE)};
    memset(s.rows, 0, (size_t)(REPLIES * c->width * STRIDE) * sizeof *s.rows);
    return s;
}

static void attention_call(struct queue *q, struct attention *a, const struct head_statistics *s)
{
    float *out = floats_new(a->query_rows * a->heads * a->head_dim);
    a->out = out;
    a->capture_stride = STRIDE;
    a->statistics = s;
    q->op->attention(q, a);
    queue_check(q);
    guarded_free(out, "out");
}

/* All tokens at once: outputs [rows, width]. */
static void given_read(struct queue *q, struct case_of *c, float *out[OUTPUTS])
{
    struct head_statistics s = call_new(c, c->rows, out);
    struct attention a = c->all->a;
    s.history_of_row = c->history;
    s.next = c->next;
    s.reply = c->reply;
    s.step = c->step;
    attention_call(q, &a, &s);
    q->op->head_row_entropy(q, &s, history_of, a.query_begin, REPLIES);
    queue_check(q);
    guarded_free(s.rows, "rows");
}

/* The rows of a decode step: of the replies that have token `step`, each at the place of its own.
 */
struct step_rows {
    int64_t count;
    int32_t query_begin[REPLIES + 1], range_begin[REPLIES + 1], key_begin[2 * REPLIES],
        key_end[2 * REPLIES];
    int32_t history[REPLIES], slot[REPLIES], step[REPLIES], next[REPLIES], from[REPLIES];
};

static int32_t slot_of(int r)
{
    return (3 * r + 2) % REPLIES;
}

/* Without keys of their own rows of one history side by side are one segment. */
static void step_make(const struct case_of *c, int32_t step, struct step_rows *rows,
                      struct attention *a)
{
    const struct attention *all = &c->all->a;
    *rows = (struct step_rows){0};
    a->segments = 0;
    for (int r = 0; r < REPLIES; r++) {
        if (step >= counts[r]) continue;
        const int64_t n = rows->count++, row = all->query_begin[r] + step;
        const bool joins = !c->own_keys && n > 0 && rows->history[n - 1] == history_of[r];
        rows->history[n] = history_of[r];
        rows->slot[n] = slot_of(r);
        rows->step[n] = step;
        rows->next[n] = c->next[row];
        rows->from[n] = (int32_t)row;
        if (joins) continue;
        const int64_t s = a->segments++, ranges = c->own_keys ? 2 : 1;
        rows->query_begin[s] = (int32_t)n;
        rows->range_begin[s] = (int32_t)(s * ranges);
        for (int64_t i = 0; i < ranges; i++) {
            rows->key_begin[s * ranges + i] = all->key_begin[r * ranges + i];
            rows->key_end[s * ranges + i] = all->key_end[r * ranges + i];
        }
        if (c->own_keys) rows->key_end[s * 2 + 1] = rows->key_begin[s * 2 + 1] + step + 1;
    }
    rows->query_begin[a->segments] = (int32_t)rows->count;
    rows->range_begin[a->segments] = (int32_t)(a->segments * (c->own_keys ? 2 : 1));
    a->query_rows = rows->count;
    a->query_begin = rows->query_begin;
    a->range_begin = c->own_keys ? rows->range_begin : NULL;
    a->key_begin = rows->key_begin;
    a->key_end = rows->key_end;
}

/* Step by step: outputs [REPLIES * STEPS, width], at slot_of(reply) * STEPS + step. */
static void steps_read(struct queue *q, struct case_of *c, float *out[OUTPUTS])
{
    struct head_statistics s = call_new(c, REPLIES * STEPS, out);
    const struct attention *all = &c->all->a;
    int32_t *ended = guarded_new(REPLIES * 4), history[REPLIES];
    memset(ended, 0, REPLIES * 4);
    for (int r = 0; r < REPLIES; r++) history[slot_of(r)] = history_of[r];
    for (int32_t step = 0; step < STEPS; step++) {
        struct attention a = *all;
        struct step_rows rows;
        step_make(c, step, &rows, &a);
        float *queries = floats_new(rows.count * all->q_stride);
        for (int64_t i = 0; i < rows.count; i++)
            memcpy(queries + i * all->q_stride,
                   (const float *)all->q + rows.from[i] * all->q_stride,
                   (size_t)(all->heads * all->head_dim) * sizeof *queries);
        a.q = queries;
        s.history_of_row = rows.history;
        s.reply = rows.slot;
        s.ended = ended;
        s.step = rows.step;
        s.at = (struct result_places){rows.slot, STEPS};
        s.next = NULL;
        s.kept = floats_new(rows.count * c->width * STRIDE);
        attention_call(q, &a, &s);
        /* Columns of other layers are their calls'. */
        for (int64_t i = 0; i < rows.count * c->width * STRIDE; i++)
            if (isnan(s.kept[i])) s.kept[i] = 0.0f;
        s.next = rows.next;
        q->op->head_statistics_sampled(q, &s, rows.count);
        queue_check(q);
        guarded_free(s.kept, "kept");
        guarded_free(queries, "queries");
    }
    for (int r = 0; r < REPLIES; r++) assert_int_equal(ended[slot_of(r)] != 0, r == ENDED);
    q->op->head_row_entropy(q, &s, history, NULL, REPLIES);
    queue_check(q);
    guarded_free(s.rows, "rows");
    guarded_free(ended, "ended");
}

/* The columns of the call's heads against float64, and no other is written by attention. */
static void check_given(const struct case_of *c, float *const out[OUTPUTS])
{
    const struct attention *a = &c->all->a;
    const double off = 4 * forward_tolerance(a->head_dim) + 4e-6;
    for (int k = 0; k < OUTPUTS; k++)
        for (int64_t row = 0; row < c->rows; row++) {
            const bool there = k < OUTPUTS - 1 || c->step[row] == 0;
            for (int64_t column = 0; column < c->width; column++) {
                const int64_t at = row * c->width + column;
                const bool own = column / a->heads == LAYER;
                if (own && there)
                    check_close(out[k] + at, c->want[k] + at, 1, off, off, names[k]);
                else if (k < OUTPUTS - 1 || !there)
                    assert_true(isnan(out[k][at]));
            }
        }
}

static void check_steps(const struct case_of *c, float *const steps[OUTPUTS],
                        float *const given[OUTPUTS])
{
    const int64_t heads = c->all->a.heads;
    for (int k = 0; k < OUTPUTS; k++)
        for (int64_t row = 0; row < c->rows; row++) {
            const int32_t r = c->reply[row], entry = slot_of(r) * STEPS + c->step[row];
            const int64_t column = LAYER * heads, at = entry * c->width + column;
            if (k == OUTPUTS - 1 && c->step[row] > 0) continue;
            if (k == OUTPUTS - 1 && r == ENDED)
                check_close(steps[k] + at, c->until_end + column, heads, 1e-5, 1e-5,
                            "row_entropy as far as the end");
            else
                check_bits(steps[k] + at, given[k] + row * c->width + column, heads, names[k]);
        }
}

static void outputs_free(float *out[OUTPUTS])
{
    for (int k = 0; k < OUTPUTS; k++) guarded_free(out[k], names[k]);
}

static void check_case(bool own_keys)
{
    struct queues all = queues_new();
    struct case_of c;
    case_make(&c, own_keys);
    float *first[OUTPUTS];
    for (int i = 0; i < all.count; i++) {
        float *given[OUTPUTS], *steps[OUTPUTS];
        given_read(all.q[i], &c, given);
        steps_read(all.q[i], &c, steps);
        check_given(&c, given);
        check_steps(&c, steps, given);
        outputs_free(steps);
        for (int k = 0; k < OUTPUTS && i > 0; k++)
            check_bits(given[k], first[k], c.rows * c.width, all.name[i]);
        if (i > 0)
            outputs_free(given);
        else
            memcpy(first, given, sizeof first);
    }
    outputs_free(first);
    case_free(&c);
    queues_free(&all);
}

static void heads_over_a_history_equal_float64_step_by_step_and_at_once(void **state)
{
    (void)state;
    check_case(false);
}

static void heads_over_history_and_reply_equal_float64_step_by_step_and_at_once(void **state)
{
    (void)state;
    check_case(true);
}

/* A history whose V has no mass at all, since another key has all of it: the row is the uniform
 * one, and every number is finite. */
static void a_row_without_mass_on_v_is_the_uniform_one(void **state)
{
    (void)state;
    struct queues all = queues_new();
    const struct segment segment = {1, 0, 3};
    const struct form form = {.heads = 1, .head_dim = 16, .scale = 1000.0f};
    struct problem *p = problem_new(&form, &segment, 1);
    float *query = (float *)(uintptr_t)p->a.q, *key = (float *)(uintptr_t)p->a.k;
    for (int d = 0; d < 16; d++) {
        query[d] = 1;
        for (int j = 0; j < 3; j++) key[j * p->a.k_stride + d] = j == 0 ? 1.0f : -1.0f;
    }
    for (int i = 0; i < all.count; i++) {
        float out[6], sums[16] = {0};
        int32_t zero[1] = {0}, end[1] = {3}, token[3] = {5, 5, 5}, next[1] = {5}, begin[1] = {0};
        float visible[3] = {0, 1, 1}, sink[3] = {1, 0, 0}, uniform[1] = {logf(2)};
        int32_t reply[1] = {0}, step[1] = {0}, history[1] = {0};
        struct head_statistics s = {.width = 1,
                                    .history_of_row = zero,
                                    .key_begin = begin,
                                    .key_end = end,
                                    .token = token,
                                    .visible = visible,
                                    .sink = sink,
                                    .uniform = uniform,
                                    .next = next,
                                    .reply = reply,
                                    .step = step,
                                    .entropy = out,
                                    .copy = out + 1,
                                    .lookback = out + 2,
                                    .sinks = out + 3,
                                    .peak = out + 4,
                                    .row_entropy = out + 5,
                                    .stride = 16,
                                    .rows = sums};
        attention_call(all.q[i], &p->a, &s);
        all.q[i]->op->head_row_entropy(all.q[i], &s, history, NULL, 1);
        queue_check(all.q[i]);
        const float want[6] = {1, 0, 0, 1, 0, 1};
        for (int k = 0; k < 6; k++)
            if (out[k] != want[k]) fail_msg("%s: %g", names[k], (double)out[k]);
    }
    problem_free(p);
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_over_a_history_equal_float64_step_by_step_and_at_once),
        cmocka_unit_test(heads_over_history_and_reply_equal_float64_step_by_step_and_at_once),
        cmocka_unit_test(a_row_without_mass_on_v_is_the_uniform_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
