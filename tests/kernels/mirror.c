/* See mirror.h: every operation of the table, with the sizes of its arguments. */
#include "tests/kernels/mirror.h"

#include "tests/kernels/mirror_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Memory that tests allocate themselves is the inner queue's. */
static status mirror_allocate(struct queue *q, enum memory_kind kind, size_t bytes, void **out)
{
    struct queue *inner = mirror_inner(q);
    return inner->op->allocate(inner, kind, bytes, out);
}

static void mirror_release(struct queue *q, void *memory)
{
    struct queue *inner = mirror_inner(q);
    inner->op->release(inner, memory);
}

static void mirror_upload(struct queue *q, void *to, const void *host_from, size_t bytes)
{
    struct queue *inner = mirror_inner(q);
    inner->op->upload(inner, to, host_from, bytes);
}

static void mirror_download(struct queue *q, void *host_to, const void *from, size_t bytes)
{
    struct queue *inner = mirror_inner(q);
    inner->op->download(inner, host_to, from, bytes);
}

static void mirror_copy(struct queue *q, void *to, const void *from, size_t bytes)
{
    struct queue *inner = mirror_inner(q);
    inner->op->copy(inner, to, from, bytes);
}

static void mirror_zero(struct queue *q, void *to, size_t bytes)
{
    struct queue *inner = mirror_inner(q);
    inner->op->zero(inner, to, bytes);
}

static status mirror_synchronize(struct queue *q)
{
    struct mirror *mirror = (struct mirror *)q;
    mirror_keep(mirror, mirror->inner->op->synchronize(mirror->inner));
    status error = mirror->error;
    mirror->error = NULL;
    return error;
}

static void mirror_destroy(struct queue *q)
{
    struct mirror *mirror = (struct mirror *)q;
    mirror->inner->op->destroy(mirror->inner);
    status_free(mirror->error);
    free(mirror);
}

struct mirror_matrix {
    struct packed_matrix *inner;
    int64_t n, k;
};

static const struct mirror_matrix *mirror_matrix_of(const struct packed_matrix *w)
{
    return (const struct mirror_matrix *)w;
}

static status mirror_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                                   struct packed_matrix **out)
{
    struct queue *inner = mirror_inner(q);
    struct mirror_matrix *w = malloc(sizeof *w);
    assert_non_null(w);
    w->n = n;
    w->k = k;
    *out = (struct packed_matrix *)w;
    return inner->op->matrix_create(inner, n, k, with_input_gradient, &w->inner);
}

static void mirror_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    struct queue *inner = mirror_inner(q);
    inner->op->matrix_destroy(inner, mirror_matrix_of(w)->inner);
    free(w);
}

static void mirror_matrix_pack(struct queue *q, struct packed_matrix *w, const float *values,
                               const struct rounding *rounding)
{
    struct mirror_call call = mirror_begin(q);
    const struct mirror_matrix *m = mirror_matrix_of(w);
    call.inner->op->matrix_pack(call.inner, m->inner, mirror_in(&call, values, m->n * m->k),
                                rounding);
    mirror_end(&call);
}

static void mirror_matrix_hash(struct queue *q, uint64_t *sum, const struct packed_matrix *w)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->matrix_hash(call.inner, mirror_argument(&call, sum, 1, 8, false, true),
                                mirror_matrix_of(w)->inner);
    mirror_end(&call);
}

static void mirror_matmul(struct queue *q, real *y, const real *x, const struct packed_matrix *w,
                          int64_t m, bool accumulate)
{
    struct mirror_call call = mirror_begin(q);
    const struct mirror_matrix *matrix = mirror_matrix_of(w);
    call.inner->op->matmul(call.inner, mirror_out_real(&call, y, m * matrix->n),
                           mirror_in_real(&call, x, m * matrix->k), matrix->inner, m, accumulate);
    mirror_end(&call);
}

static void mirror_matmul_relu(struct queue *q, real *y, const real *x,
                               const struct packed_matrix *w, int64_t m)
{
    struct mirror_call call = mirror_begin(q);
    const struct mirror_matrix *matrix = mirror_matrix_of(w);
    call.inner->op->matmul_relu(call.inner, mirror_out_real(&call, y, m * matrix->n),
                                mirror_in_real(&call, x, m * matrix->k), matrix->inner, m);
    mirror_end(&call);
}

