#include "src/learn/aligner.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/model/attention_watch.h"
#include "src/model/buffer.h"
#include "src/model/run.h"
#include "src/model/workspace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is kept of a layer of the teacher's pass. */
struct kept_layer {
    struct alignment_rows rows;
    const float *bias;
    int64_t bias_span;
    struct buffer q, k;
};

struct aligner {
    struct align_settings settings;
    struct value_model *teacher, *student;
    struct queue *queue;
    struct attention_watch teacher_watch, student_watch;
    struct kept_layer *layers; /* [settings.layers], the last first */
    /* The tokens that are aligned, on the host and on the device in one buffer each. */
    int64_t pairs, tokens, longest;
    struct host_buffer image;
    struct buffer device, distance; /* distance [layers, tokens] */
    struct buffer work;             /* of one layer */
    struct host_buffer distances;   /* the same */
    int32_t *begin, *prompt, *row, *query, *key;
    float *weight;
};

static void place(struct aligner *a, struct workspace *workspace)
{
    a->begin = workspace_ints(workspace, 2 * a->pairs + 1);
    a->prompt = workspace_ints(workspace, 2 * a->pairs);
    a->row = workspace_ints(workspace, a->tokens);
    a->query = workspace_ints(workspace, a->tokens);
    a->key = workspace_ints(workspace, a->tokens);
    a->weight = workspace_floats(workspace, a->tokens);
}

/* Of the teacher's pass: q and k are copied, for other layers take their place. */
static void teacher_seen(void *context, int64_t layer, const struct attention *attention)
{
    struct aligner *a = context;
    struct kept_layer *kept = &a->layers[layer];
    struct queue *q = a->queue;
    const int64_t rows = attention->query_rows;
    const size_t q_bytes =
        (size_t)((rows - 1) * attention->q_stride + attention->heads * attention->head_dim) *
        q->real_bytes;
    const size_t k_bytes =
        (size_t)((rows - 1) * attention->k_stride + attention->kv_heads * attention->head_dim) *
        q->real_bytes;
    q->op->copy(q, kept->q.data, attention->q, q_bytes);
    q->op->copy(q, kept->k.data, attention->k, k_bytes);
    kept->rows = (struct alignment_rows){.heads = attention->heads,
                                         .kv_heads = attention->kv_heads,
                                         .head_dim = attention->head_dim,
                                         .scale = attention->scale,
                                         .q = kept->q.data,
                                         .k = kept->k.data,
                                         .q_stride = attention->q_stride,
                                         .k_stride = attention->k_stride};
    kept->bias = attention->bias;
    kept->bias_span = attention->bias_span;
}

static void student_seen(void *context, int64_t layer, const struct attention *attention, real *dq,
                         real *dk)
{
    struct aligner *a = context;
    const struct kept_layer *kept = &a->layers[layer];
    const bool uniform = a->settings.control == ALIGN_UNIFORM;
    const int64_t maps = uniform ? attention->heads : kept->rows.heads;
    const double d = (double)(attention->heads * attention->head_dim / maps);
    struct alignment call = {
        .pairs = a->pairs,
        .tokens = a->tokens,
        .longest = a->longest,
        .begin = a->begin,
        .prompt = a->prompt,
        .form = a->settings.form,
        .student = {.heads = attention->heads,
                    .kv_heads = attention->kv_heads,
                    .head_dim = attention->head_dim,
                    .scale = (float)(1 / sqrt(d)),
                    .q = attention->q,
                    .k = attention->k,
                    .q_stride = attention->q_stride,
                    .k_stride = attention->k_stride},
        .row = a->row,
        .teacher_query = a->query,
        .teacher_key = a->key,
        .weight = a->weight,
        .dq = dq,
        .dk = dk,
        .distance = (float *)a->distance.data + layer * a->tokens,
        .work = a->work.data,
    };
    if (uniform) {
        call.teacher = (struct alignment_rows){.heads = maps, .kv_heads = maps};
    } else {
        call.teacher = kept->rows;
        call.bias = kept->bias;
        call.bias_span = kept->bias_span;
    }
    a->queue->op->attention_alignment(a->queue, &call);
}

static int64_t heads_width(const struct model_shape *shape)
{
    return shape->heads * (int64_t)model_shape_number(shape, "d_kv");
}

