/* A run's memory: how large a batch is, where its integers and activations lie, what a caller may
 * read of them.  Sizes are measured first, then everything is cut off three buffers. */
#include "src/model/t5_parts.h"

#include <stdlib.h>
#include <string.h>

status model_run_create(struct model *model, struct model_run **out)
{
    struct model_run *run = calloc(1, sizeof *run);
    if (!run) FAIL(STATUS_INTERNAL, "no memory for a run");
    run->model = model;
    run->encoder = calloc((size_t)model->encoder.layers + 1, sizeof *run->encoder);
    run->decoder = calloc((size_t)model->decoder.layers + 1, sizeof *run->decoder);
    if (!run->encoder || !run->decoder) {
        model_run_destroy(run);
        FAIL(STATUS_INTERNAL, "no memory for a run");
    }
    *out = run;
    return NULL;
}

void model_run_destroy(struct model_run *run)
{
    if (!run) return;
    struct queue *q = run->model->queue;
    q->op->mark_wait(q, MARK_BATCH);
    host_buffer_release(q, &run->image);
    buffer_release(q, &run->integers);
    buffer_release(q, &run->floats);
    buffer_release(q, &run->backward);
    buffer_release(q, &run->all_logits);
    free(run->encoder);
    free(run->decoder);
    free(run);
}

/* Ranges [begin[i], begin[i+1]) from 0, none empty, ids inside the vocabulary; the longest. */
static status ranges_check(const struct model_shape *shape, const char *what, int64_t count,
                           const int32_t *begin, const int32_t *tokens, int64_t *longest)
{
    *longest = 0;
    if (begin[0] != 0) FAIL(STATUS_INTERNAL, "%s ranges begin at %d", what, begin[0]);
    for (int64_t i = 0; i < count; i++) {
        int64_t length = (int64_t)begin[i + 1] - begin[i];
        if (length < 1)
            FAIL(STATUS_INPUT, "%s %lld of the batch has no tokens", what, (long long)i);
        if (length > *longest) *longest = length;
        for (int32_t t = begin[i]; t < begin[i + 1]; t++)
            if (tokens[t] < 0 || tokens[t] >= shape->vocabulary)
                FAIL(STATUS_INPUT,
                     "%s %lld of the batch: token %d is outside the vocabulary of %lld", what,
                     (long long)i, tokens[t], (long long)shape->vocabulary);
    }
    return NULL;
}

static status batch_measure(struct model_run *run, const struct model_batch *batch)
{
    const struct model_shape *shape = &run->model->shape;
    if (batch->histories < 1) FAIL(STATUS_INTERNAL, "a batch without histories");
    TRY(ranges_check(shape, "history", batch->histories, batch->history_begin,
                     batch->history_tokens, &run->longest_history));
    run->histories = batch->histories;
    run->history_tokens = batch->history_begin[batch->histories];
    run->first_history_tokens = batch->history_begin[1];
    run->replies = batch->replies;
    run->reply_tokens = run->longest_reply = run->first_reply_tokens = 0;
    if (batch->replies == 0) return NULL;
    if (shape->decoder_layers == 0) FAIL(STATUS_INTERNAL, "replies for a model without decoder");
    TRY(ranges_check(shape, "reply", batch->replies, batch->reply_begin, batch->reply_tokens,
                     &run->longest_reply));
    run->reply_tokens = batch->reply_begin[batch->replies];
    int64_t read = 0;
    for (int64_t r = 0; r < batch->replies; r++) {
        int32_t h = batch->reply_history[r];
        if (h < 0 || h >= batch->histories || (r > 0 && h < batch->reply_history[r - 1]))
            FAIL(STATUS_INTERNAL, "reply %lld names history %d, out of range or order",
                 (long long)r, h);
        read += r == 0 || h != batch->reply_history[r - 1];
    }
    run->all_read = read == batch->histories;
    int32_t first = batch->reply_history[0];
    run->first_history_tokens = batch->history_begin[first + 1] - batch->history_begin[first];
    run->first_reply_tokens = batch->reply_begin[1];
    return NULL;
}