static void mirror_matmul_float(struct queue *q, float *y, const real *x,
                                const struct packed_matrix *w, int64_t m, bool accumulate)
{
    struct mirror_call call = mirror_begin(q);
    const struct mirror_matrix *matrix = mirror_matrix_of(w);
    call.inner->op->matmul_float(call.inner, mirror_out(&call, y, m * matrix->n),
                                 mirror_in_real(&call, x, m * matrix->k), matrix->inner, m,
                                 accumulate);
    mirror_end(&call);
}

static void mirror_matmul_input_gradient(struct queue *q, real *dx, const real *dy,
                                         const struct packed_matrix *w, int64_t m, bool accumulate)
{
    struct mirror_call call = mirror_begin(q);
    const struct mirror_matrix *matrix = mirror_matrix_of(w);
    call.inner->op->matmul_input_gradient(call.inner, mirror_out_real(&call, dx, m * matrix->k),
                                          mirror_in_real(&call, dy, m * matrix->n), matrix->inner,
                                          m, accumulate);
    mirror_end(&call);
}

static void mirror_matmul_weight_gradient(struct queue *q, float *dw, const real *dy, const real *x,
                                          int64_t m, int64_t n, int64_t k, bool accumulate)
{
    struct mirror_call call = mirror_begin(q);
    /* The tests give one pointer for both when there are no rows. */
    void *from = mirror_in_real(&call, dy, m * n);
    call.inner->op->matmul_weight_gradient(call.inner, mirror_out(&call, dw, n * k), from,
                                           dy == x ? from : mirror_in_real(&call, x, m * k), m, n,
                                           k, accumulate);
    mirror_end(&call);
}

static void mirror_narrow(struct queue *q, real *y, const float *x, int64_t count)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->narrow(call.inner, mirror_out_real(&call, y, count), mirror_in(&call, x, count),
                           count);
    mirror_end(&call);
}

static int64_t mirror_past_largest(const int32_t *values, int64_t count)
{
    int64_t largest = -1;
    for (int64_t i = 0; i < count; i++)
        if (values[i] > largest) largest = values[i];
    return largest + 1;
}

static void mirror_embedding(struct queue *q, real *y, const float *table, const int32_t *ids,
                             int64_t m, int64_t d)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->embedding(call.inner, mirror_out_real(&call, y, m * d),
                              mirror_in(&call, table, mirror_past_largest(ids, m) * d),
                              mirror_in(&call, ids, m), m, d);
    mirror_end(&call);
}

static void mirror_embedding_backward(struct queue *q, float *dtable, const real *dy,
                                      const int32_t *ids, int64_t m, int64_t d)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->embedding_backward(
        call.inner, mirror_out(&call, dtable, mirror_past_largest(ids, m) * d),
        mirror_in_real(&call, dy, m * d), mirror_in(&call, ids, m), m, d);
    mirror_end(&call);
}

static void mirror_rmsnorm(struct queue *q, real *y, float *inverse, const real *x, const float *w,
                           int64_t m, int64_t d, float eps)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->rmsnorm(call.inner, mirror_out_real(&call, y, m * d),
                            mirror_out(&call, inverse, m), mirror_in_real(&call, x, m * d),
                            mirror_in(&call, w, d), m, d, eps);
    mirror_end(&call);
}

static void mirror_rmsnorm_backward(struct queue *q, real *dx, float *dw, const real *dy,
                                    const real *x, const float *w, const float *inverse, int64_t m,
                                    int64_t d, bool accumulate)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->rmsnorm_backward(call.inner, mirror_out_real(&call, dx, m * d),
                                     mirror_out(&call, dw, d), mirror_in_real(&call, dy, m * d),
                                     mirror_in_real(&call, x, m * d), mirror_in(&call, w, d),
                                     mirror_in(&call, inverse, m), m, d, accumulate);
    mirror_end(&call);
}

static void mirror_add(struct queue *q, float *y, const float *a, const float *b, int64_t count)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->add(call.inner, mirror_out(&call, y, count), mirror_in(&call, a, count),
                        mirror_in(&call, b, count), count);
    mirror_end(&call);
}

static void mirror_scale(struct queue *q, real *y, const real *a, float factor, int64_t count)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->scale(call.inner, mirror_out_real(&call, y, count),
                          mirror_in_real(&call, a, count), factor, count);
    mirror_end(&call);
}

static void mirror_relu_backward(struct queue *q, real *dx, const real *dy, const real *x,
                                 int64_t count)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->relu_backward(call.inner, mirror_out_real(&call, dx, count),
                                  mirror_in_real(&call, dy, count), mirror_in_real(&call, x, count),
                                  count);
    mirror_end(&call);
}