static const struct model_shape *shape_of(struct value_model *model)
{
    return model_shape(value_model_trunk(model));
}

/* The student's heads, side by side, are cut into as many as the teacher has. */
static status heads_check(const struct align_settings *settings, struct value_model *teacher,
                          struct value_model *student)
{
    const struct model_shape *mine = shape_of(student), *its = shape_of(teacher);
    const int64_t width = heads_width(mine);
    const int64_t layers = (int64_t)model_shape_number(its, "encoder_layers");
    if (width % its->heads)
        FAIL(
            STATUS_INPUT,
            "rm.align.teacher has %lld heads, into which the %lld elements of all of the student's "
            "heads cannot be cut",
            (long long)its->heads, (long long)width);
    if (heads_width(its) / its->heads > ALIGNMENT_DIM_MAX)
        FAIL(
            STATUS_INPUT,
            "rm.align.teacher has heads of %lld elements; attention is aligned by heads of at most "
            "%d",
            (long long)(heads_width(its) / its->heads), ALIGNMENT_DIM_MAX);
    if (width / its->heads > ALIGNMENT_DIM_MAX)
        FAIL(STATUS_INPUT,
             "rm.align.teacher has %lld heads, into which all of the student's heads are cut: %lld "
             "elements each, at most %d; it wants a teacher with more heads",
             (long long)its->heads, (long long)(width / its->heads), ALIGNMENT_DIM_MAX);
    if (settings->layers > layers)
        FAIL(STATUS_INPUT, "rm.align.layers: %lld, but the teacher has %lld",
             (long long)settings->layers, (long long)layers);
    return NULL;
}

static bool reads_attention(const struct align_settings *settings)
{
    return settings->control != ALIGN_UNIFORM && settings->control != ALIGN_PROBABILITY;
}

status aligner_create(const struct align_settings *settings, struct value_model *teacher,
                      struct value_model *student, struct aligner **out)
{
    const struct model_shape *mine = shape_of(student);
    if (settings->layers > mine->layers)
        FAIL(STATUS_INPUT, "rm.align.layers: %lld, but the student has %lld",
             (long long)settings->layers, (long long)mine->layers);
    if (settings->control == ALIGN_UNIFORM && heads_width(mine) / mine->heads > ALIGNMENT_DIM_MAX)
        FAIL(STATUS_INPUT,
             "rm.align.control: uniform: the student has heads of %lld elements; at most %d can be "
             "aligned",
             (long long)(heads_width(mine) / mine->heads), ALIGNMENT_DIM_MAX);
    if (teacher && reads_attention(settings)) TRY(heads_check(settings, teacher, student));
    struct aligner *a = memory_allocate(sizeof *a);
    *a = (struct aligner){.settings = *settings,
                          .teacher = teacher,
                          .student = student,
                          .queue = model_queue(value_model_trunk(student))};
    a->layers = memory_allocate((size_t)settings->layers * sizeof *a->layers);
    a->teacher_watch =
        (struct attention_watch){.layers = settings->layers, .forward = teacher_seen, .context = a};
    a->student_watch = (struct attention_watch){
        .layers = settings->layers, .backward = student_seen, .context = a};
    if (teacher && reads_attention(settings)) value_model_watch(teacher, &a->teacher_watch);
    if (settings->control != ALIGN_PROBABILITY) value_model_watch(student, &a->student_watch);
    *out = a;
    return NULL;
}

void aligner_destroy(struct aligner *a)
{
    if (!a) return;
    if (a->teacher) value_model_watch(a->teacher, NULL);
    value_model_watch(a->student, NULL);
    for (int64_t l = 0; l < a->settings.layers; l++) {
        buffer_release(a->queue, &a->layers[l].q);
        buffer_release(a->queue, &a->layers[l].k);
    }
    host_buffer_release(a->queue, &a->image);
    host_buffer_release(a->queue, &a->distances);
    buffer_release(a->queue, &a->device);
    buffer_release(a->queue, &a->distance);
    buffer_release(a->queue, &a->work);
    free(a->layers);
    free(a);
}

