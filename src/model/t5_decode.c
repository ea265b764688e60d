/* Incremental decoding.  Every row owns a slot of the self-attention caches; rows of one
 * history that stand side by side are one segment of its cross-attention.  The pieces of a
 * layer, the attention and the head are those of the teacher-forced pass, row for row, so
 * logits and captured attention are too, bit for bit.
 * A step reads its position and key ranges from device arrays that it advances itself. */
#include "src/model/t5_parts.h"

#include <stdlib.h>
#include <string.h>

struct t5_decoder {
    struct t5 *model;
    struct t5_run *run; /* the histories' encoder pass */
    int64_t histories, rows, slots, max_steps, steps, capture_layers;
    int64_t segments; /* of the cross-attention */
    struct buffer floats, integers;
    struct t5_activations *layer; /* [layers] on the host, all the same place */
    float *bias;                  /* [heads, 2 max_steps - 1] */
    real *cross_kv;               /* [layers, n, 2i] */
    real *cache;                  /* [layers, slots, max_steps, 2i] keys, then values */
    real *normed, *scaled;        /* [rows, d] */
    float *logits;                /* [rows, vocabulary] */
    float *capture;               /* [rows, longest history], or NULL */
    /* In `integers`; slots of each unless said otherwise. */
    int32_t *input, *slot, *history, *step;
    int32_t *query_begin, *key_begin, *key_end; /* self: [rows + 1], [rows], [rows] */
    int32_t *cross_query_begin;                 /* [segments + 1] */
    int32_t *cross_key_begin, *cross_key_end;   /* [segments] */
    /* The host's: which slot and history a row has; where histories stand. */
    int32_t *host_slot, *host_history, *host_begin;
};

status t5_decoder_create(struct t5 *model, struct t5_decoder **out)
{
    if (model->shape.decoder_layers == 0)
        FAIL(STATUS_INTERNAL, "decoding asked of a model without decoder");
    struct t5_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) FAIL(STATUS_INTERNAL, "no memory for a decoder");
    decoder->model = model;
    decoder->layer = calloc((size_t)model->decoder.layers, sizeof *decoder->layer);
    status s = decoder->layer ? t5_run_create(model, &decoder->run)
                              : ERROR(STATUS_INTERNAL, "no memory for a decoder");
    if (s) {
        t5_decoder_destroy(decoder);
        return s;
    }
    *out = decoder;
    return NULL;
}

void t5_decoder_destroy(struct t5_decoder *decoder)
{
    if (!decoder) return;
    struct queue *q = decoder->model->queue;
    t5_run_destroy(decoder->run);
    buffer_release(q, &decoder->floats);
    buffer_release(q, &decoder->integers);
    free(decoder->layer);
    free(decoder->host_slot);
    free(decoder->host_history);
    free(decoder->host_begin);
    free(decoder);
}

static void cut_floats(struct t5_decoder *decoder, struct t5_cut *cut)
{
    const struct t5_shape *s = &decoder->model->shape;
    int64_t inner = s->heads * s->d_kv, d = s->d_model, slots = decoder->slots;
    decoder->bias = t5_cut_floats(cut, s->heads * (2 * decoder->max_steps - 1));
    decoder->cross_kv =
        t5_cut_reals(cut, s->decoder_layers * decoder->run->history_tokens * 2 * inner);
    decoder->cache = t5_cut_reals(cut, s->decoder_layers * slots * decoder->max_steps * 2 * inner);
    t5_activations_cut(cut, s, true, s->decoder_layers, slots, 0, false, decoder->layer);
    decoder->normed = t5_cut_reals(cut, slots * d);
    decoder->scaled = s->scale_logits ? t5_cut_reals(cut, slots * d) : decoder->normed;
    decoder->logits = t5_cut_floats(cut, slots * s->vocabulary);
    decoder->capture = NULL;
    if (decoder->capture_layers > 0)
        decoder->capture = t5_cut_floats(cut, slots * decoder->run->longest_history);
}