static void mirror_gated_activation(struct queue *q, enum activation activation, real *y,
                                    const real *x, int64_t m, int64_t f)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->gated_activation(call.inner, activation, mirror_out_real(&call, y, m * f),
                                     mirror_in_real(&call, x, 2 * m * f), m, f);
    mirror_end(&call);
}

static void mirror_gated_activation_backward(struct queue *q, enum activation activation, real *dx,
                                             const real *dy, const real *x, int64_t m, int64_t f)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->gated_activation_backward(
        call.inner, activation, mirror_out_real(&call, dx, 2 * m * f),
        mirror_in_real(&call, dy, m * f), mirror_in_real(&call, x, 2 * m * f), m, f);
    mirror_end(&call);
}

/* Elements of `rows` rows of `width` that stand `stride` apart. */
static int64_t mirror_strided(int64_t rows, int64_t stride, int64_t width)
{
    return rows > 0 ? (rows - 1) * stride + width : 0;
}

static void mirror_bias_add(struct queue *q, real *y, int64_t stride, const float *bias, int64_t m,
                            int64_t n)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->bias_add(call.inner, mirror_out_real(&call, y, mirror_strided(m, stride, n)),
                             stride, mirror_in(&call, bias, n), m, n);
    mirror_end(&call);
}

static void mirror_bias_backward(struct queue *q, float *dbias, const real *dy, int64_t stride,
                                 int64_t m, int64_t n)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->bias_backward(call.inner, mirror_out(&call, dbias, n),
                                  mirror_in_real(&call, dy, mirror_strided(m, stride, n)), stride,
                                  m, n);
    mirror_end(&call);
}

static void mirror_head_norm(struct queue *q, real *y, int64_t y_stride, float *inverse,
                             const real *x, int64_t x_stride, const float *w, int64_t m,
                             int64_t heads, int64_t d, float eps)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->head_norm(call.inner,
                              mirror_out_real(&call, y, mirror_strided(m, y_stride, heads * d)),
                              y_stride, mirror_out(&call, inverse, m * heads),
                              mirror_in_real(&call, x, mirror_strided(m, x_stride, heads * d)),
                              x_stride, mirror_in(&call, w, d), m, heads, d, eps);
    mirror_end(&call);
}

static void mirror_head_norm_backward(struct queue *q, real *dx, int64_t dx_stride, float *dw,
                                      const real *dy, int64_t dy_stride, const real *x,
                                      int64_t x_stride, const float *w, const float *inverse,
                                      int64_t m, int64_t heads, int64_t d)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->head_norm_backward(
        call.inner, mirror_out_real(&call, dx, mirror_strided(m, dx_stride, heads * d)), dx_stride,
        mirror_out(&call, dw, d),
        mirror_in_real(&call, dy, mirror_strided(m, dy_stride, heads * d)), dy_stride,
        mirror_in_real(&call, x, mirror_strided(m, x_stride, heads * d)), x_stride,
        mirror_in(&call, w, d), mirror_in(&call, inverse, m * heads), m, heads, d);
    mirror_end(&call);
}

static void mirror_rope(struct queue *q, real *x, int64_t stride, const int32_t *position,
                        const float *table, int64_t m, int64_t heads, int64_t d, bool inverse)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->rope(
        call.inner, mirror_out_real(&call, x, mirror_strided(m, stride, heads * d)), stride,
        mirror_in(&call, position, m),
        mirror_in(&call, table, mirror_past_largest(position, m) * d), m, heads, d, inverse);
    mirror_end(&call);
}

static void mirror_relative_bias(struct queue *q, float *bias, const float *table, int64_t span,
                                 int64_t heads, int64_t buckets, int64_t max_distance,
                                 bool bidirectional)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->relative_bias(call.inner, mirror_out(&call, bias, heads * (2 * span - 1)),
                                  mirror_in(&call, table, buckets * heads), span, heads, buckets,
                                  max_distance, bidirectional);
    mirror_end(&call);
}

static void mirror_relative_bias_backward(struct queue *q, float *dtable, const float *dbias,
                                          int64_t span, int64_t heads, int64_t buckets,
                                          int64_t max_distance, bool bidirectional)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->relative_bias_backward(call.inner, mirror_out(&call, dtable, buckets * heads),
                                           mirror_in(&call, dbias, heads * (2 * span - 1)), span,
                                           heads, buckets, max_distance, bidirectional);
    mirror_end(&call);
}

