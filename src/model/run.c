/* Passes over a batch whatever the family: how large it is, where its integers and activations lie,
 * the head, and what a caller may read.  A run's workspace is one buffer: the family's places, then
 * the head's. */
#include "src/model/run.h"

#include "src/base/heartbeat.h"
#include "src/base/memory.h"
#include "src/model/run_state.h"

#include <stdlib.h>
#include <string.h>

status model_run_create(struct model *model, struct model_run **out)
{
    struct model_run *run = memory_allocate(model->family->run_size);
    run->model = model;
    model->family->run_create(run);
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
    buffer_release(q, &run->workspace);
    buffer_release(q, &run->all_logits);
    run->model->family->run_release(run);
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
    const struct model_shape *shape = run->model->shape;
    if (batch->histories < 1) FAIL(STATUS_INTERNAL, "a batch without histories");
    TRY(ranges_check(shape, "history", batch->histories, batch->history_begin,
                     batch->history_tokens, &run->longest_history));
    run->histories = batch->histories;
    run->history_tokens = batch->history_begin[batch->histories];
    run->replies = batch->replies;
    run->reply_tokens = run->longest_reply = run->first_reply_tokens = 0;
    if (batch->replies == 0) return NULL;
    if (run->model->head.n == 0) FAIL(STATUS_INTERNAL, "replies for a model without any");
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
    run->first_reply_tokens = batch->reply_begin[1];
    return NULL;
}

/* A row of attention is over the history; of a causal model over the reply too, up to the row's own
 * token. */
static void keys_measure(struct model_run *run, const struct model_batch *batch)
{
    const bool causal = run->model->family->causal;
    run->hidden_rows = causal ? run->histories : run->history_tokens;
    run->captured_keys = run->longest_history;
    if (run->replies == 0) return;
    const int32_t first = batch->reply_history[0];
    run->first_keys = batch->history_begin[first + 1] - batch->history_begin[first];
    if (!causal) return;
    run->first_keys += run->first_reply_tokens - 1;
    run->captured_keys = 0;
    for (int64_t r = 0; r < run->replies; r++) {
        const int32_t h = batch->reply_history[r];
        const int64_t keys = batch->history_begin[h + 1] - batch->history_begin[h] +
                             batch->reply_begin[r + 1] - batch->reply_begin[r] - 1;
        if (keys > run->captured_keys) run->captured_keys = keys;
    }
}

static void place_integers(struct model_run *run, struct workspace *workspace)
{
    run->hidden_begin = workspace_ints(workspace, run->histories + 1);
    run->targets = workspace_ints(workspace, run->reply_tokens);
    run->model->family->run_place_integers(run, workspace);
}

/* Fills the host's image of the integers; the run's pointers point into it. */
static void fill_integers(const struct model_run *run, const struct model_batch *batch)
{
    for (int64_t h = 0; h <= run->histories; h++)
        run->hidden_begin[h] = run->model->family->causal ? (int32_t)h : batch->history_begin[h];
    if (run->replies)
        memcpy(run->targets, batch->reply_tokens, (size_t)run->reply_tokens * sizeof(int32_t));
    run->model->family->run_fill_integers(run, batch);
}

/* Room for the integers on the device, and for their image on the host, which no upload reads
 * any more. */
static status reserve_integers(struct model_run *run, size_t *bytes)
{
    struct queue *q = run->model->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place_integers(run, &workspace);
    *bytes = workspace.used;
    q->op->mark_wait(q, MARK_BATCH);
    TRY(host_buffer_reserve(q, &run->image, workspace.used));
    return buffer_reserve(q, &run->integers, workspace.used);
}

/* One upload of all integers, through a host image of the same layout; nobody waits for it. */
static status upload_integers(struct model_run *run, const struct model_batch *batch)
{
    struct queue *q = run->model->queue;
    size_t bytes;
    TRY(reserve_integers(run, &bytes));
    memset(run->image.data, 0, bytes);
    struct workspace workspace = workspace_begin(q, run->image.data);
    place_integers(run, &workspace);
    fill_integers(run, batch);
    q->op->upload(q, run->integers.data, run->image.data, bytes);
    q->op->mark(q, MARK_BATCH);
    workspace = workspace_begin(q, run->integers.data);
    place_integers(run, &workspace);
    return NULL;
}

