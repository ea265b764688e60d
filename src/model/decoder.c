/* The rows of a decoding whatever the family: their slots, histories, key ranges and steps.
 * A step reads its position and key ranges from device arrays that it advances itself, and on
 * queues with graphs its other arguments stay the same from batch to batch (model_decoder_limits),
 * so that a step can be recorded once and replayed.  Nothing here waits for the device between
 * steps. */
#include "src/model/decoder.h"

#include "src/base/heartbeat.h"
#include "src/base/memory.h"
#include "src/model/decoder_state.h"

#include <stdlib.h>
#include <string.h>

status model_decoder_create(struct model *model, struct model_decoder **out)
{
    if (model->head.n == 0) FAIL(STATUS_INTERNAL, "decoding asked of a model without replies");
    struct model_decoder *decoder = memory_allocate(model->family->decoder_size);
    decoder->model = model;
    decoder->captured.kind = MEMORY_CAPTURE;
    status s = model->family->decoder_create(decoder);
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
    struct buffer *all[] = {&decoder->activations, &decoder->captured, &decoder->integers};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_release(q, all[i]);
    for (int i = 0; i < DECODER_IMAGES; i++) host_buffer_release(q, &decoder->image[i]);
    decoder->model->family->decoder_release(decoder);
    free(decoder->host_slot);
    free(decoder->host_history);
    free(decoder->host_begin);
    free(decoder);
}

int64_t decoder_capture_stride(const struct model_decoder *decoder)
{
    const struct model_decoder_limits *limits = &decoder->limits;
    return limits->longest_history + (decoder->model->family->causal ? limits->steps : 0);
}

static void place_activations(struct model_decoder *decoder, struct workspace *workspace)
{
    decoder->model->family->decoder_place(decoder, workspace);
    decoder->logits =
        workspace_floats(workspace, decoder->limits.rows * decoder->model->shape->vocabulary);
}

static void place_captured(struct model_decoder *decoder, struct workspace *workspace)
{
    const struct model_decoder_limits *limits = &decoder->limits;
    decoder->capture = NULL;
    if (limits->capture_layers > 0)
        decoder->capture =
            workspace_floats(workspace, limits->rows * decoder_capture_stride(decoder));
}

static void place_integers(struct model_decoder *decoder, struct workspace *workspace)
{
    const int64_t rows = decoder->limits.rows;
    decoder->history_begin = workspace_ints(workspace, decoder->limits.histories + 1);
    decoder->slot = workspace_ints(workspace, rows);
    decoder->history = workspace_ints(workspace, rows);
    decoder->step = workspace_ints(workspace, rows);
    decoder->query_begin = workspace_ints(workspace, rows + 1);
    decoder->model->family->decoder_place_integers(decoder, workspace);
    decoder->moves = workspace_ints(workspace, rows);
    decoder->input = workspace_ints(workspace, rows); /* the rest is not uploaded when rows leave */
    decoder->moved = workspace_ints(workspace, 2 * rows);
}

status decoder_place_in(struct model_decoder *decoder, struct buffer *buffer,
                        void (*place_all)(struct model_decoder *, struct workspace *))
{
    struct queue *q = decoder->model->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place_all(decoder, &workspace);
    const void *before = buffer->data;
    TRY(buffer_reserve(q, buffer, workspace.used));
    if (buffer->data != before) decoder->layout++;
    workspace = workspace_begin(q, buffer->data);
    place_all(decoder, &workspace);
    return NULL;
}

/* `now` where steps are recorded and that is enough for `need`; else `need`, or its bucket. */
static int64_t decoder_grown(const struct model_decoder *decoder, int64_t now, int64_t need,
                             bool to_bucket)
{
    return decoder->model->queue->op->graph_begin ? size_grown(now, need, to_bucket) : need;
}

/* The limits to lay memory out for, where `need` is needed.  Those of steps that are recorded only
 * grow; `more`: to the next bucket, so that it happens seldom. */
static struct model_decoder_limits limits_for(const struct model_decoder *decoder,
                                              const struct model_decoder_limits *need, bool more)
{
    const struct model_decoder_limits *now = &decoder->limits;
    return (struct model_decoder_limits){
        .histories = decoder_grown(decoder, now->histories, need->histories, more),
        .history_tokens = decoder_grown(decoder, now->history_tokens, need->history_tokens, more),
        .longest_history =
            decoder_grown(decoder, now->longest_history, need->longest_history, more),
        .cuts = decoder_grown(decoder, now->cuts, need->cuts, more),
        .summary_slots = decoder_grown(decoder, now->summary_slots, need->summary_slots, false),
        .rows = decoder_grown(decoder, now->rows, need->rows, true),
        .steps = decoder_grown(decoder, now->steps, need->steps, false),
        .capture_layers = decoder_grown(decoder, now->capture_layers, need->capture_layers, false)};
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
    TRY(decoder_place_in(decoder, &decoder->activations, place_activations));
    TRY(decoder_place_in(decoder, &decoder->captured, place_captured));
    return decoder_place_in(decoder, &decoder->integers, place_integers);
}

status model_decoder_reserve(struct model_decoder *decoder,
                             const struct model_decoder_limits *limits)
{
    TRY(places_make(decoder, limits, false));
    return decoder->model->family->decoder_reserve(decoder, limits);
}

void model_decoder_cache(struct model_decoder *decoder, int64_t tokens)
{
    decoder->cache_tokens = tokens;
}

/* Fills an image of the integers (the decoder's pointers point into it) from host_slot,
 * host_history and the number of steps done.  Inputs are those of step 0. */