static int64_t mirror_ranges(const struct attention *a)
{
    return a->range_begin ? a->range_begin[a->segments] : a->segments;
}

static struct attention mirror_attention_inputs(struct mirror_call *call,
                                                const struct attention *from, int64_t key_rows)
{
    struct attention a = *from;
    const int64_t width = a.heads * a.head_dim, key_width = a.kv_heads * a.head_dim;
    const int64_t ranges = mirror_ranges(from);
    a.query_begin = mirror_in(call, from->query_begin, a.segments + 1);
    a.range_begin = mirror_in(call, from->range_begin, a.segments + 1);
    a.key_begin = mirror_in(call, from->key_begin, ranges);
    a.key_end = mirror_in(call, from->key_end, ranges);
    a.q = mirror_in_real(call, from->q, mirror_strided(a.query_rows, a.q_stride, width));
    a.k = mirror_in_real(call, from->k, mirror_strided(key_rows, a.k_stride, key_width));
    a.v = mirror_in_real(call, from->v, mirror_strided(key_rows, a.v_stride, key_width));
    a.bias = mirror_in(call, from->bias, a.heads * (2 * a.bias_span - 1));
    return a;
}

/* The rows' places, which take the place of *at; entries of replies and of tokens. */
static void mirror_places(struct mirror_call *call, struct result_places *at, const int32_t *step,
                          int64_t rows, int64_t *replies, int64_t *entries)
{
    *replies = *entries = at->slot ? 0 : rows;
    for (int64_t i = 0; at->slot && i < rows; i++) {
        const int64_t entry = at->slot[i] * at->stride + step[i];
        if (at->slot[i] >= *replies) *replies = at->slot[i] + 1;
        if (entry >= *entries) *entries = entry + 1;
    }
    at->slot = mirror_in(call, at->slot, rows);
}

/* Per history token, of histories whose last one is `histories` - 1. */
static void mirror_head_inputs(struct mirror_call *call, struct head_statistics *s,
                               int64_t histories)
{
    const int64_t tokens = mirror_past_largest(s->key_end, histories) - 1;
    s->key_begin = mirror_in(call, s->key_begin, histories);
    s->key_end = mirror_in(call, s->key_end, histories);
    s->token = mirror_in(call, s->token, tokens);
    s->visible = mirror_in(call, s->visible, tokens);
    s->sink = mirror_in(call, s->sink, tokens);
    s->uniform = mirror_in(call, s->uniform, histories);
}

/* Those of a call with so many rows. */
static struct head_statistics mirror_heads(struct mirror_call *call,
                                           const struct head_statistics *from, int64_t rows)
{
    struct head_statistics s = *from;
    const int64_t replies = mirror_past_largest(s.reply, rows), row = s.width * s.stride;
    int64_t slots, entries;
    mirror_head_inputs(call, &s, mirror_past_largest(s.history_of_row, rows));
    s.history_of_row = mirror_in(call, s.history_of_row, rows);
    mirror_places(call, &s.at, s.step, rows, &slots, &entries);
    s.next = mirror_in(call, s.next, rows);
    s.reply = mirror_in(call, s.reply, rows);
    s.ended = mirror_out(call, s.ended, replies);
    s.step = mirror_in(call, s.step, rows);
    float **outputs[] = {&s.entropy, &s.copy, &s.lookback, &s.sinks, &s.peak};
    for (int i = 0; i < 5; i++) *outputs[i] = mirror_out(call, *outputs[i], entries * s.width);
    s.rows = mirror_out(call, s.rows, replies * row);
    s.kept = mirror_out(call, s.kept, rows * row);
    return s;
}

static void mirror_attention_received(struct queue *q, const struct attention_received *from)
{
    struct mirror_call call = mirror_begin(q);
    struct attention_received a = *from;
    const int64_t replies = mirror_past_largest(from->reply, a.rows);
    const int64_t histories = mirror_past_largest(from->history_of_row, a.rows);
    a.capture = mirror_in(&call, from->capture, a.rows * a.capture_stride);
    a.history_of_row = mirror_in(&call, from->history_of_row, a.rows);
    a.key_begin = mirror_in(&call, from->key_begin, histories);
    a.key_end = mirror_in(&call, from->key_end, histories);
    a.token = mirror_in(&call, from->token, a.rows);
    a.reply = mirror_in(&call, from->reply, a.rows);
    a.ended = mirror_out(&call, from->ended, replies);
    a.sum = mirror_out(&call, from->sum, replies * a.stride);
    call.inner->op->attention_received(call.inner, &a);
    mirror_end(&call);
}