/* Room for so many of the teacher's rows, pairs and tokens that are aligned. */
static status room_make(struct aligner *a, int64_t rows, int64_t pairs, int64_t tokens)
{
    struct queue *q = a->queue;
    const bool kept = a->teacher && reads_attention(&a->settings);
    const struct model_shape *mine = shape_of(a->student);
    const struct model_shape *its = kept ? shape_of(a->teacher) : mine;
    for (int64_t l = 0; kept && l < a->settings.layers; l++) {
        const size_t bytes = (size_t)(3 * rows * heads_width(its)) * q->real_bytes; /* q, k, v */
        TRY(buffer_reserve(q, &a->layers[l].q, bytes));
        TRY(buffer_reserve(q, &a->layers[l].k, bytes));
    }
    a->pairs = pairs;
    a->tokens = tokens;
    struct workspace workspace = workspace_begin(q, NULL);
    place(a, &workspace);
    const size_t distances = (size_t)(a->settings.layers * tokens) * sizeof(float);
    TRY(host_buffer_reserve(q, &a->image, workspace.used));
    TRY(buffer_reserve(q, &a->device, workspace.used));
    TRY(host_buffer_reserve(q, &a->distances, distances));
    if (a->settings.control != ALIGN_PROBABILITY)
        TRY(buffer_reserve(q, &a->work,
                           (size_t)alignment_work(tokens, its->heads, heads_width(mine)) *
                               sizeof(float)));
    return buffer_reserve(q, &a->distance, distances);
}

status aligner_reserve(struct aligner *a, const struct model_limits *limits)
{
    const struct model_limits teacher = {.histories = (limits->histories + 1) / 2,
                                         .history_tokens = limits->history_tokens,
                                         .longest_history = 2 * limits->longest_history};
    TRY(room_make(a, limits->history_tokens, teacher.histories, limits->history_tokens));
    return a->teacher ? value_model_reserve(a->teacher, &teacher) : NULL;
}

int64_t aligner_join(const struct learn_turn pair[2], bool second, int32_t *tokens)
{
    const struct learn_turn *first = &pair[second], *other = &pair[!second];
    const int64_t replies[2] = {first->history_count - first->prompt,
                                other->history_count - other->prompt};
    memcpy(tokens, first->history, (size_t)first->history_count * sizeof *tokens);
    memcpy(tokens + first->history_count, other->history + other->prompt,
           (size_t)replies[1] * sizeof *tokens);
    return first->history_count + replies[1];
}

static bool second_first(const struct learn_turn *pair)
{
    return pair->target < 0;
}

/* The teacher's pass over all pairs; begin [pairs + 1] of its sequences. */
static status teacher_read(struct aligner *a, const struct learn_turn *turns, int64_t pairs,
                           int32_t *begin, double *probabilities)
{
    int64_t room = 1;
    for (int64_t i = 0; i < 2 * pairs; i++) room += turns[i].history_count;
    int32_t *tokens = memory_allocate((size_t)room * sizeof *tokens);
    float *values = memory_allocate((size_t)(pairs + 1) * sizeof *values);
    begin[0] = 0;
    for (int64_t p = 0; p < pairs; p++)
        begin[p + 1] = begin[p] + (int32_t)aligner_join(turns + 2 * p, second_first(turns + 2 * p),
                                                        tokens + begin[p]);
    const struct model_batch batch = {
        .histories = pairs, .history_begin = begin, .history_tokens = tokens};
    status s = value_model_forward(a->teacher, &batch, MODEL_KEEP_NOTHING, values);
    for (int64_t p = 0; !s && probabilities && p < pairs; p++) {
        const double value = second_first(turns + 2 * p) ? -(double)values[p] : (double)values[p];
        probabilities[p] = 1 / (1 + exp(-value));
    }
    free(values);
    free(tokens);
    return status_context(s, "rm.align.teacher");
}

/* The control `permuted`: the teacher's rows of a side change places, by the side's tokens alone.
 */
static void queries_permute(const struct aligner *a, const struct learn_turn *turn, int32_t *query,
                            int64_t count)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < turn->history_count; i++)
        hash = (hash ^ (uint32_t)turn->history[i]) * 0x100000001b3u;
    uint32_t key[2];
    philox_key((uint64_t)a->settings.seed, RANDOM_ALIGN, key);
    for (int64_t left = count; left > 1; left--) {
        const uint32_t counter[4] = {(uint32_t)hash, (uint32_t)(hash >> 32), (uint32_t)left, 0};
        uint32_t words[4];
        philox4x32(counter, key, words);
        const int64_t pick = (int64_t)((uint64_t)words[0] * (uint64_t)left >> 32);
        const int32_t swap = query[left - 1];
        query[left - 1] = query[pick];
        query[pick] = swap;
    }
}