static void place_all(struct model_run *run, struct workspace *workspace)
{
    const struct model_shape *s = run->model->shape;
    const int64_t m = run->reply_tokens, rows = model_run_head_rows(run);
    run->head_input = run->dhead_input = run->dlogits = NULL;
    run->logits = run->capture = run->self_capture = run->maps = NULL;
    run->model->family->run_place(run, workspace);
    if (m == 0 || run->states_only) return;
    if (run->keep) run->dhead_input = workspace_reals(workspace, m * s->width);
    run->logits = workspace_floats(workspace, rows * s->vocabulary);
    run->dlogits = run->logits;
    if (run->keep && workspace->real_bytes != sizeof(float))
        run->dlogits = workspace_reals(workspace, rows * s->vocabulary);
    if (run->capture_layers > 0) run->capture = workspace_floats(workspace, m * run->captured_keys);
    if (run->capture_layers > 0 && run->capture_self && !run->model->family->causal)
        run->self_capture = workspace_floats(workspace, m * run->longest_reply);
    if (run->keep_maps)
        run->maps = workspace_floats(workspace, s->layers * s->heads * m * run->captured_keys);
}

/* Room for the present batch (or for the largest), placed. */
static status workspace_make(struct model_run *run)
{
    struct queue *q = run->model->queue;
    struct workspace workspace = workspace_begin(q, NULL);
    place_all(run, &workspace);
    TRY(buffer_reserve(q, &run->workspace, workspace.used));
    workspace = workspace_begin(q, run->workspace.data);
    place_all(run, &workspace);
    return NULL;
}

status model_run_reserve(struct model_run *run, const struct model_limits *limits)
{
    run->done = false;
    run->histories = limits->histories;
    run->history_tokens = limits->history_tokens;
    run->longest_history = limits->longest_history;
    run->replies = limits->replies;
    run->reply_tokens = limits->reply_tokens;
    run->longest_reply = limits->longest_reply;
    run->capture_layers = limits->capture_layers;
    run->keep = limits->keep;
    const bool causal = run->model->family->causal;
    run->hidden_rows = causal ? run->histories : run->history_tokens;
    run->captured_keys = run->longest_history + (causal ? run->longest_reply : 0);
    if (run->model->family->run_limit) run->model->family->run_limit(run, limits);
    size_t bytes;
    TRY(reserve_integers(run, &bytes));
    return workspace_make(run);
}

status model_forward(struct model_run *run, const struct model_batch *batch, enum model_keep keep,
                     int64_t capture_layers)
{
    struct model *model = run->model;
    run->done = false;
    if (keep && !model->with_gradients)
        FAIL(STATUS_INTERNAL, "activations kept for a model created without gradients");
    if (capture_layers < 0 || capture_layers > model->shape->layers)
        FAIL(STATUS_INPUT, "attention of the last %lld layers asked of a decoder with %lld",
             (long long)capture_layers, (long long)model->shape->layers);
    TRY(batch_measure(run, batch));
    keys_measure(run, batch);
    if (model->family->run_measure) TRY(model->family->run_measure(run, batch));
    run->keep = keep;
    run->capture_layers = capture_layers;
    run->head_backward_rows = 0;
    TRY(upload_integers(run, batch));
    TRY(workspace_make(run));
    if (run->capture)
        model->queue->op->zero(model->queue, run->capture,
                               (size_t)(run->reply_tokens * run->captured_keys) * sizeof(float));
    if (run->self_capture)
        model->queue->op->zero(model->queue, run->self_capture,
                               (size_t)(run->reply_tokens * run->longest_reply) * sizeof(float));
    heartbeat_note();
    model->family->forward(run);
    run->done = true;
    return NULL;
}

/* Families say what is final by the places of all parameters; adapters stand in the order of their
 * layers. */