static void cut_integers(struct t5_decoder *decoder, struct t5_cut *cut)
{
    int64_t slots = decoder->slots;
    decoder->input = t5_cut_ints(cut, slots);
    decoder->slot = t5_cut_ints(cut, slots);
    decoder->history = t5_cut_ints(cut, slots);
    decoder->step = t5_cut_ints(cut, slots);
    decoder->query_begin = t5_cut_ints(cut, slots + 1);
    decoder->key_begin = t5_cut_ints(cut, slots);
    decoder->key_end = t5_cut_ints(cut, slots);
    decoder->cross_query_begin = t5_cut_ints(cut, slots + 1);
    decoder->cross_key_begin = t5_cut_ints(cut, slots);
    decoder->cross_key_end = t5_cut_ints(cut, slots);
}

/* Fills the image of the integers (the decoder's pointers point into it) from host_slot,
 * host_history and the number of steps done. */
static void fill_integers(struct t5_decoder *decoder, const int32_t *inputs)
{
    int64_t segments = 0;
    for (int64_t r = 0; r < decoder->rows; r++) {
        int32_t history = decoder->host_history[r];
        decoder->input[r] = inputs ? inputs[r] : decoder->model->shape.decoder_start;
        decoder->slot[r] = decoder->host_slot[r];
        decoder->history[r] = history;
        decoder->step[r] = (int32_t)(decoder->steps - 1);
        decoder->query_begin[r] = (int32_t)r;
        decoder->key_begin[r] = (int32_t)(decoder->host_slot[r] * decoder->max_steps);
        decoder->key_end[r] = decoder->key_begin[r] + (int32_t)decoder->steps;
        if (r > 0 && history == decoder->host_history[r - 1]) continue;
        decoder->cross_query_begin[segments] = (int32_t)r;
        decoder->cross_key_begin[segments] = decoder->host_begin[history];
        decoder->cross_key_end[segments] = decoder->host_begin[history + 1];
        segments++;
    }
    decoder->query_begin[decoder->rows] = (int32_t)decoder->rows;
    decoder->cross_query_begin[segments] = (int32_t)decoder->rows;
    decoder->segments = segments;
}

/* inputs [rows] host, or NULL for decoder_start. */
static status upload_integers(struct t5_decoder *decoder, const int32_t *inputs)
{
    struct queue *q = decoder->model->queue;
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_integers(decoder, &cut);
    size_t bytes = cut.used;
    TRY(buffer_reserve(q, &decoder->integers, bytes));
    char *image = calloc(1, bytes);
    if (!image) FAIL(STATUS_INTERNAL, "no memory for a decoder's rows");
    cut = t5_cut_begin(q, image);
    cut_integers(decoder, &cut);
    fill_integers(decoder, inputs);
    q->op->upload(q, decoder->integers.data, image, bytes);
    status s = q->op->synchronize(q);
    free(image);
    cut = t5_cut_begin(q, decoder->integers.data);
    cut_integers(decoder, &cut);
    return s;
}

/* A copy of count ints in *to, which grows. */
static status remember(int32_t **to, const int32_t *from, int64_t count)
{
    int32_t *memory = realloc(*to, (size_t)count * sizeof(int32_t));
    if (!memory) FAIL(STATUS_INTERNAL, "no memory for a decoder's rows");
    memcpy(memory, from, (size_t)count * sizeof(int32_t));
    *to = memory;
    return NULL;
}

static status rows_begin(struct t5_decoder *decoder, int64_t rows, const int32_t *row_history,
                         int64_t max_steps)
{
    if (rows < 1 || max_steps < 1)
        FAIL(STATUS_INTERNAL, "decoding %lld rows of at most %lld steps", (long long)rows,
             (long long)max_steps);
    if (rows > INT32_MAX / max_steps)
        FAIL(STATUS_INPUT, "%lld replies of %lld tokens are more than a decoder can hold",
             (long long)rows, (long long)max_steps);
    for (int64_t r = 0; r < rows; r++)
        if (row_history[r] < 0 || row_history[r] >= decoder->histories)
            FAIL(STATUS_INTERNAL, "row %lld names history %d", (long long)r, row_history[r]);
    TRY(remember(&decoder->host_history, row_history, rows));
    TRY(remember(&decoder->host_slot, row_history, rows));
    for (int64_t r = 0; r < rows; r++) decoder->host_slot[r] = (int32_t)r;
    decoder->rows = decoder->slots = rows;
    decoder->max_steps = max_steps;
    decoder->steps = 0;
    return upload_integers(decoder, NULL);
}

