/* See attention_problem.h. */
#include "tests/kernels/attention_problem.h"

const int64_t head_dims[] = {8, 15, 32, 64, 128, 136};

bool is_left_out(int64_t head_dim)
{
    return on_cuda() && head_dim != 15 && head_dim != 64 && head_dim != 136;
}

double forward_tolerance(int64_t head_dim)
{
    return pow((double)head_dim, 1.5) * 0x1p-24 + 2e-6;
}

/* Segments and ranges are there: what depends on them, and arrays of random numbers. */
static void problem_fill(struct problem *p, const struct form *form)
{
    struct attention *a = &p->a;
    a->query_begin = p->query_begin;
    a->key_begin = p->key_begin;
    a->key_end = p->key_end;
    a->query_rows = p->query_begin[a->segments];
    a->heads = form->heads;
    a->kv_heads = form->kv_heads ? form->kv_heads : form->heads;
    a->head_dim = form->head_dim;
    a->scale = form->scale != 0 ? form->scale : 1.0f;
    a->causal = form->causal;
    a->bias_span = 1;
    for (int64_t s = 0; s < a->segments; s++) {
        const int64_t queries = p->query_begin[s + 1] - p->query_begin[s];
        if (queries > a->bias_span) a->bias_span = queries;
        if (segment_keys(a, s) > a->bias_span) a->bias_span = segment_keys(a, s);
    }
    /* Rows on whole cache lines where the heads allow it, as the model has them, or odd. */
    const int64_t gap = a->head_dim % 8 ? 1 : 8;
    a->q_stride = a->heads * a->head_dim + 3 * gap;
    a->k_stride = a->kv_heads * a->head_dim + 5 * gap;
    a->v_stride = a->kv_heads * a->head_dim + 7 * gap;
    a->q = random_new(a->query_rows * a->q_stride, 1, 1.0);
    a->k = random_new(p->key_rows * a->k_stride, 2, 1.0);
    a->v = random_new(p->key_rows * a->v_stride, 3, 1.0);
    a->bias = form->bias ? random_new(a->heads * (2 * a->bias_span - 1), 4, 1.0) : NULL;
}

static void range_set(struct problem *p, int64_t r, int32_t begin, int32_t end)
{
    assert_true(r < ranges_max);
    p->key_begin[r] = begin;
    p->key_end[r] = end;
    if (end > p->key_rows) p->key_rows = end;
}

struct problem *problem_new(const struct form *form, const struct segment *list, int64_t segments)
{
    struct problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->a.segments = segments;
    for (int64_t s = 0; s < segments; s++) {
        p->query_begin[s + 1] = p->query_begin[s] + list[s].queries;
        range_set(p, s, list[s].key_begin, list[s].key_end);
    }
    problem_fill(p, form);
    return p;
}

struct problem *problem_of_ranges(const struct form *form, const struct segment_of_ranges *list,
                                  int64_t segments)
{
    struct problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->a.segments = segments;
    p->a.range_begin = p->range_begin;
    for (int64_t s = 0; s < segments; s++) {
        const int32_t first = p->range_begin[s];
        p->query_begin[s + 1] = p->query_begin[s] + list[s].queries;
        p->range_begin[s + 1] = first + list[s].count;
        for (int32_t r = 0; r < list[s].count; r++)
            range_set(p, first + r, list[s].ranges[r].begin, list[s].ranges[r].end);
    }
    problem_fill(p, form);
    return p;
}

void problem_free(struct problem *p)
{
    guarded_free((void *)p->a.q, "q");
    guarded_free((void *)p->a.k, "k");
    guarded_free((void *)p->a.v, "v");
    if (p->a.bias) guarded_free((void *)p->a.bias, "bias");
    free(p);
}

struct problem *several_new(int64_t heads, int64_t head_dim, bool causal, bool bias)
{
    static const struct segment list[] = {{5, 0, 37},  {1, 0, 37},  {40, 37, 77}, {0, 77, 77},
                                          {7, 77, 84}, {33, 0, 37}, {3, 10, 37},  {2, 84, 350}};
    /* Causal segments have no fewer keys than queries. */
    static const struct segment causal_list[] = {
        {5, 0, 37}, {1, 0, 37}, {40, 37, 77}, {7, 77, 84}, {1, 84, 350}};
    const struct form form = {.heads = heads, .head_dim = head_dim, .causal = causal, .bias = bias};
    return causal ? problem_new(&form, causal_list, sizeof causal_list / sizeof *causal_list)
                  : problem_new(&form, list, sizeof list / sizeof *list);
}

