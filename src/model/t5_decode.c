/* Incremental decoding.  Every row owns a slot of the self-attention caches; rows of one
 * history that stand side by side are one segment of its cross-attention.  The pieces of a
 * layer, the attention and the head are those of the teacher-forced pass, row for row, so
 * logits and captured attention are too, bit for bit.
 * A step reads its position and key ranges from device arrays that it advances itself, and on
 * queues with graphs its other arguments stay the same from batch to batch (model_decoder_limits),
 * so that a step can be recorded once and replayed.  Nothing here waits for the device between
 * steps. */
#include "src/model/t5_parts.h"

#include <stdlib.h>
#include <string.h>

/* Host images of the rows' integers: one may still be on its way while the other is filled. */
enum { IMAGES = 2 };

struct model_decoder {
    struct model *model;
    struct model_run *run;              /* the histories' encoder pass */
    struct model_decoder_limits limits; /* what everything below is cut for */
    int64_t layout;
    int64_t histories, rows, max_steps, steps, capture_layers;
    int64_t segments; /* of the cross-attention; the last ones may be empty */
    struct buffer activations, caches, captured, integers;
    struct t5_activations *layer; /* [layers] on the host, all the same place */
    float *bias;                  /* [heads, 2 limits.steps - 1] */
    real *cross_kv;               /* [layers, limits.history_tokens, 2i] */
    real *cache;                  /* [layers, slots, limits.steps, 2i] keys, then values */
    real *normed, *scaled;        /* [rows, d] */
    float *logits;                /* [rows, vocabulary] */
    float *capture;               /* [rows, limits.longest_history], or NULL */
    /* In `integers`, and in the host's images of it; limits.rows of each unless said otherwise. */
    int32_t *history_begin; /* [histories + 1] */
    int32_t *slot, *history;
    int32_t *step, *self_key_end;               /* side by side: they advance together */
    int32_t *self_query_begin, *self_key_begin; /* [rows + 1], [rows] */
    int32_t *cross_query_begin;                 /* [segments + 1] */
    int32_t *cross_key_begin, *cross_key_end;   /* [segments] */
    int32_t *moves;         /* where a row's input goes, see model_decoder_keep */
    int32_t *input, *moved; /* [rows], [2 rows] */
    struct host_buffer image[IMAGES];
    int image_next;
    /* The host's: which slot and history a row has; where histories stand. */
    int32_t *host_slot, *host_history, *host_begin;
};

status model_decoder_create(struct model *model, struct model_decoder **out)
{
    if (model->shape.decoder_layers == 0)
        FAIL(STATUS_INTERNAL, "decoding asked of a model without decoder");
    struct model_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) FAIL(STATUS_INTERNAL, "no memory for a decoder");
    decoder->model = model;
    decoder->caches.kind = MEMORY_CACHES;
    decoder->captured.kind = MEMORY_CAPTURE;
    decoder->layer = calloc((size_t)model->decoder.layers, sizeof *decoder->layer);
    status s = decoder->layer ? model_run_create(model, &decoder->run)
                              : ERROR(STATUS_INTERNAL, "no memory for a decoder");
    if (s) {
        model_decoder_destroy(decoder);
        return s;
    }
    *out = decoder;
    return NULL;
}

void model_decoder_destroy(struct model_decoder *decoder)
{
    if (!decoder) return;
    struct queue *q = decoder->model->queue;
    model_run_destroy(decoder->run);
    struct buffer *all[] = {&decoder->activations, &decoder->caches, &decoder->captured,
                            &decoder->integers};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_release(q, all[i]);
    for (int i = 0; i < IMAGES; i++) host_buffer_release(q, &decoder->image[i]);
    free(decoder->layer);
    free(decoder->host_slot);
    free(decoder->host_history);
    free(decoder->host_begin);
    free(decoder);
}