static real *layer_cross_kv(const struct t5_decoder *decoder, int64_t layer)
{
    const struct t5_shape *s = &decoder->model->shape;
    return real_at(decoder->model->queue, decoder->cross_kv,
                   layer * decoder->run->history_tokens * 2 * s->heads * s->d_kv);
}

status t5_decoder_begin(struct t5_decoder *decoder, int64_t histories, const int32_t *history_begin,
                        const int32_t *history_tokens, int64_t rows, const int32_t *row_history,
                        int64_t max_steps, int64_t capture_layers)
{
    struct t5 *model = decoder->model;
    struct queue *q = model->queue;
    struct t5_batch batch = {
        .histories = histories, .history_begin = history_begin, .history_tokens = history_tokens};
    decoder->rows = 0;
    TRY(t5_forward(decoder->run, &batch, false, capture_layers));
    TRY(remember(&decoder->host_begin, history_begin, histories + 1));
    decoder->histories = histories;
    decoder->capture_layers = capture_layers;
    TRY(rows_begin(decoder, rows, row_history, max_steps));
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_floats(decoder, &cut);
    TRY(buffer_reserve(q, &decoder->floats, cut.used));
    cut = t5_cut_begin(q, decoder->floats.data);
    cut_floats(decoder, &cut);
    if (decoder->capture)
        q->op->zero(q, decoder->capture,
                    (size_t)(rows * decoder->run->longest_history) * sizeof(float));
    t5_relative_bias(model, &model->decoder, decoder->bias, max_steps);
    for (int64_t i = 0; i < model->decoder.layers; i++)
        q->op->matmul(q, layer_cross_kv(decoder, i), decoder->run->encoder_output,
                      model->decoder.layer[i].matrix[CROSS_KV].packed, decoder->run->history_tokens,
                      false);
    return NULL;
}

/* One query a row, standing behind its cached keys. */
static void self_attention(struct t5_decoder *decoder, int64_t index,
                           const struct t5_activations *a)
{
    struct queue *q = decoder->model->queue;
    const struct t5_shape *s = &decoder->model->shape;
    int64_t inner = s->heads * s->d_kv;
    int64_t slot_stride = decoder->max_steps * 2 * inner;
    real *cache = real_at(q, decoder->cache, index * decoder->slots * slot_stride);
    q->op->cache_append(q, cache, slot_stride, decoder->slot, decoder->step,
                        real_at(q, a->qkv, inner), 3 * inner, decoder->rows, 2 * inner,
                        q->real_bytes);
    struct attention attention = {
        .segments = decoder->rows,
        .heads = s->heads,
        .head_dim = s->d_kv,
        .query_rows = decoder->rows,
        .query_begin = decoder->query_begin,
        .key_begin = decoder->key_begin,
        .key_end = decoder->key_end,
        .q = a->qkv,
        .k = cache,
        .v = real_at(q, cache, inner),
        .q_stride = 3 * inner,
        .k_stride = 2 * inner,
        .v_stride = 2 * inner,
        .bias = decoder->bias,
        .bias_span = decoder->max_steps,
        .causal = true,
        .out = a->self_out,
    };
    q->op->attention(q, &attention);
}

/* Rows side by side of one history are one segment: its keys are read once for all. */
static void cross_attention(struct t5_decoder *decoder, int64_t index,
                            const struct t5_activations *a)
{
    struct queue *q = decoder->model->queue;
    const struct t5_shape *s = &decoder->model->shape;
    int64_t inner = s->heads * s->d_kv, first = s->decoder_layers - decoder->capture_layers;
    const real *kv = layer_cross_kv(decoder, index);
    struct attention attention = {
        .segments = decoder->segments,
        .heads = s->heads,
        .head_dim = s->d_kv,
        .query_rows = decoder->rows,
        .query_begin = decoder->cross_query_begin,
        .key_begin = decoder->cross_key_begin,
        .key_end = decoder->cross_key_end,
        .q = a->cross_q,
        .k = kv,
        .v = real_at(q, kv, inner),
        .q_stride = inner,
        .k_stride = 2 * inner,
        .v_stride = 2 * inner,
        .out = a->cross_out,
        .capture = index >= first ? decoder->capture : NULL,
        .capture_stride = decoder->run->longest_history,
        .capture_accumulate = index > first,
    };
    q->op->attention(q, &attention);
}