static void mirror_head_statistics_sampled(struct queue *q, const struct head_statistics *from,
                                           int64_t rows)
{
    struct mirror_call call = mirror_begin(q);
    const struct head_statistics s = mirror_heads(&call, from, rows);
    call.inner->op->head_statistics_sampled(call.inner, &s, rows);
    mirror_end(&call);
}

static void mirror_head_row_entropy(struct queue *q, const struct head_statistics *from,
                                    const int32_t *history, const int32_t *first, int64_t replies)
{
    struct mirror_call call = mirror_begin(q);
    struct head_statistics s = *from;
    const int64_t entries =
        first ? mirror_past_largest(first, replies) : (replies - 1) * s.at.stride + 1;
    mirror_head_inputs(&call, &s, mirror_past_largest(history, replies));
    s.rows = mirror_out(&call, s.rows, replies * s.width * s.stride);
    s.row_entropy = mirror_out(&call, s.row_entropy, entries * s.width);
    call.inner->op->head_row_entropy(call.inner, &s, mirror_in(&call, history, replies),
                                     mirror_in(&call, first, replies), replies);
    mirror_end(&call);
}

static void mirror_attention(struct queue *q, const struct attention *from)
{
    struct mirror_call call = mirror_begin(q);
    const int64_t keys = mirror_past_largest(from->key_end, mirror_ranges(from)) - 1;
    struct attention a = mirror_attention_inputs(&call, from, keys);
    a.out = mirror_out_real(&call, from->out, a.query_rows * a.heads * a.head_dim);
    a.lse = mirror_out(&call, from->lse, a.query_rows * a.heads);
    a.capture = mirror_out(&call, from->capture, a.query_rows * a.capture_stride);
    a.maps = mirror_out(&call, from->maps, a.heads * a.query_rows * a.capture_stride);
    struct head_statistics statistics;
    if (from->statistics) {
        statistics = mirror_heads(&call, from->statistics, a.query_rows);
        a.statistics = &statistics;
    }
    call.inner->op->attention(call.inner, &a);
    mirror_end(&call);
}

static void mirror_attention_backward(struct queue *q, const struct attention *from,
                                      const struct attention_gradients *gradients)
{
    struct mirror_call call = mirror_begin(q);
    struct attention_gradients g = *gradients;
    struct attention a = mirror_attention_inputs(&call, from, g.key_rows);
    const int64_t width = a.heads * a.head_dim, key_width = a.kv_heads * a.head_dim;
    const int64_t rows = a.query_rows;
    a.out = mirror_in_real(&call, from->out, rows * width);
    a.lse = mirror_in(&call, from->lse, rows * a.heads);
    g.dout = mirror_in_real(&call, g.dout, rows * width);
    g.dq = mirror_out_real(&call, g.dq, mirror_strided(rows, a.q_stride, width));
    g.dk = mirror_out_real(&call, g.dk, mirror_strided(g.key_rows, a.k_stride, key_width));
    g.dv = mirror_out_real(&call, g.dv, mirror_strided(g.key_rows, a.v_stride, key_width));
    g.dbias = mirror_out(&call, g.dbias, a.heads * (2 * a.bias_span - 1));
    call.inner->op->attention_backward(call.inner, &a, &g);
    mirror_end(&call);
}

static void mirror_attention_alignment(struct queue *q, const struct alignment *from)
{
    struct mirror_call call = mirror_begin(q);
    struct alignment a = *from;
    struct alignment_rows *s = &a.student, *t = &a.teacher;
    const int64_t rows = mirror_past_largest(a.row, a.tokens);
    const int64_t queries = mirror_past_largest(a.teacher_query, a.tokens);
    const int64_t keys = mirror_past_largest(a.teacher_key, a.tokens);
    const int64_t q_count = mirror_strided(rows, s->q_stride, s->heads * s->head_dim);
    const int64_t k_count = mirror_strided(rows, s->k_stride, s->kv_heads * s->head_dim);
    const int64_t width = t->heads * t->head_dim;
    a.begin = mirror_in(&call, a.begin, 2 * a.pairs + 1);
    a.prompt = mirror_in(&call, a.prompt, 2 * a.pairs);
    s->q = mirror_in_real(&call, s->q, q_count);
    s->k = mirror_in_real(&call, s->k, k_count);
    t->q = mirror_in_real(&call, t->q, mirror_strided(queries, t->q_stride, width));
    t->k = mirror_in_real(&call, t->k, mirror_strided(keys, t->k_stride, width));
    a.row = mirror_in(&call, a.row, a.tokens);
    a.teacher_query = mirror_in(&call, a.teacher_query, a.tokens);
    a.teacher_key = mirror_in(&call, a.teacher_key, a.tokens);
    a.bias = mirror_in(&call, a.bias, t->heads * (2 * a.bias_span - 1));
    a.weight = mirror_in(&call, a.weight, a.tokens);
    a.dq = mirror_out_real(&call, a.dq, q_count);
    a.dk = mirror_out_real(&call, a.dk, k_count);
    a.distance = mirror_out(&call, a.distance, a.tokens);
    a.work = mirror_out(&call, a.work, alignment_work(a.tokens, t->heads, s->heads * s->head_dim));
    call.inner->op->attention_alignment(call.inner, &a);
    mirror_end(&call);
}