static void cut_integers(struct model_run *run, struct t5_cut *cut)
{
    run->history_begin = t5_cut_ints(cut, run->histories + 1);
    run->history_ids = t5_cut_ints(cut, run->history_tokens);
    run->reply_begin = t5_cut_ints(cut, run->replies + 1);
    run->input_ids = t5_cut_ints(cut, run->reply_tokens);
    run->targets = t5_cut_ints(cut, run->reply_tokens);
    run->cross_begin = t5_cut_ints(cut, run->replies);
    run->cross_end = t5_cut_ints(cut, run->replies);
}

/* Fills the host's image of the integers; the run's pointers point into it. */
static void fill_integers(const struct model_run *run, const struct model_batch *batch)
{
    size_t word = sizeof(int32_t);
    memcpy(run->history_begin, batch->history_begin, (size_t)(run->histories + 1) * word);
    memcpy(run->history_ids, batch->history_tokens, (size_t)run->history_tokens * word);
    if (run->replies == 0) return;
    memcpy(run->reply_begin, batch->reply_begin, (size_t)(run->replies + 1) * word);
    memcpy(run->targets, batch->reply_tokens, (size_t)run->reply_tokens * word);
    for (int64_t r = 0; r < run->replies; r++) {
        int32_t begin = batch->reply_begin[r], end = batch->reply_begin[r + 1];
        run->input_ids[begin] = run->model->shape.decoder_start;
        for (int32_t t = begin + 1; t < end; t++) run->input_ids[t] = batch->reply_tokens[t - 1];
        run->cross_begin[r] = batch->history_begin[batch->reply_history[r]];
        run->cross_end[r] = batch->history_begin[batch->reply_history[r] + 1];
    }
}

/* Room for the integers on the device, and for their image on the host, which is not on its way
 * any more. */
static status reserve_integers(struct model_run *run, size_t *bytes)
{
    struct queue *q = run->model->queue;
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_integers(run, &cut);
    *bytes = cut.used;
    q->op->mark_wait(q, MARK_BATCH);
    TRY(host_buffer_reserve(q, &run->image, cut.used));
    return buffer_reserve(q, &run->integers, cut.used);
}

/* One upload of all integers, through a host image of the same layout; nobody waits for it. */
static status upload_integers(struct model_run *run, const struct model_batch *batch)
{
    struct queue *q = run->model->queue;
    size_t bytes;
    TRY(reserve_integers(run, &bytes));
    memset(run->image.data, 0, bytes);
    struct t5_cut cut = t5_cut_begin(q, run->image.data);
    cut_integers(run, &cut);
    fill_integers(run, batch);
    q->op->upload(q, run->integers.data, run->image.data, bytes);
    q->op->mark(q, MARK_BATCH);
    cut = t5_cut_begin(q, run->integers.data);
    cut_integers(run, &cut);
    return NULL;
}

/* The layers of both stacks.  Unless every layer's activations are kept, encoder and decoder are
 * never at work together and take the same memory in turn. */
static void cut_layers(struct model_run *run, struct t5_cut *cut)
{
    const struct model_shape *s = &run->model->shape;
    const int64_t n = run->history_tokens, m = run->reply_tokens;
    t5_inputs_cut(cut, s, s->encoder_layers, n, run->kept, run->encoder);
    if (m > 0) t5_inputs_cut(cut, s, s->decoder_layers, m, run->kept, run->decoder);
    const size_t begin = cut->used;
    t5_layers_cut(cut, s, false, s->encoder_layers, n, 0, run->kept, run->encoder);
    if (m == 0) return;
    const size_t end = cut->used;
    if (run->kept != MODEL_KEEP_ALL) cut->used = begin;
    t5_layers_cut(cut, s, true, s->decoder_layers, m, n, run->kept, run->decoder);
    if (cut->used < end) cut->used = end;
}