static void fill_rows(struct model_decoder *decoder)
{
    memcpy(decoder->history_begin, decoder->host_begin,
           (size_t)(decoder->histories + 1) * sizeof(int32_t));
    for (int64_t r = 0; r < decoder->rows; r++) {
        decoder->input[r] = decoder->model->shape->start;
        decoder->slot[r] = decoder->host_slot[r];
        decoder->history[r] = decoder->host_history[r];
        decoder->step[r] = (int32_t)(decoder->steps - 1);
        decoder->query_begin[r] = (int32_t)r;
    }
    decoder->query_begin[decoder->rows] = (int32_t)decoder->rows;
    decoder->model->family->decoder_fill_integers(decoder);
}

/* Uploads the rows, with their inputs when `moves` is NULL, from an image that no upload
 * reads any more. */
static status upload_rows(struct model_decoder *decoder, const int32_t *moves, int64_t move_count)
{
    struct queue *q = decoder->model->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place_integers(decoder, &workspace);
    const int at = decoder->image_next;
    decoder->image_next = (at + 1) % DECODER_IMAGES;
    q->op->mark_wait(q, MARK_DECODER + at);
    TRY(host_buffer_reserve(q, &decoder->image[at], workspace.used));
    char *image = decoder->image[at].data;
    memset(image, 0, workspace.used);
    workspace = workspace_begin(q, image);
    place_integers(decoder, &workspace);
    fill_rows(decoder);
    if (moves) memcpy(decoder->moves, moves, (size_t)move_count * sizeof *moves);
    const char *end = (const char *)(moves ? decoder->input : decoder->moved);
    q->op->upload(q, decoder->integers.data, image, (size_t)(end - image));
    q->op->mark(q, MARK_DECODER + at);
    workspace = workspace_begin(q, decoder->integers.data);
    place_integers(decoder, &workspace);
    return NULL;
}

/* A copy of count ints in *to, which grows. */
static void remember(int32_t **to, const int32_t *from, int64_t count)
{
    *to = memory_resize(*to, (size_t)count * sizeof(int32_t));
    memcpy(*to, from, (size_t)count * sizeof(int32_t));
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

/* The largest of a batch's histories, by tokens and by cuts; rows and steps are the caller's. */
static status batch_measure(const struct model_batch *batch, struct model_decoder_limits *need)
{
    if (batch->histories < 1) FAIL(STATUS_INTERNAL, "a batch without histories");
    need->histories = batch->histories;
    need->history_tokens = batch->history_begin[batch->histories];
    for (int64_t h = 0; h < batch->histories; h++) {
        const int64_t tokens = (int64_t)batch->history_begin[h + 1] - batch->history_begin[h];
        const int64_t cuts =
            batch->cut_begin ? (int64_t)batch->cut_begin[h + 1] - batch->cut_begin[h] : 0;
        if (tokens < 1) FAIL(STATUS_INPUT, "history %lld of the batch has no tokens", (long long)h);
        if (tokens > need->longest_history) need->longest_history = tokens;
        if (cuts > need->cuts) need->cuts = cuts;
    }
    return NULL;
}

status model_decoder_begin(struct model_decoder *decoder, const struct model_batch *batch,
                           int64_t rows, const int32_t *row_history, int64_t max_steps,
                           int64_t capture_layers)
{
    struct queue *q = decoder->model->queue;
    struct model_decoder_limits need = {
        .rows = rows, .steps = max_steps, .capture_layers = capture_layers};
    decoder->rows = 0;
    decoder->histories = batch->histories;
    decoder->capture_layers = capture_layers;
    TRY(rows_check(decoder, rows, row_history, max_steps));
    TRY(batch_measure(batch, &need));
    TRY(places_make(decoder, &need, true));
    remember(&decoder->host_begin, batch->history_begin, batch->histories + 1);
    remember(&decoder->host_history, row_history, rows);
    remember(&decoder->host_slot, row_history, rows);
    for (int64_t r = 0; r < rows; r++) decoder->host_slot[r] = (int32_t)r;
    decoder->rows = rows;
    decoder->max_steps = max_steps;
    decoder->steps = 0;
    status s = decoder->model->family->decoder_begin(decoder, batch);
    if (!s) s = upload_rows(decoder, NULL, 0);
    if (s) {
        decoder->rows = 0;
        return s;
    }
    if (capture_layers > 0)
        q->op->zero(q, decoder->capture,
                    (size_t)(rows * decoder_capture_stride(decoder)) * sizeof(float));
    return NULL;
}

void model_decoder_read_heads(struct model_decoder *decoder,
                              const struct head_statistics *statistics)
{
    decoder->statistics = statistics;
}

void model_decoder_retain(struct model_decoder *decoder, int64_t slot, const int32_t *tokens,
                          int64_t count)
{
    const struct model_family *family = decoder->model->family;
    if (family->decoder_retain && count > 0) family->decoder_retain(decoder, slot, tokens, count);
}

struct model_decoder_counts model_decoder_counts(const struct model_decoder *decoder)
{
    return decoder->counts;
}

status model_decoder_count(struct model_decoder *decoder)
{
    if (decoder->rows == 0) FAIL(STATUS_INTERNAL, "a decoding step without rows");
    if (decoder->steps >= decoder->max_steps)
        FAIL(STATUS_INTERNAL, "decoding past %lld steps", (long long)decoder->max_steps);
    decoder->steps++;
    decoder->counts.decoded += decoder->rows;
    return NULL;
}

void model_decoder_calls(struct model_decoder *decoder)
{
    struct queue *q = decoder->model->queue;
    heartbeat_note();
    q->op->advance(q, decoder->step, 1, decoder->rows, 1);
    decoder->model->family->decoder_step(decoder);
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
    int32_t *moves = memory_allocate((size_t)before * sizeof *moves);
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
    *stride = decoder_capture_stride(decoder);
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