static void *mirror_in_bytes(struct mirror_call *call, const uint8_t *host, int64_t count)
{
    return mirror_argument(call, host, count, 1, false, false);
}

static void mirror_attention_summary(struct queue *q, const struct attention_summary *from)
{
    struct mirror_call call = mirror_begin(q);
    struct attention_summary s = *from;
    const int64_t histories = mirror_past_largest(s.history_of_row, s.rows);
    const int64_t tokens = mirror_past_largest(s.key_end, histories) - 1;
    s.capture = mirror_in(&call, s.capture, s.rows * s.capture_stride);
    s.history_of_row = mirror_in(&call, s.history_of_row, s.rows);
    s.key_begin = mirror_in(&call, s.key_begin, histories);
    s.key_end = mirror_in(&call, s.key_end, histories);
    s.visible = mirror_in_bytes(&call, s.visible, tokens);
    s.salient = mirror_in_bytes(&call, s.salient, tokens);
    s.turn = mirror_in_bytes(&call, s.turn, tokens);
    s.special = mirror_in_bytes(&call, s.special, tokens);
    s.slots = mirror_in_bytes(&call, s.slots, tokens);
    int64_t replies, entries;
    mirror_places(&call, &s.at, s.step, s.rows, &replies, &entries);
    s.floor_delta = mirror_in(&call, s.floor_delta, replies);
    s.counter = mirror_in(&call, s.counter, 3 * replies);
    s.step = mirror_in(&call, s.step, s.rows);
    s.entropy = mirror_out(&call, s.entropy, entries);
    s.entropy_floored = mirror_out(&call, s.entropy_floored, entries);
    s.salient_mass = mirror_out(&call, s.salient_mass, entries);
    s.special_mass = mirror_out(&call, s.special_mass, entries);
    s.first_mass = mirror_out(&call, s.first_mass, entries);
    s.history_mass = mirror_out(&call, s.history_mass, entries);
    s.reply_mass = mirror_out(&call, s.reply_mass, entries);
    s.slot_mass = mirror_out(&call, s.slot_mass, entries);
    s.turn_mass = mirror_out(&call, s.turn_mass, entries * s.turns);
    s.top_position = mirror_out(&call, s.top_position, entries * s.top);
    s.top_weight = mirror_out(&call, s.top_weight, entries * s.top);
    call.inner->op->attention_summary(call.inner, &s);
    mirror_end(&call);
}

static void mirror_cache_append(struct queue *q, void *to, int64_t slot_stride, const int32_t *slot,
                                const int32_t *position, const void *from, int64_t from_stride,
                                int64_t rows, int64_t width, size_t bytes)
{
    struct mirror_call call = mirror_begin(q);
    int64_t count = 0;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t end = slot[i] * slot_stride + (position[i] + 1) * width;
        if (end > count) count = end;
    }
    call.inner->op->cache_append(
        call.inner, mirror_argument(&call, to, count, bytes, false, true), slot_stride,
        mirror_in(&call, slot, rows), mirror_in(&call, position, rows),
        mirror_argument(&call, from, mirror_strided(rows, from_stride, width), bytes, false, false),
        from_stride, rows, width, bytes);
    mirror_end(&call);
}

static void mirror_advance(struct queue *q, int32_t *counters, int32_t value, int64_t count,
                           int64_t stride)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->advance(call.inner,
                            mirror_out(&call, counters, mirror_strided(count, stride, 1)), value,
                            count, stride);
    mirror_end(&call);
}