static void cut_floats(struct model_run *run, struct t5_cut *cut)
{
    const struct model_shape *s = &run->model->shape;
    const int64_t n = run->history_tokens, m = run->reply_tokens, d = s->d_model;
    const int64_t rows = model_run_head_rows(run);
    run->encoder_bias = t5_cut_floats(cut, s->heads * (2 * run->longest_history - 1));
    run->encoder_inverse = t5_cut_floats(cut, n);
    run->encoder_output = t5_cut_reals(cut, n * d);
    cut_layers(run, cut);
    run->decoder_output = run->dlogits = NULL;
    run->logits = run->capture = run->maps = NULL;
    if (m == 0) return;
    run->decoder_bias = t5_cut_floats(cut, s->heads * (2 * run->longest_reply - 1));
    run->decoder_inverse = t5_cut_floats(cut, m);
    run->decoder_output = t5_cut_reals(cut, m * d);
    run->scaled = s->scale_logits ? t5_cut_reals(cut, m * d) : run->decoder_output;
    run->logits = t5_cut_floats(cut, rows * s->vocabulary);
    run->dlogits = run->logits;
    if (run->kept && cut->real_bytes != sizeof(float))
        run->dlogits = t5_cut_reals(cut, rows * s->vocabulary);
    if (run->capture_layers > 0) run->capture = t5_cut_floats(cut, m * run->longest_history);
    if (run->keep_maps)
        run->maps = t5_cut_floats(cut, s->decoder_layers * s->heads * m * run->longest_history);
}

status model_run_reserve(struct model_run *run, const struct model_limits *limits)
{
    struct queue *q = run->model->queue;
    run->done = false;
    run->histories = limits->histories;
    run->history_tokens = limits->history_tokens;
    run->longest_history = limits->longest_history;
    run->replies = limits->replies;
    run->reply_tokens = limits->reply_tokens;
    run->longest_reply = limits->longest_reply;
    run->capture_layers = limits->capture_layers;
    run->kept = limits->keep;
    size_t bytes;
    TRY(reserve_integers(run, &bytes));
    struct t5_cut floats = t5_cut_begin(q, NULL);
    cut_floats(run, &floats);
    TRY(buffer_reserve(q, &run->floats, floats.used));
    real *dscaled;
    return limits->keep ? t5_backward_reserve(run, &dscaled) : NULL;
}

status t5_run_begin(struct model_run *run, const struct model_batch *batch, enum model_keep keep,
                    int64_t capture_layers)
{
    struct queue *q = run->model->queue;
    TRY(batch_measure(run, batch));
    run->kept = keep;
    run->capture_layers = capture_layers;
    run->head_undone = 0;
    TRY(upload_integers(run, batch));
    struct t5_cut cut = t5_cut_begin(q, NULL);
    cut_floats(run, &cut);
    TRY(buffer_reserve(q, &run->floats, cut.used));
    cut = t5_cut_begin(q, run->floats.data);
    cut_floats(run, &cut);
    return NULL;
}

const real *model_run_encoder_output(const struct model_run *run)
{
    return run->encoder_output;
}

const int32_t *model_run_targets(const struct model_run *run)
{
    return run->targets;
}

const int32_t *model_run_history_begin(const struct model_run *run)
{
    return run->history_begin;
}

const float *model_run_capture(const struct model_run *run, int64_t *stride)
{
    *stride = run->longest_history;
    return run->capture;
}

void model_run_keep_maps(struct model_run *run, bool keep)
{
    run->keep_maps = keep;
}

status model_run_map(struct model_run *run, int64_t layer, int64_t head, float *host)
{
    struct queue *q = run->model->queue;
    if (!run->done || !run->maps) FAIL(STATUS_INTERNAL, "no attention maps were kept");
    int64_t stride = run->longest_history;
    const float *map =
        run->maps + (layer * run->model->shape.heads + head) * run->reply_tokens * stride;
    for (int64_t row = 0; row < run->first_reply_tokens; row++)
        q->op->download(q, host + row * run->first_history_tokens, map + row * stride,
                        (size_t)run->first_history_tokens * sizeof(float));
    return q->op->synchronize(q);
}