static void cut_activations(struct model_decoder *decoder, struct t5_cut *cut)
{
    const struct model_shape *s = &decoder->model->shape;
    const int64_t rows = decoder->limits.rows;
    decoder->bias = t5_cut_floats(cut, s->heads * (2 * decoder->limits.steps - 1));
    t5_activations_cut(cut, s, true, s->decoder_layers, rows, 0, false, decoder->layer);
    decoder->normed = t5_cut_reals(cut, rows * s->d_model);
    decoder->scaled = s->scale_logits ? t5_cut_reals(cut, rows * s->d_model) : decoder->normed;
    decoder->logits = t5_cut_floats(cut, rows * s->vocabulary);
}

static void cut_caches(struct model_decoder *decoder, struct t5_cut *cut)
{
    const struct model_shape *s = &decoder->model->shape;
    const struct model_decoder_limits *limits = &decoder->limits;
    const int64_t wide = s->decoder_layers * 2 * s->heads * s->d_kv;
    decoder->cross_kv = t5_cut_reals(cut, wide * limits->history_tokens);
    decoder->cache = t5_cut_reals(cut, wide * limits->rows * limits->steps);
}

static void cut_captured(struct model_decoder *decoder, struct t5_cut *cut)
{
    const struct model_decoder_limits *limits = &decoder->limits;
    decoder->capture = NULL;
    if (limits->capture_layers > 0)
        decoder->capture = t5_cut_floats(cut, limits->rows * limits->longest_history);
}

static void cut_integers(struct model_decoder *decoder, struct t5_cut *cut)
{
    const int64_t rows = decoder->limits.rows;
    decoder->history_begin = t5_cut_ints(cut, decoder->limits.histories + 1);
    decoder->slot = t5_cut_ints(cut, rows);
    decoder->history = t5_cut_ints(cut, rows);
    decoder->step = t5_cut_ints(cut, 2 * rows);
    decoder->self_key_end = decoder->step ? decoder->step + rows : NULL;
    decoder->self_query_begin = t5_cut_ints(cut, rows + 1);
    decoder->self_key_begin = t5_cut_ints(cut, rows);
    decoder->cross_query_begin = t5_cut_ints(cut, rows + 1);
    decoder->cross_key_begin = t5_cut_ints(cut, rows);
    decoder->cross_key_end = t5_cut_ints(cut, rows);
    decoder->moves = t5_cut_ints(cut, rows);
    decoder->input = t5_cut_ints(cut, rows); /* the rest is not uploaded when rows leave */
    decoder->moved = t5_cut_ints(cut, 2 * rows);
}

/* Makes room for what `cut` cuts and cuts it. */
static status place(struct model_decoder *decoder, struct buffer *buffer,
                    void (*cut_all)(struct model_decoder *, struct t5_cut *))
{
    struct queue *q = decoder->model->queue;
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_all(decoder, &cut);
    const void *before = buffer->data;
    TRY(buffer_reserve(q, buffer, cut.used));
    if (buffer->data != before) decoder->layout++;
    cut = t5_cut_begin(q, buffer->data);
    cut_all(decoder, &cut);
    return NULL;
}

/* The limits to lay memory out for, where `need` is needed.  Those of steps that are recorded only
 * grow; `more`: to the next bucket, so that it happens seldom. */
static struct model_decoder_limits limits_for(const struct model_decoder *decoder,
                                              const struct model_decoder_limits *need, bool more)
{
    const struct model_decoder_limits *now = &decoder->limits;
    if (!decoder->model->queue->op->graph_begin) return *need;
    return (struct model_decoder_limits){
        .histories = size_grown(now->histories, need->histories, more),
        .history_tokens = size_grown(now->history_tokens, need->history_tokens, more),
        .longest_history = size_grown(now->longest_history, need->longest_history, more),
        .rows = size_grown(now->rows, need->rows, true),
        .steps = size_grown(now->steps, need->steps, false),
        .capture_layers = size_grown(now->capture_layers, need->capture_layers, false)};
}

static status places_make(struct model_decoder *decoder, const struct model_decoder_limits *need,
                          bool more)
{
    const struct model_decoder_limits limits = limits_for(decoder, need, more);
    if (limits.rows > INT32_MAX / limits.steps)
        FAIL(STATUS_INPUT, "%lld replies of %lld tokens are more than a decoder can hold",
             (long long)limits.rows, (long long)limits.steps);
    if (memcmp(&limits, &decoder->limits, sizeof limits) != 0) decoder->layout++;
    decoder->limits = limits;
    TRY(place(decoder, &decoder->activations, cut_activations));
    TRY(place(decoder, &decoder->caches, cut_caches));
    TRY(place(decoder, &decoder->captured, cut_captured));
    return place(decoder, &decoder->integers, cut_integers);
}