static void mirror_mean_rows(struct queue *q, real *out, const real *x, const int32_t *begin,
                             int64_t segments, int64_t d)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->mean_rows(call.inner, mirror_out_real(&call, out, segments * d),
                              mirror_in_real(&call, x, begin[segments] * d),
                              mirror_in(&call, begin, segments + 1), segments, d);
    mirror_end(&call);
}

static void mirror_mean_rows_backward(struct queue *q, real *dx, const real *dout,
                                      const int32_t *begin, int64_t segments, int64_t d)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->mean_rows_backward(call.inner, mirror_out_real(&call, dx, begin[segments] * d),
                                       mirror_in_real(&call, dout, segments * d),
                                       mirror_in(&call, begin, segments + 1), segments, d);
    mirror_end(&call);
}

static void mirror_softmax_loss(struct queue *q, float *logp, float *entropy, float *lse, float *kl,
                                float *self_certainty, const float *logits,
                                const float *reference_logits, const int32_t *targets,
                                float temperature, int64_t m, int64_t vocabulary)
{
    struct mirror_call call = mirror_begin(q);
    void *given = mirror_in(&call, logits, m * vocabulary);
    call.inner->op->softmax_loss(call.inner, mirror_out(&call, logp, m),
                                 mirror_out(&call, entropy, m), mirror_out(&call, lse, m),
                                 mirror_out(&call, kl, m), mirror_out(&call, self_certainty, m),
                                 given, mirror_in(&call, reference_logits, m * vocabulary),
                                 mirror_in(&call, targets, m), temperature, m, vocabulary);
    mirror_end(&call);
}

static void mirror_softmax_loss_backward(struct queue *q, real *dlogits, const float *logits,
                                         const float *lse, const int32_t *targets,
                                         const float *dlogp, float temperature, float smoothing,
                                         const struct entropy_bonus *bonus, int64_t m,
                                         int64_t vocabulary)
{
    struct mirror_call call = mirror_begin(q);
    struct entropy_bonus inner = {.coef = bonus ? bonus->coef : 0};
    inner.entropy = mirror_in(&call, bonus ? bonus->entropy : NULL, m);
    inner.weight = mirror_in(&call, bonus ? bonus->weight : NULL, m);
    void *given = mirror_in(&call, logits, m * vocabulary);
    call.inner->op->softmax_loss_backward(
        call.inner, mirror_out_real(&call, dlogits, m * vocabulary), given,
        mirror_in(&call, lse, m), mirror_in(&call, targets, m), mirror_in(&call, dlogp, m),
        temperature, smoothing, bonus ? &inner : NULL, m, vocabulary);
    mirror_end(&call);
}

static void mirror_sample(struct queue *q, const struct sampling *from)
{
    struct mirror_call call = mirror_begin(q);
    struct sampling s = *from;
    s.logits = mirror_in(&call, s.logits, s.rows * s.vocabulary);
    int64_t replies, entries;
    mirror_places(&call, &s.at, s.step, s.rows, &replies, &entries);
    s.counter = mirror_in(&call, s.counter, 3 * replies);
    s.forced = mirror_in(&call, s.forced, replies);
    s.step = mirror_in(&call, s.step, s.rows);
    s.token = mirror_out(&call, s.token, s.rows);
    s.token_record = mirror_out(&call, s.token_record, entries);
    s.logp = mirror_out(&call, s.logp, entries);
    s.token_entropy = mirror_out(&call, s.token_entropy, entries);
    s.self_certainty = mirror_out(&call, s.self_certainty, entries);
    call.inner->op->sample(call.inner, &s);
    mirror_end(&call);
}

static void mirror_ppo_loss(struct queue *q, const struct ppo_tokens *from)
{
    struct mirror_call call = mirror_begin(q);
    struct ppo_tokens p = *from;
    p.logp_new = mirror_in(&call, p.logp_new, p.tokens);
    p.logp_old = mirror_in(&call, p.logp_old, p.tokens);
    p.logp_behaviour = mirror_in(&call, p.logp_behaviour, p.tokens);
    p.log_ratio = mirror_in(&call, p.log_ratio, p.tokens);
    p.logp_ref = mirror_in(&call, p.logp_ref, p.tokens);
    p.advantage = mirror_in(&call, p.advantage, p.tokens);
    p.weight = mirror_in(&call, p.weight, p.tokens);
    p.loss = mirror_out(&call, p.loss, p.tokens);
    p.dlogp = mirror_out(&call, p.dlogp, p.tokens);
    p.clipped = mirror_out(&call, p.clipped, p.tokens);
    p.kl = mirror_out(&call, p.kl, p.tokens);
    call.inner->op->ppo_loss(call.inner, &p);
    mirror_end(&call);
}