struct adapter_ready {
    const struct model *model;
    const struct model_watermark *watermark;
    int64_t last; /* said so far */
};

static void adapter_ready(void *context, int64_t offset)
{
    struct adapter_ready *ready = context;
    const struct model *model = ready->model;
    for (int64_t i = 0; i < model->linear_count; i++) {
        const struct linear *w = model->linears[i];
        if (!w->adapter || w->offset < offset) continue;
        if (w->adapter->a < ready->last) watermark_ready(ready->watermark, w->adapter->a);
        ready->last = w->adapter->a;
        return;
    }
}

status model_backward(struct model_run *run, const real *dhidden, float *gradients,
                      const struct model_watermark *watermark)
{
    struct adapter_ready ready = {run->model, watermark, model_trained(run->model)->size};
    const struct model_watermark adapters = {adapter_ready, &ready};
    const bool replies = run->head_backward_rows > 0;
    if (!run->done || !run->keep) FAIL(STATUS_INTERNAL, "no activations were kept for backward");
    if (!replies && !dhidden) FAIL(STATUS_INTERNAL, "a backward pass of no gradient");
    if (replies && run->head_backward_rows != run->reply_tokens)
        FAIL(STATUS_INTERNAL, "a backward pass with %lld of %lld rows through the head",
             (long long)run->head_backward_rows, (long long)run->reply_tokens);
    heartbeat_note();
    run->model->family->backward(run, replies, dhidden, gradients,
                                 run->model->base ? &adapters : watermark);
    if (!run->model->base || ready.last > 0) watermark_ready(watermark, 0);
    run->head_backward_rows = 0;
    return NULL;
}

int64_t model_run_tokens(const struct model_run *run)
{
    return run->history_tokens + run->reply_tokens;
}

const real *model_run_hidden(const struct model_run *run)
{
    return run->hidden;
}

const int32_t *model_run_targets(const struct model_run *run)
{
    return run->targets;
}

const float *model_run_capture(const struct model_run *run, int64_t *stride)
{
    *stride = run->captured_keys;
    return run->capture;
}

void model_run_read_states(struct model_run *run, int64_t layers)
{
    run->states_only = true;
    run->state_layers = layers;
}

const real *model_run_states(const struct model_run *run)
{
    return run->replies ? run->head_input : run->hidden;
}

void model_run_read_heads(struct model_run *run, const struct head_statistics *statistics)
{
    run->statistics = statistics;
}

void model_run_watch(struct model_run *run, const struct attention_watch *watch)
{
    run->watch = watch;
}

void model_token_rows(const struct model *model, const struct model_batch *batch, int32_t *rows)
{
    const int32_t *begin = batch->history_begin;
    const int64_t histories = batch->histories, before_last = begin[histories] - histories;
    for (int64_t h = 0; h < histories; h++)
        for (int32_t t = begin[h]; t < begin[h + 1]; t++) {
            const bool last = t == begin[h + 1] - 1; /* a causal model's stand behind all others */
            rows[t] = !model->family->causal ? t : (int32_t)(last ? before_last + h : t - h);
        }
}

void model_run_capture_self(struct model_run *run, bool capture)
{
    run->capture_self = capture;
}

const float *model_run_self_capture(const struct model_run *run, int64_t *stride)
{
    *stride = run->longest_reply;
    return run->self_capture;
}

void model_run_keep_maps(struct model_run *run, bool keep)
{
    run->keep_maps = keep;
}

status model_run_map(struct model_run *run, int64_t layer, int64_t head, float *host)
{
    struct queue *q = run->model->queue;
    if (!run->done || !run->maps) FAIL(STATUS_INTERNAL, "no attention maps were kept");
    const int64_t stride = run->captured_keys;
    const float *map =
        run->maps + (layer * run->model->shape->heads + head) * run->reply_tokens * stride;
    for (int64_t row = 0; row < run->first_reply_tokens; row++)
        q->op->download(q, host + row * run->first_keys, map + row * stride,
                        (size_t)run->first_keys * sizeof(float));
    return q->op->synchronize(q);
}