struct problem *forest_new(int64_t head_dim, bool causal, bool bias)
{
    /* Rows 0-69 are the trunk's, 70-89 and 90-159 its children's, 160-168 a grandchild's; the last
     * segment leaves rows of the trunk out, and reads an empty range. */
    static const struct segment_of_ranges list[] = {
        {70, 1, {{0, 70}}},
        {20, 2, {{0, 70}, {70, 90}}},
        {70, 2, {{0, 70}, {90, 160}}},
        {9, 3, {{0, 70}, {70, 90}, {160, 169}}},
        {6, 4, {{2, 5}, {30, 30}, {60, 61}, {169, 175}}}};
    const struct form form = {.heads = 4,
                              .kv_heads = 2,
                              .head_dim = head_dim,
                              .scale = 0.7f,
                              .causal = causal,
                              .bias = bias};
    return problem_of_ranges(&form, list, sizeof list / sizeof *list);
}

struct problem *dialogues_new(int64_t head_dim, bool decoding)
{
    enum { nodes = 4, replies = 9, longest = 40 };
    /* The system prompt, a history's first turn and its second, another history. */
    static const struct segment_of_ranges path[nodes] = {{20, 1, {{0, 20}}},
                                                         {70, 2, {{0, 20}, {20, 90}}},
                                                         {10, 3, {{0, 20}, {20, 90}, {90, 100}}},
                                                         {40, 2, {{0, 20}, {100, 140}}}};
    static const int node_of[replies] = {2, 2, 2, 2, 2, 3, 3, 3, 1};
    struct segment_of_ranges list[nodes + replies];
    int64_t count = 0;
    for (int n = 0; n < nodes && !decoding; n++) list[count++] = path[n];
    for (int32_t i = 0; i < replies; i++) {
        const int32_t begin = 140 + longest * i, tokens = 1 + 13 * i % longest;
        struct segment_of_ranges *reply = &list[count++];
        *reply = path[node_of[i]];
        reply->queries = decoding ? 1 : tokens;
        while (decoding && reply->count < 3) reply->ranges[reply->count++] = (struct range){0, 0};
        reply->ranges[reply->count++] = (struct range){begin, begin + tokens};
    }
    const struct form form = {
        .heads = 6, .kv_heads = 2, .head_dim = head_dim, .scale = 0.3f, .causal = true};
    return problem_of_ranges(&form, list, count);
}

/* The rows of a segment's keys, in order; their number. */
static int64_t key_rows_of(const struct attention *a, int64_t s, int64_t rows[keys_max])
{
    const int64_t first = a->range_begin ? a->range_begin[s] : s;
    const int64_t end = a->range_begin ? a->range_begin[s + 1] : s + 1;
    int64_t keys = 0;
    for (int64_t r = first; r < end; r++)
        for (int64_t row = a->key_begin[r]; row < a->key_end[r]; row++) {
            assert_true(keys < keys_max);
            rows[keys++] = row;
        }
    return keys;
}

int64_t segment_keys(const struct attention *a, int64_t s)
{
    int64_t rows[keys_max];
    return key_rows_of(a, s, rows);
}

/* A query of one head in float64. */
struct reader {
    const struct attention *a;
    int64_t s, row, h, keys, position;
    int64_t key_row[keys_max];
    double weight[keys_max];
    double lse;
};

static double dot(const float *x, const float *y, int64_t count)
{
    double sum = 0;
    for (int64_t n = 0; n < count; n++) sum += (double)x[n] * (double)y[n];
    return sum;
}

static const float *query_of(const struct reader *at)
{
    return (const float *)at->a->q + at->row * at->a->q_stride + at->h * at->a->head_dim;
}

/* The first element of what the query's head reads in row j of its keys: where k or v stand. */
static int64_t key_at(const struct reader *at, int64_t j, int64_t stride)
{
    const struct attention *a = at->a;
    return at->key_row[j] * stride + at->h / (a->heads / a->kv_heads) * a->head_dim;
}

static int64_t bias_at(const struct reader *at, int64_t j)
{
    const struct attention *a = at->a;
    return at->h * (2 * a->bias_span - 1) + j - at->position + a->bias_span - 1;
}

/* s, row and h are set; all else is found. */
static void reader_weigh(struct reader *at)
{
    const struct attention *a = at->a;
    const int64_t queries = a->query_begin[at->s + 1] - a->query_begin[at->s];
    double sum = 0;
    at->keys = key_rows_of(a, at->s, at->key_row);
    at->position = at->row - a->query_begin[at->s] + (a->causal ? at->keys - queries : 0);
    for (int64_t j = 0; j < at->keys; j++) {
        const float *key = (const float *)a->k + key_at(at, j, a->k_stride);
        double score = (double)a->scale * dot(query_of(at), key, a->head_dim);
        if (a->bias) score += (double)a->bias[bias_at(at, j)];
        at->weight[j] = a->causal && j > at->position ? 0 : exp(score);
        sum += at->weight[j];
    }
    at->lse = log(sum);
    for (int64_t j = 0; j < at->keys; j++) at->weight[j] = sum > 0 ? at->weight[j] / sum : 0;
}