status model_decoder_reserve(struct model_decoder *decoder,
                             const struct model_decoder_limits *limits)
{
    const struct model_limits encoder = {.histories = limits->histories,
                                         .history_tokens = limits->history_tokens,
                                         .longest_history = limits->longest_history,
                                         .capture_layers = limits->capture_layers};
    TRY(model_run_reserve(decoder->run, &encoder));
    return places_make(decoder, limits, false);
}

/* Fills an image of the integers (the decoder's pointers point into it) from host_slot,
 * host_history and the number of steps done. */
static void fill_rows(struct model_decoder *decoder)
{
    const int32_t stride = (int32_t)decoder->limits.steps;
    int64_t segments = 0;
    memcpy(decoder->history_begin, decoder->host_begin,
           (size_t)(decoder->histories + 1) * sizeof(int32_t));
    for (int64_t r = 0; r < decoder->rows; r++) {
        int32_t history = decoder->host_history[r];
        decoder->input[r] = decoder->model->shape.decoder_start;
        decoder->slot[r] = decoder->host_slot[r];
        decoder->history[r] = history;
        decoder->step[r] = (int32_t)(decoder->steps - 1);
        decoder->self_query_begin[r] = (int32_t)r;
        decoder->self_key_begin[r] = decoder->host_slot[r] * stride;
        decoder->self_key_end[r] = decoder->self_key_begin[r] + (int32_t)decoder->steps;
        if (r > 0 && history == decoder->host_history[r - 1]) continue;
        decoder->cross_query_begin[segments] = (int32_t)r;
        decoder->cross_key_begin[segments] = decoder->host_begin[history];
        decoder->cross_key_end[segments] = decoder->host_begin[history + 1];
        segments++;
    }
    decoder->self_query_begin[decoder->rows] = (int32_t)decoder->rows;
    /* Where steps are recorded, few numbers of segments are told apart: the last ones have no
     * rows. */
    decoder->segments = decoder->model->queue->op->graph_begin ? size_bucket(segments) : segments;
    for (int64_t s = segments; s <= decoder->segments; s++)
        decoder->cross_query_begin[s] = (int32_t)decoder->rows;
}

/* Uploads the rows, with their inputs when `moves` is NULL, from an image that is not on its way
 * any more. */
