/* What the model's tests share: queues, device arrays, tiny models with weights far from
 * their start (attention rows that differ, norms that are not 1), small packed batches.
 * REGARD_TEST_DEVICE=cuda: queues of the CUDA module; REGARD_TEST_REAL=bf16: of bf16 activations.
 */
#ifndef REGARD_TESTS_MODEL_TEST_H
#define REGARD_TESTS_MODEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/load.h"
#include "src/base/philox.h"
#include "src/model/decoder.h"
#include "src/model/folder.h"
#include "src/model/run.h"
#include "src/model/t5/shape.h"

#define MODEL_TEST_UNUSED __attribute__((unused))

#define CHECK(expression)                                                                          \
    do {                                                                                           \
        status check_status_ = (expression);                                                       \
        if (check_status_) fail_msg("%s", status_message(check_status_));                          \
    } while (0)

static MODEL_TEST_UNUSED bool real_is_bf16(void)
{
    const char *name = getenv("REGARD_TEST_REAL");
    return name && !strcmp(name, "bf16");
}

static MODEL_TEST_UNUSED struct queue *queue_new(int threads)
{
    const char *device = getenv("REGARD_TEST_DEVICE");
    struct queue *q;
    CHECK(queue_create(&(struct queue_options){.device = device ? device : "cpu",
                                               .threads = threads,
                                               .real_bytes = real_is_bf16() ? 2 : 4,
                                               .exact = getenv("REGARD_TEST_EXACT") != NULL},
                       &q));
    return q;
}

static MODEL_TEST_UNUSED void *device_new(struct queue *q, size_t bytes)
{
    void *memory;
    CHECK(q->op->allocate(q, MEMORY_ACTIVATIONS, bytes, &memory));
    q->op->zero(q, memory, bytes);
    return memory;
}

static MODEL_TEST_UNUSED float *host_of(struct queue *q, const float *device, int64_t count)
{
    float *host = malloc((size_t)count * sizeof(float) + 1);
    assert_non_null(host);
    q->op->download(q, host, device, (size_t)count * sizeof(float));
    CHECK(q->op->synchronize(q));
    return host;
}

/* The same of `real`s, as fp32. */
static MODEL_TEST_UNUSED float *host_of_reals(struct queue *q, const real *device, int64_t count)
{
    if (q->real_bytes == sizeof(float)) return host_of(q, device, count);
    float *host = malloc((size_t)count * sizeof(float) + 1);
    uint16_t *narrow = malloc((size_t)count * sizeof(uint16_t) + 1);
    assert_true(host && narrow);
    q->op->download(q, narrow, device, (size_t)count * sizeof(uint16_t));
    CHECK(q->op->synchronize(q));
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)narrow[i] << 16;
        memcpy(host + i, &bits, sizeof bits);
    }
    free(narrow);
    return host;
}

/* [0, 1) from a counter. */
static MODEL_TEST_UNUSED float uniform_at(uint32_t seed, uint32_t index)
{
    uint32_t counter[4] = {index, 0, 0, 0}, key[2] = {seed, 99}, out[4];
    philox4x32(counter, key, out);
    return philox_uniform(out[0]);
}

/* model_folder_shape of a T5. */
static MODEL_TEST_UNUSED status t5_folder_shape(const char *folder, struct t5_shape *out)
{
    struct model_shape *shape;
    *out = (struct t5_shape){0};
    TRY(model_folder_shape(folder, &shape));
    assert_ptr_equal(shape->family, &family_t5);
    *out = *t5_shape(shape);
    free(shape);
    return NULL;
}

static MODEL_TEST_UNUSED struct t5_shape tiny_shape(bool gated_untied)
{
    struct t5_shape tied = {.common = {.family = &family_t5,
                                       .vocabulary = 23,
                                       .width = 16,
                                       .layers = 2,
                                       .heads = 2,
                                       .end = 1},
                            .d_kv = 4,
                            .d_ff = 24,
                            .encoder_layers = 2,
                            .buckets = 8,
                            .max_distance = 16,
                            .tied = true,
                            .scale_logits = true,
                            .eps = 1e-6f};
    struct t5_shape untied = tied;
    untied.gated = true;
    untied.tied = untied.scale_logits = false;
    untied.common.heads = 3;
    untied.encoder_layers = 1;
    untied.common.layers = 3;
    return gated_untied ? untied : tied;
}