void reference(const struct attention *a, double *out, double *lse, double *maps,
               int64_t map_stride)
{
    const int64_t d = a->head_dim, width = a->heads * d;
    struct reader at = {.a = a};
    memset(out, 0, (size_t)(a->query_rows * width) * sizeof *out);
    for (at.s = 0; at.s < a->segments; at.s++)
        for (at.row = a->query_begin[at.s]; at.row < a->query_begin[at.s + 1]; at.row++)
            for (at.h = 0; at.h < a->heads; at.h++) {
                double *to = out + at.row * width + at.h * d;
                reader_weigh(&at);
                if (lse) lse[at.row * a->heads + at.h] = at.lse;
                if (maps)
                    memcpy(maps + (at.h * a->query_rows + at.row) * map_stride, at.weight,
                           (size_t)at.keys * sizeof *maps);
                for (int64_t j = 0; j < at.keys; j++) {
                    const float *value = (const float *)a->v + key_at(&at, j, a->v_stride);
                    for (int64_t n = 0; n < d; n++) to[n] += at.weight[j] * (double)value[n];
                }
            }
}

/* Sums of gradients in float64, laid out as the arrays themselves. */
struct sums {
    double *dq, *dk, *dv, *dbias;
};

/* Adds what one query of one head, weighed already, gives with dout [head_dim]. */
static void reader_backward(const struct reader *at, const float *dout, struct sums *to)
{
    const struct attention *a = at->a;
    const int64_t d = a->head_dim;
    const float *query = query_of(at);
    double *dq = to->dq + at->row * a->q_stride + at->h * d, dp[keys_max], mean = 0;
    for (int64_t j = 0; j < at->keys; j++) {
        dp[j] = dot(dout, (const float *)a->v + key_at(at, j, a->v_stride), d);
        mean += at->weight[j] * dp[j];
    }
    for (int64_t j = 0; j < at->keys; j++) {
        const double ds = at->weight[j] * (dp[j] - mean), dot_gradient = (double)a->scale * ds;
        const float *key = (const float *)a->k + key_at(at, j, a->k_stride);
        double *dk = to->dk + key_at(at, j, a->k_stride), *dv = to->dv + key_at(at, j, a->v_stride);
        for (int64_t n = 0; n < d; n++) {
            dq[n] += dot_gradient * (double)key[n];
            dk[n] += dot_gradient * (double)query[n];
            dv[n] += at->weight[j] * (double)dout[n];
        }
        if (a->bias) to->dbias[bias_at(at, j)] += ds;
    }
}

/* to[column] of rows that stand `stride` apart = from, for rows that are wanted. */
static void rows_put(float *to, const double *from, const bool *wanted, int64_t rows,
                     int64_t stride, int64_t width)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t n = 0; n < width && wanted[r]; n++)
            to[r * stride + n] = (float)from[r * stride + n];
}

void reference_gradients(const struct attention *a, const float *dout, int64_t key_rows,
                         float *want[4])
{
    const int64_t d = a->head_dim, width = a->heads * d, key_width = a->kv_heads * d;
    const int64_t biases = a->heads * (2 * a->bias_span - 1);
    struct sums sums = {.dq = calloc((size_t)(a->query_rows * a->q_stride + 1), sizeof(double)),
                        .dk = calloc((size_t)(key_rows * a->k_stride + 1), sizeof(double)),
                        .dv = calloc((size_t)(key_rows * a->v_stride + 1), sizeof(double)),
                        .dbias = calloc((size_t)biases, sizeof(double))};
    bool *is_query = calloc((size_t)a->query_rows + 1, 1),
         *is_read = calloc((size_t)key_rows + 1, 1);
    struct reader at = {.a = a};
    for (at.s = 0; at.s < a->segments; at.s++) {
        at.keys = key_rows_of(a, at.s, at.key_row);
        for (int64_t j = 0; j < at.keys; j++) is_read[at.key_row[j]] = true;
        for (at.row = a->query_begin[at.s]; at.row < a->query_begin[at.s + 1]; at.row++) {
            is_query[at.row] = true;
            for (at.h = 0; at.h < a->heads; at.h++) {
                reader_weigh(&at);
                reader_backward(&at, dout + at.row * width + at.h * d, &sums);
            }
        }
    }
    rows_put(want[0], sums.dq, is_query, a->query_rows, a->q_stride, width);
    rows_put(want[1], sums.dk, is_read, key_rows, a->k_stride, key_width);
    rows_put(want[2], sums.dv, is_read, key_rows, a->v_stride, key_width);
    for (int64_t i = 0; a->bias && i < biases; i++) want[3][i] += (float)sums.dbias[i];
    free(sums.dq);
    free(sums.dk);
    free(sums.dv);
    free(sums.dbias);
    free(is_query);
    free(is_read);
}