status t5_decoder_step(struct t5_decoder *decoder)
{
    struct t5 *model = decoder->model;
    struct queue *q = model->queue;
    const struct t5_shape *s = &model->shape;
    int64_t rows = decoder->rows;
    if (rows == 0) FAIL(STATUS_INTERNAL, "a decoding step without rows");
    if (decoder->steps >= decoder->max_steps)
        FAIL(STATUS_INTERNAL, "decoding past %lld steps", (long long)decoder->max_steps);
    decoder->steps++;
    q->op->advance(q, decoder->step, 1, rows);
    q->op->advance(q, decoder->key_end, 1, rows);
    q->op->embedding(q, decoder->layer[0].x_in, model->parameters.values + model->shared,
                     decoder->input, rows, s->d_model);
    for (int64_t i = 0; i < s->decoder_layers; i++) {
        const struct t5_activations *a = &decoder->layer[i];
        const struct t5_layer *layer = &model->decoder.layer[i];
        t5_layer_self_project(model, layer, a, rows);
        self_attention(decoder, i, a);
        t5_layer_self_close(model, layer, a, rows);
        t5_layer_cross_project(model, layer, a, rows);
        cross_attention(decoder, i, a);
        t5_layer_cross_close(model, layer, a, rows);
        t5_layer_feed_forward(model, layer, a, rows);
    }
    t5_head(model, decoder->layer[0].x_out, decoder->normed, NULL, decoder->scaled, decoder->logits,
            rows);
    return NULL;
}

/* Rows move up; their slots stay, so no cache is copied. */
status t5_decoder_keep(struct t5_decoder *decoder, const int32_t *rows, int64_t count)
{
    struct queue *q = decoder->model->queue;
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= decoder->rows || (i > 0 && rows[i] <= rows[i - 1]))
            FAIL(STATUS_INTERNAL, "row %d kept of %lld, or out of order", rows[i],
                 (long long)decoder->rows);
    if (count == decoder->rows) return NULL;
    int32_t *inputs = calloc((size_t)decoder->rows, sizeof(int32_t));
    if (!inputs) FAIL(STATUS_INTERNAL, "no memory for a decoder's rows");
    q->op->download(q, inputs, decoder->input, (size_t)decoder->rows * sizeof(int32_t));
    status s = q->op->synchronize(q);
    if (!s) {
        for (int64_t i = 0; i < count; i++) {
            inputs[i] = inputs[rows[i]];
            decoder->host_slot[i] = decoder->host_slot[rows[i]];
            decoder->host_history[i] = decoder->host_history[rows[i]];
        }
        decoder->rows = count;
        s = upload_integers(decoder, inputs);
    }
    free(inputs);
    return s;
}

float *t5_decoder_logits(struct t5_decoder *decoder)
{
    return decoder->logits;
}

const float *t5_decoder_capture(struct t5_decoder *decoder, int64_t *stride)
{
    *stride = decoder->run->longest_history;
    return decoder->capture;
}

int32_t *t5_decoder_input(struct t5_decoder *decoder)
{
    return decoder->input;
}

const int32_t *t5_decoder_step_of_row(struct t5_decoder *decoder)
{
    return decoder->step;
}

const int32_t *t5_decoder_history_of_row(struct t5_decoder *decoder)
{
    return decoder->history;
}

const int32_t *t5_decoder_key_begin(struct t5_decoder *decoder)
{
    return decoder->run->history_begin;
}

const int32_t *t5_decoder_key_end(struct t5_decoder *decoder)
{
    return decoder->run->history_begin + 1;
}

int64_t t5_decoder_rows(const struct t5_decoder *decoder)
{
    return decoder->rows;
}