static status upload_rows(struct model_decoder *decoder, const int32_t *moves, int64_t move_count)
{
    struct queue *q = decoder->model->queue;
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_integers(decoder, &cut);
    const int at = decoder->image_next;
    decoder->image_next = (at + 1) % IMAGES;
    q->op->mark_wait(q, MARK_DECODER + at);
    TRY(host_buffer_reserve(q, &decoder->image[at], cut.used));
    char *image = decoder->image[at].data;
    memset(image, 0, cut.used);
    cut = t5_cut_begin(q, image);
    cut_integers(decoder, &cut);
    fill_rows(decoder);
    if (moves) memcpy(decoder->moves, moves, (size_t)move_count * sizeof *moves);
    const char *end = (const char *)(moves ? decoder->input : decoder->moved);
    q->op->upload(q, decoder->integers.data, image, (size_t)(end - image));
    q->op->mark(q, MARK_DECODER + at);
    cut = t5_cut_begin(q, decoder->integers.data);
    cut_integers(decoder, &cut);
    return NULL;
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

static status rows_check(const struct model_decoder *decoder, int64_t rows,
                         const int32_t *row_history, int64_t max_steps)
{
    if (rows < 1 || max_steps < 1)
        FAIL(STATUS_INTERNAL, "decoding %lld rows of at most %lld steps", (long long)rows,
             (long long)max_steps);
    for (int64_t r = 0; r < rows; r++)
        if (row_history[r] < 0 || row_history[r] >= decoder->histories)
            FAIL(STATUS_INTERNAL, "row %lld names history %d", (long long)r, row_history[r]);
    return NULL;
}

static status rows_begin(struct model_decoder *decoder, int64_t rows, const int32_t *row_history,
                         int64_t max_steps)
{
    TRY(remember(&decoder->host_history, row_history, rows));
    TRY(remember(&decoder->host_slot, row_history, rows));
    for (int64_t r = 0; r < rows; r++) decoder->host_slot[r] = (int32_t)r;
    decoder->rows = rows;
    decoder->max_steps = max_steps;
    decoder->steps = 0;
    return upload_rows(decoder, NULL, 0);
}

static real *layer_cross_kv(const struct model_decoder *decoder, int64_t layer)
{
    const struct model_shape *s = &decoder->model->shape;
    return real_at(decoder->model->queue, decoder->cross_kv,
                   layer * decoder->limits.history_tokens * 2 * s->heads * s->d_kv);
}

status model_decoder_begin(struct model_decoder *decoder, int64_t histories,
                           const int32_t *history_begin, const int32_t *history_tokens,
                           int64_t rows, const int32_t *row_history, int64_t max_steps,
                           int64_t capture_layers)
{
    struct model *model = decoder->model;
    struct queue *q = model->queue;
    struct model_batch batch = {
        .histories = histories, .history_begin = history_begin, .history_tokens = history_tokens};
    decoder->rows = 0;
    decoder->histories = histories;
    decoder->capture_layers = capture_layers;
    TRY(rows_check(decoder, rows, row_history, max_steps));
    TRY(model_forward(decoder->run, &batch, MODEL_KEEP_NOTHING, capture_layers));
    TRY(remember(&decoder->host_begin, history_begin, histories + 1));
    const struct model_decoder_limits need = {.histories = histories,
                                              .history_tokens = decoder->run->history_tokens,
                                              .longest_history = decoder->run->longest_history,
                                              .rows = rows,
                                              .steps = max_steps,
                                              .capture_layers = capture_layers};
    TRY(places_make(decoder, &need, true));
    TRY(rows_begin(decoder, rows, row_history, max_steps));
    if (capture_layers > 0)
        q->op->zero(q, decoder->capture,
                    (size_t)(rows * decoder->limits.longest_history) * sizeof(float));
    t5_relative_bias(model, &model->decoder, decoder->bias, decoder->limits.steps);
    for (int64_t i = 0; i < model->decoder.layers; i++)
        q->op->matmul(q, layer_cross_kv(decoder, i), decoder->run->encoder_output,
                      model->decoder.layer[i].matrix[CROSS_KV].packed, decoder->run->history_tokens,
                      false);
    return NULL;
}

/* One query a row, standing behind its cached keys. */
static void self_attention(struct model_decoder *decoder, int64_t index,
                           const struct t5_activations *a)
{
    struct queue *q = decoder->model->queue;
    const struct model_shape *s = &decoder->model->shape;
    int64_t inner = s->heads * s->d_kv;
    int64_t slot_stride = decoder->limits.steps * 2 * inner;
    real *cache = real_at(q, decoder->cache, index * decoder->limits.rows * slot_stride);
    q->op->cache_append(q, cache, slot_stride, decoder->slot, decoder->step,
                        real_at(q, a->qkv, inner), 3 * inner, decoder->rows, 2 * inner,
                        q->real_bytes);
    struct attention attention = {
        .segments = decoder->rows,
        .heads = s->heads,
        .head_dim = s->d_kv,
        .query_rows = decoder->rows,
        .query_begin = decoder->self_query_begin,
        .key_begin = decoder->self_key_begin,
        .key_end = decoder->self_key_end,
        .q = a->qkv,
        .k = cache,
        .v = real_at(q, cache, inner),
        .q_stride = 3 * inner,
        .k_stride = 2 * inner,
        .v_stride = 2 * inner,
        .bias = decoder->bias,
        .bias_span = decoder->limits.steps,
        .causal = true,
        .out = a->self_out,
    };
    q->op->attention(q, &attention);
}

/* Rows side by side of one history are one segment: its keys are read once for all. */
static void cross_attention(struct model_decoder *decoder, int64_t index,
                            const struct t5_activations *a)
{
    struct queue *q = decoder->model->queue;
    const struct model_shape *s = &decoder->model->shape;
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
        .capture_stride = decoder->limits.longest_history,
        .capture_accumulate = index > first,
    };
    q->op->attention(q, &attention);
}