/* Bounds the logits that exist at once, with their gradients: those of a whole batch would be the
 * largest array there is (1,024 reply tokens of a vocabulary of 32,128: 132 MB, and half of that
 * again for bf16 gradients), and no more of them are needed at once than fill the device. */
enum { LOGITS_BYTES = 128 << 20 };

/* A whole number of the CPU's blocks of 256 rows, so that the gradient of the head's weights is
 * the same sum in the same order as in one piece; where a vocabulary is too large for that, of 64.
 */
int64_t model_run_head_rows(const struct model_run *run)
{
    const size_t real_bytes = run->model->queue->real_bytes;
    const int64_t bytes = (int64_t)(4 + (real_bytes == 4 ? 0 : real_bytes));
    int64_t rows = LOGITS_BYTES / (run->model->shape->vocabulary * bytes);
    rows = rows >= 256 ? rows / 256 * 256 : rows / 64 * 64;
    if (rows < 64) rows = 64;
    if (run->head_row_limit > 0) rows = run->head_row_limit;
    return rows < run->reply_tokens ? rows : run->reply_tokens;
}

void model_run_limit_head(struct model_run *run, int64_t rows)
{
    run->head_row_limit = rows;
}

static void logits_of(struct model_run *run, float *logits, int64_t first, int64_t rows)
{
    const struct model *model = run->model;
    linear_forward_float(model->queue, &model->head, logits,
                         real_at(model->queue, run->head_input, first * model->shape->width), rows,
                         false);
}

float *model_run_head_forward(struct model_run *run, int64_t first, int64_t rows)
{
    logits_of(run, run->logits, first, rows);
    return run->logits;
}

real *model_run_dlogits(const struct model_run *run)
{
    return run->dlogits;
}

status model_run_head_backward(struct model_run *run, int64_t first, int64_t rows,
                               const real *dlogits, float *gradients)
{
    const struct model *model = run->model;
    struct queue *q = model->queue;
    const int64_t at = first * model->shape->width;
    if (!run->done || !run->keep || run->replies == 0)
        FAIL(STATUS_INTERNAL, "no activations of replies were kept for the head's backward pass");
    if (first != run->head_backward_rows || first + rows > run->reply_tokens)
        FAIL(STATUS_INTERNAL, "the head's backward pass at row %lld, it stands at %lld of %lld",
             (long long)first, (long long)run->head_backward_rows, (long long)run->reply_tokens);
    linear_backward(q, &model->head, dlogits, real_at(q, run->head_input, at),
                    real_at(q, run->dhead_input, at), false, rows, gradients);
    run->head_backward_rows += rows;
    return NULL;
}

status model_run_logp(struct model_run *run, float temperature, float *logp, float *entropy,
                      float *self_certainty, float *lse)
{
    struct queue *q = run->model->queue;
    const int64_t max_rows = model_run_head_rows(run);
    if (!run->done || run->replies == 0) FAIL(STATUS_INTERNAL, "log-probabilities of no replies");
    for (int64_t first = 0; first < run->reply_tokens; first += max_rows) {
        const int64_t left = run->reply_tokens - first, rows = left < max_rows ? left : max_rows;
        const float *logits = model_run_head_forward(run, first, rows);
        q->op->softmax_loss(q, logp + first, entropy ? entropy + first : NULL,
                            lse ? lse + first : NULL, NULL,
                            self_certainty ? self_certainty + first : NULL, logits, NULL,
                            run->targets + first, temperature, rows, run->model->shape->vocabulary);
    }
    return NULL;
}

status model_run_logits(struct model_run *run, float **logits)
{
    struct queue *q = run->model->queue;
    if (!run->done || run->replies == 0) FAIL(STATUS_INTERNAL, "logits of no replies");
    const int64_t count = run->reply_tokens * run->model->shape->vocabulary;
    TRY(buffer_reserve(q, &run->all_logits, (size_t)count * sizeof(float)));
    *logits = run->all_logits.data;
    logits_of(run, *logits, 0, run->reply_tokens);
    return NULL;
}