/* Norms to 1 +- 0.3, queries eight times their start, so that attention is far from uniform. */
static MODEL_TEST_UNUSED void parameters_stir(struct parameters *p, uint32_t seed)
{
    float *host = malloc((size_t)p->size * sizeof(float));
    assert_non_null(host);
    CHECK(parameters_download(p, host));
    for (int64_t i = 0; i < p->count; i++)
        for (int64_t e = 0; e < p->list[i].count; e++) {
            int64_t at = p->list[i].offset + e;
            if (strstr(p->list[i].name, "layer_norm"))
                host[at] = 0.7f + 0.6f * uniform_at(seed, (uint32_t)at);
            else if (strstr(p->list[i].name, "Attention.q."))
                host[at] *= 8.0f;
            else if (strstr(p->list[i].name, "value_head"))
                host[at] = uniform_at(seed, (uint32_t)at) - 0.5f;
        }
    CHECK(parameters_upload(p, host));
    free(host);
}

static MODEL_TEST_UNUSED struct model *tiny_model(struct queue *q, bool gated_untied)
{
    const struct t5_shape shape = tiny_shape(gated_untied);
    struct model *model;
    CHECK(model_create(q, &shape.common, true, &model));
    CHECK(model_initialize(model, 7));
    parameters_stir(model_parameters(model), 5);
    CHECK(model_refresh(model));
    return model;
}

/* Four histories (one of a single token, one without replies), five replies. */
struct tiny_batch {
    int32_t history_begin[5], history_tokens[40];
    int32_t reply_begin[6], reply_tokens[40], reply_history[5];
    int32_t cut_begin[5], cuts[40];
    struct model_batch batch;
};

/* Turns cut off the first history (of 3 and 1 tokens), the third (of 2) and the fourth (of 12,
 * longer than any history, 1 and 4): the histories' first tokens are slots, one a turn or, where
 * slots is not 0, so many. */
static MODEL_TEST_UNUSED void tiny_batch_summarize(struct tiny_batch *b, int32_t slots)
{
    static const int32_t turns[4][3] = {{3, 1}, {0}, {2}, {12, 1, 4}}, count[4] = {2, 0, 1, 3};
    int32_t n = 0;
    for (int h = 0; h < 4; h++) {
        b->cut_begin[h] = n;
        if (!count[h]) continue;
        b->cuts[n++] = -1;
        b->cuts[n++] = slots ? slots : count[h];
        b->cuts[n++] = count[h];
        int32_t tokens = 0;
        for (int t = 0; t < count[h]; t++) tokens += b->cuts[n++] = turns[h][t];
        for (int t = 0; t < tokens; t++, n++)
            b->cuts[n] = (int32_t)(uniform_at(9, (uint32_t)n) * 23);
    }
    b->cut_begin[4] = n;
    assert_true(n <= 40);
    b->batch.cut_begin = b->cut_begin;
    b->batch.cuts = b->cuts;
}

static MODEL_TEST_UNUSED void tiny_batch_fill(struct tiny_batch *b)
{
    static const int32_t history_length[4] = {5, 1, 4, 11}, reply_length[5] = {4, 6, 1, 3, 8};
    static const int32_t reply_history[5] = {0, 0, 1, 3, 3};
    memset(b, 0, sizeof *b);
    for (int h = 0; h < 4; h++) b->history_begin[h + 1] = b->history_begin[h] + history_length[h];
    for (int r = 0; r < 5; r++) {
        b->reply_begin[r + 1] = b->reply_begin[r] + reply_length[r];
        b->reply_history[r] = reply_history[r];
    }
    for (uint32_t t = 0; t < 40; t++) {
        b->history_tokens[t] = (int32_t)(uniform_at(1, t) * 23);
        b->reply_tokens[t] = (int32_t)(uniform_at(2, t) * 23);
    }
    b->batch = (struct model_batch){.histories = 4,
                                    .history_begin = b->history_begin,
                                    .history_tokens = b->history_tokens,
                                    .replies = 5,
                                    .reply_begin = b->reply_begin,
                                    .reply_tokens = b->reply_tokens,
                                    .reply_history = b->reply_history};
}

/* A queue whose allocations are counted, until allocations_counted. */
struct counted_queue {
    struct ops table; /* first: the queue's table is this one */
    const struct ops *inner;
    int64_t allocations;
};

static MODEL_TEST_UNUSED status counted_allocate(struct queue *q, enum memory_kind kind,
                                                 size_t bytes, void **out)
{
    struct counted_queue *counted = (struct counted_queue *)(uintptr_t)q->op;
    counted->allocations++;
    return counted->inner->allocate(q, kind, bytes, out);
}