status model_decoder_count(struct model_decoder *decoder)
{
    if (decoder->rows == 0) FAIL(STATUS_INTERNAL, "a decoding step without rows");
    if (decoder->steps >= decoder->max_steps)
        FAIL(STATUS_INTERNAL, "decoding past %lld steps", (long long)decoder->max_steps);
    decoder->steps++;
    return NULL;
}

void model_decoder_calls(struct model_decoder *decoder)
{
    struct model *model = decoder->model;
    struct queue *q = model->queue;
    const struct model_shape *s = &model->shape;
    const int64_t rows = decoder->rows;
    q->op->advance(q, decoder->step, 1, 2 * decoder->limits.rows); /* and self_key_end */
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
}

status model_decoder_step(struct model_decoder *decoder)
{
    TRY(model_decoder_count(decoder));
    model_decoder_calls(decoder);
    return NULL;
}

/* Rows move up; their slots stay, so no cache is copied.  Their inputs, which the host may not know
 * yet, go through `moved`: those of dropped rows behind its first limits.rows places. */
status model_decoder_keep(struct model_decoder *decoder, const int32_t *rows, int64_t count)
{
    struct queue *q = decoder->model->queue;
    const int64_t before = decoder->rows;
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= before || (i > 0 && rows[i] <= rows[i - 1]))
            FAIL(STATUS_INTERNAL, "row %d kept of %lld, or out of order", rows[i],
                 (long long)before);
    if (count == before) return NULL;
    decoder->rows = count;
    if (count == 0) return NULL;
    int32_t *moves = calloc((size_t)before, sizeof *moves);
    if (!moves) FAIL(STATUS_INTERNAL, "no memory for a decoder's rows");
    for (int64_t r = 0; r < before; r++) moves[r] = (int32_t)(decoder->limits.rows + r);
    for (int64_t i = 0; i < count; i++) {
        moves[rows[i]] = (int32_t)i;
        decoder->host_slot[i] = decoder->host_slot[rows[i]];
        decoder->host_history[i] = decoder->host_history[rows[i]];
    }
    status s = upload_rows(decoder, moves, before);
    free(moves);
    if (s) return s;
    q->op->cache_append(q, decoder->moved, 0, decoder->slot, decoder->moves, decoder->input, 1,
                        before, 1, sizeof *decoder->input);
    q->op->copy(q, decoder->input, decoder->moved, (size_t)count * sizeof *decoder->input);
    return NULL;
}

struct model_decoder_shape model_decoder_shape(const struct model_decoder *decoder)
{
    return (struct model_decoder_shape){.layout = decoder->layout,
                                        .rows = decoder->rows,
                                        .segments = decoder->segments,
                                        .capture_layers = decoder->capture_layers};
}

float *model_decoder_logits(struct model_decoder *decoder)
{
    return decoder->logits;
}

const float *model_decoder_capture(struct model_decoder *decoder, int64_t *stride)
{
    *stride = decoder->limits.longest_history;
    return decoder->capture;
}

int32_t *model_decoder_input(struct model_decoder *decoder)
{
    return decoder->input;
}

const int32_t *model_decoder_step_of_row(struct model_decoder *decoder)
{
    return decoder->step;
}

const int32_t *model_decoder_slot_of_row(struct model_decoder *decoder)
{
    return decoder->slot;
}

const int32_t *model_decoder_history_of_row(struct model_decoder *decoder)
{
    return decoder->history;
}

const int32_t *model_decoder_key_begin(struct model_decoder *decoder)
{
    return decoder->history_begin;
}

const int32_t *model_decoder_key_end(struct model_decoder *decoder)
{
    return decoder->history_begin + 1;
}

int64_t model_decoder_rows(const struct model_decoder *decoder)
{
    return decoder->rows;
}

int64_t model_decoder_steps(const struct model_decoder *decoder)
{
    return decoder->steps;
}