static void mirror_square_sum(struct queue *q, double *sum, const float *x, int64_t count)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->square_sum(call.inner, mirror_argument(&call, sum, 1, 8, false, true),
                               mirror_in(&call, x, count), count);
    mirror_end(&call);
}

static void mirror_hash(struct queue *q, uint64_t *sum, const float *x, int64_t first,
                        int64_t count)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->hash(call.inner, mirror_argument(&call, sum, 1, 8, false, true),
                         mirror_in(&call, x, count), first, count);
    mirror_end(&call);
}

static void mirror_adamw(struct queue *q, float *w, float *m, float *v, const float *gradient,
                         int64_t count, const struct adamw *settings)
{
    struct mirror_call call = mirror_begin(q);
    call.inner->op->adamw(call.inner, mirror_out(&call, w, count), mirror_out(&call, m, count),
                          mirror_out(&call, v, count), mirror_in(&call, gradient, count), count,
                          settings);
    mirror_end(&call);
}

static const struct ops mirror_ops = {
    .name = "mirror",
    .allocate = mirror_allocate,
    .release = mirror_release,
    .upload = mirror_upload,
    .download = mirror_download,
    .copy = mirror_copy,
    .zero = mirror_zero,
    .synchronize = mirror_synchronize,
    .destroy = mirror_destroy,
    .matrix_create = mirror_matrix_create,
    .matrix_destroy = mirror_matrix_destroy,
    .matrix_pack = mirror_matrix_pack,
    .matrix_hash = mirror_matrix_hash,
    .matmul = mirror_matmul,
    .matmul_relu = mirror_matmul_relu,
    .matmul_float = mirror_matmul_float,
    .matmul_input_gradient = mirror_matmul_input_gradient,
    .matmul_weight_gradient = mirror_matmul_weight_gradient,
    .narrow = mirror_narrow,
    .embedding = mirror_embedding,
    .embedding_backward = mirror_embedding_backward,
    .rmsnorm = mirror_rmsnorm,
    .rmsnorm_backward = mirror_rmsnorm_backward,
    .add = mirror_add,
    .scale = mirror_scale,
    .relu_backward = mirror_relu_backward,
    .gated_activation = mirror_gated_activation,
    .gated_activation_backward = mirror_gated_activation_backward,
    .bias_add = mirror_bias_add,
    .bias_backward = mirror_bias_backward,
    .head_norm = mirror_head_norm,
    .head_norm_backward = mirror_head_norm_backward,
    .rope = mirror_rope,
    .relative_bias = mirror_relative_bias,
    .relative_bias_backward = mirror_relative_bias_backward,
    .attention = mirror_attention,
    .attention_backward = mirror_attention_backward,
    .attention_alignment = mirror_attention_alignment,
    .attention_summary = mirror_attention_summary,
    .attention_received = mirror_attention_received,
    .head_statistics_sampled = mirror_head_statistics_sampled,
    .head_row_entropy = mirror_head_row_entropy,
    .cache_append = mirror_cache_append,
    .advance = mirror_advance,
    .mean_rows = mirror_mean_rows,
    .mean_rows_backward = mirror_mean_rows_backward,
    .softmax_loss = mirror_softmax_loss,
    .softmax_loss_backward = mirror_softmax_loss_backward,
    .sample = mirror_sample,
    .ppo_loss = mirror_ppo_loss,
    .square_sum = mirror_square_sum,
    .hash = mirror_hash,
    .adamw = mirror_adamw,
};

struct queue *mirror_new(struct queue *inner, bool fresh_is_unwritten)
{
    struct mirror *mirror = calloc(1, sizeof *mirror);
    assert_non_null(mirror);
    mirror->base =
        (struct queue){.op = &mirror_ops, .threads = inner->threads, .real_bytes = sizeof(float)};
    mirror->inner = inner;
    mirror->fresh_is_unwritten = fresh_is_unwritten;
    return &mirror->base;
}

struct queue *mirror_inner(struct queue *mirror)
{
    return ((struct mirror *)mirror)->inner;
}

void mirror_pack(struct queue *mirror, struct packed_matrix *w, int64_t n, int64_t k,
                 const float *values)
{
    struct mirror_matrix matrix = {w, n, k};
    mirror_matrix_pack(mirror, (struct packed_matrix *)&matrix, values, NULL);
}