static MODEL_TEST_UNUSED void allocations_count(struct queue *q, struct counted_queue *counted)
{
    *counted = (struct counted_queue){.table = *q->op, .inner = q->op};
    counted->table.allocate = counted_allocate;
    q->op = &counted->table;
}

static MODEL_TEST_UNUSED int64_t allocations_counted(struct queue *q, struct counted_queue *counted)
{
    q->op = counted->inner;
    return counted->allocations;
}

/* What a watermark promised: the gradients at its offset and behind it when it told. */
struct promises {
    struct queue *q;
    const struct parameters *parameters;
    const float *gradients; /* device */
    int count;
    int64_t offset[32];
    float *snapshot[32]; /* [size - offset] */
};

static MODEL_TEST_UNUSED void promise_note(void *context, int64_t offset)
{
    struct promises *p = context;
    assert_true(p->count < 32);
    if (p->count > 0) assert_true(offset < p->offset[p->count - 1]);
    p->offset[p->count] = offset;
    p->snapshot[p->count++] = host_of(p->q, p->gradients + offset, p->parameters->size - offset);
}

/* Nothing has changed since; the last promise was all of it. */
static MODEL_TEST_UNUSED void promises_check(struct promises *p, int expected)
{
    assert_int_equal(p->count, expected);
    assert_int_equal(p->offset[p->count - 1], 0);
    float *final = host_of(p->q, p->gradients, p->parameters->size);
    for (int i = 0; i < p->count; i++) {
        for (int64_t at = p->offset[i]; at < p->parameters->size; at++)
            if (memcmp(final + at, p->snapshot[i] + at - p->offset[i], sizeof *final) != 0)
                fail_msg("the gradient at %lld changed after it was final from %lld on",
                         (long long)at, (long long)p->offset[i]);
        free(p->snapshot[i]);
    }
    free(final);
}

static MODEL_TEST_UNUSED void check_bits(const float *x, const float *want, int64_t count,
                                         const char *what, int64_t row)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(x + i, want + i, sizeof(float)) != 0)
            fail_msg("%s, row %lld, entry %lld: %.9g, its bits should be those of %.9g", what,
                     (long long)row, (long long)i, x[i], want[i]);
}

/* Holds a parameter's gradient against finite differences of a loss along one direction: the
 * gradient's own plus a random one of the same length.  loss() is in float64 from fp32
 * logits, whose rounding (about 1e-6 of a loss near 10) is allowed for by itself; curvature and
 * ReLU's corners leave up to 1%. */
typedef double (*loss_function)(void *context);
static MODEL_TEST_UNUSED void check_gradient(struct parameters *p, const float *gradients,
                                             loss_function loss, void *context)
{
    float *start = malloc((size_t)p->size * sizeof(float));
    float *moved = malloc((size_t)p->size * sizeof(float));
    assert_true(start && moved);
    CHECK(parameters_download(p, start));
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        const float *g = gradients + one->offset;
        double norm = 0, random_norm = 0, slope = 0;
        for (int64_t e = 0; e < one->count; e++) {
            double u = uniform_at(77, (uint32_t)(one->offset + e)) - 0.5;
            norm += (double)g[e] * g[e];
            random_norm += u * u;
        }
        norm = sqrt(norm);
        random_norm = sqrt(random_norm);
        if (!(norm > 1e-5)) fail_msg("%s: its gradient has length %g", one->name, norm);
        double step = 0.0025 / norm < 0.001 ? 0.0025 / norm : 0.001;
        double value[2];
        for (int side = 0; side < 2; side++) {
            memcpy(moved, start, (size_t)p->size * sizeof(float));
            slope = 0;
            for (int64_t e = 0; e < one->count; e++) {
                double u = uniform_at(77, (uint32_t)(one->offset + e)) - 0.5;
                double direction = g[e] / norm + 0.5 * u / random_norm;
                slope += g[e] * direction;
                moved[one->offset + e] += (float)((side ? -step : step) * direction);
            }
            CHECK(parameters_upload(p, moved));
            value[side] = loss(context);
        }
        double measured = (value[0] - value[1]) / (2 * step);
        double noise = 2e-6 / step; /* of a loss near 10 */
        if (!(fabs(measured - slope) <= 0.02 * fabs(slope) + noise))
            fail_msg("%s: gradient says %.6g along its direction, differences say %.6g", one->name,
                     slope, measured);
    }
    CHECK(parameters_upload(p, start));
    free(start);
    free(moved);
}

#endif