/* Side `side` of a pair: its tokens that are text, from `at` on; returns the next place. first_row:
 * the teacher's row of the pair's first token. */
static int64_t side_fill(struct aligner *a, const struct learn_turn *pair, int64_t number, int side,
                         const int32_t *rows, int32_t first_row, int64_t at)
{
    const struct learn_turn *turn = &pair[side], *other = &pair[!side];
    const bool comes_first = (side == 1) == second_first(pair);
    const int64_t shift = comes_first ? 0 : other->history_count - other->prompt;
    const int64_t begin = at;
    a->begin[2 * number + side] = (int32_t)begin;
    a->prompt[2 * number + side] = 0;
    for (int64_t t = 0; t < turn->history_count; t++) {
        if (turn->markers[t]) continue;
        a->prompt[2 * number + side] += t < turn->prompt;
        a->row[at] = rows[t];
        a->key[at] = a->query[at] = (int32_t)(first_row + t + (t < turn->prompt ? 0 : shift));
        at++;
    }
    if (a->settings.control == ALIGN_PERMUTED)
        queries_permute(a, turn, a->query + begin, at - begin);
    if (at - begin > a->longest) a->longest = at - begin;
    return at;
}

/* Everything about the tokens that are aligned, into the host's image. */
static status tokens_fill(struct aligner *a, const struct model_batch *batch,
                          const struct learn_turn *turns, int64_t pairs, const int32_t *begin,
                          double all_pairs)
{
    int32_t *rows =
        memory_allocate((size_t)(batch->history_begin[batch->histories] + 1) * sizeof *rows);
    int64_t at = 0;
    model_token_rows(value_model_trunk(a->student), batch, rows);
    a->longest = 0;
    for (int64_t p = 0; p < pairs; p++) {
        const int64_t first = at;
        for (int side = 0; side < 2; side++)
            at = side_fill(a, turns + 2 * p, p, side, rows + batch->history_begin[2 * p + side],
                           begin[p], at);
        const double share = a->settings.weight / all_pairs / (double)a->settings.layers;
        for (int64_t t = first; t < at; t++) a->weight[t] = (float)(share / (double)(at - first));
    }
    a->begin[2 * pairs] = (int32_t)at;
    free(rows);
    if (at != a->tokens)
        FAIL(STATUS_INTERNAL, "alignment: %lld tokens of %lld", (long long)at,
             (long long)a->tokens);
    return NULL;
}

status aligner_read(struct aligner *a, const struct model_batch *batch,
                    const struct learn_turn *turns, int64_t count, double all_pairs,
                    double *probabilities)
{
    struct queue *q = a->queue;
    const int64_t pairs = count / 2;
    int64_t tokens = 0, rows = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t t = 0; t < turns[i].history_count; t++) tokens += !turns[i].markers[t];
    for (int64_t i = 0; i < count; i++) rows += turns[i].history_count;
    TRY(room_make(a, rows, pairs, tokens));
    int32_t *begin = memory_allocate((size_t)(pairs + 1) * sizeof *begin);
    status s = NULL;
    if (a->teacher) s = teacher_read(a, turns, pairs, begin, probabilities);
    struct workspace workspace = workspace_begin(q, a->image.data);
    place(a, &workspace);
    if (!s) s = tokens_fill(a, batch, turns, pairs, begin, all_pairs);
    free(begin);
    TRY(s);
    q->op->upload(q, a->device.data, a->image.data, workspace.used);
    workspace = workspace_begin(q, a->device.data);
    place(a, &workspace);
    return NULL;
}

status aligner_distance(struct aligner *a, double *distance)
{
    struct queue *q = a->queue;
    const int64_t count = a->settings.layers * a->tokens;
    *distance = 0;
    if (a->settings.control == ALIGN_PROBABILITY) return NULL;
    q->op->download(q, a->distances.data, a->distance.data, (size_t)count * sizeof(float));
    TRY(q->op->synchronize(q));
    struct workspace workspace = workspace_begin(q, a->image.data);
    place(a, &workspace);
    const float *found = a->distances.data;
    for (int64_t i = 0; i < count; i++)
        *distance += (double)found[i] * (double)a->weight[i % a->tokens] / a->settings.weight;
    return NULL;
}
