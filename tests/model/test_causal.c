/* Passes of decoder-only models over a forest: the bits of pairs run one by one, gradients by
 * finite differences, layers computed again, what a backward pass says is final. */
#include "src/model/causal/shape.h"
#include "src/model/forest.h"
#include "src/model/value_model.h"
#include "tests/model/model_test.h"

enum { VOCABULARY = 19, HISTORIES = 5, REPLIES = 7, CAPTURED = 2 };
static const char *const types[] = {"llama", "mistral", "qwen2", "qwen3"};

static struct model *small_model(struct queue *q, int kind, bool tied)
{
    const struct model_setting settings[] = {{"vocabulary", VOCABULARY},
                                             {"d_model", 12},
                                             {"d_kv", 6},
                                             {"d_ff", 20},
                                             {"heads", 4},
                                             {"kv_heads", 2},
                                             {"tied", tied},
                                             {"decoder_layers", 3},
                                             {"context", 64}};
    struct model_shape *shape;
    struct model *model;
    CHECK(model_shape_from_settings(types[kind], settings, 9, &shape));
    CHECK(model_create(q, shape, true, &model));
    free(shape);
    CHECK(model_initialize(model, 7));
    struct parameters *p = model_parameters(model);
    float *host = host_of(q, p->values, p->size);
    for (int64_t i = 0; i < p->count; i++)
        for (int64_t e = p->list[i].offset; e < p->list[i].offset + p->list[i].count; e++)
            host[e] =
                p->list[i].rank == 1 ? host[e] + uniform_at(5, (uint32_t)e) - 0.5f : 3 * host[e];
    CHECK(parameters_upload(p, host));
    free(host);
    CHECK(model_refresh(model));
    return model;
}

/* Histories of a dialogue with two branches (of one token; A; A and B; A and B and C; A and D), and
 * replies to all but the second. */
struct dialogue_batch {
    int32_t history_begin[HISTORIES + 1], history_tokens[80], cut_begin[HISTORIES + 1], cuts[8];
    int32_t reply_begin[REPLIES + 1], reply_tokens[40], reply_history[REPLIES];
    struct model_batch batch;
};

static void dialogue_batch_fill(struct dialogue_batch *b)
{
    static const int32_t lengths[HISTORIES] = {1, 6, 11, 17, 13};
    static const int32_t cuts[HISTORIES][3] = {{0}, {0}, {5}, {5, 10}, {5}};
    static const int32_t cut_counts[HISTORIES] = {0, 0, 1, 2, 1};
    static const int32_t replies[REPLIES] = {3, 5, 1, 4, 4, 2, 6},
                         owners[REPLIES] = {0, 2, 2, 3, 4, 4, 4};
    memset(b, 0, sizeof *b);
    int32_t at = 0, cut = 0;
    for (int h = 0; h < HISTORIES; h++) {
        for (int32_t t = 0; t < lengths[h]; t++) {
            const uint32_t branch = h == 4 && t >= 5 ? 9 : h == 0 ? 8 : 7;
            b->history_tokens[at++] =
                (int32_t)(uniform_at(branch, (uint32_t)t) * (float)VOCABULARY);
        }
        for (int32_t c = 0; c < cut_counts[h]; c++) b->cuts[cut++] = cuts[h][c];
        b->history_begin[h + 1] = at;
        b->cut_begin[h + 1] = cut;
    }
    for (int r = 0; r < REPLIES; r++) {
        b->reply_begin[r + 1] = b->reply_begin[r] + replies[r];
        b->reply_history[r] = owners[r];
    }
    for (uint32_t t = 0; t < 40; t++)
        b->reply_tokens[t] = (int32_t)(uniform_at(2, t) * (float)VOCABULARY);
    b->batch = (struct model_batch){.histories = HISTORIES,
                                    .history_begin = b->history_begin,
                                    .history_tokens = b->history_tokens,
                                    .cut_begin = b->cut_begin,
                                    .cuts = b->cuts,
                                    .replies = REPLIES,
                                    .reply_begin = b->reply_begin,
                                    .reply_tokens = b->reply_tokens,
                                    .reply_history = b->reply_history};
}

/* Logits, and the captured attention of each row over its keys. */
static void pass_read(struct model_run *run, struct queue *q, const struct model_batch *batch,
                      float **logits, float **capture, int64_t *stride)
{
    const int64_t m = batch->reply_begin[batch->replies];
    float *device;
    CHECK(model_forward(run, batch, MODEL_KEEP_NOTHING, CAPTURED));
    CHECK(model_run_logits(run, &device));
    *logits = host_of(q, device, m * VOCABULARY);
    const float *captured = model_run_capture(run, stride);
    *capture = host_of(q, captured, m * *stride);
}

/* Cut as in the forest; on the CPU uncut too: elsewhere tiles of keys begin with segments. */
static void a_forest_has_the_bits_of_its_pairs(void **state)
{
    (void)state;
    struct dialogue_batch b;
    dialogue_batch_fill(&b);
    for (int kind = 0; kind < 4; kind++) {
        struct queue *q = queue_new(1 + kind % 2);
        struct model *model = small_model(q, kind, kind % 2);
        struct model_run *run;
        CHECK(model_run_create(model, &run));
        float *logits, *capture;
        int64_t stride;
        pass_read(run, q, &b.batch, &logits, &capture, &stride);
        for (int i = 0; i < (q->on_host ? 2 : 1) * REPLIES; i++) {
            const int r = i % REPLIES;
            const bool cut = i < REPLIES;
            const int32_t h = b.reply_history[r], count = b.reply_begin[r + 1] - b.reply_begin[r];
            const int32_t n = b.history_begin[h + 1] - b.history_begin[h];
            const int32_t history[2] = {0, n}, reply[2] = {0, count}, owner[1] = {0};
            const int32_t cuts[2] = {0, b.cut_begin[h + 1] - b.cut_begin[h]};
            const struct model_batch pair = {.histories = 1,
                                             .history_begin = history,
                                             .history_tokens =
                                                 b.history_tokens + b.history_begin[h],
                                             .cut_begin = cut ? cuts : NULL,
                                             .cuts = b.cuts + b.cut_begin[h],
                                             .replies = 1,
                                             .reply_begin = reply,
                                             .reply_tokens = b.reply_tokens + b.reply_begin[r],
                                             .reply_history = owner};
            float *alone, *alone_capture;
            int64_t alone_stride;
            pass_read(run, q, &pair, &alone, &alone_capture, &alone_stride);
            check_bits(logits + b.reply_begin[r] * VOCABULARY, alone, count * VOCABULARY, "logits",
                       r);
            for (int32_t t = 0; t < count; t++)
                check_bits(capture + (b.reply_begin[r] + t) * stride,
                           alone_capture + t * alone_stride, n + t, "captured attention", r);
            free(alone);
            free(alone_capture);
        }
        free(logits);
        free(capture);
        model_run_destroy(run);
        model_destroy(model);
        q->op->destroy(q);
    }
}

static void a_forest_computes_what_is_shared_once(void **state)
{
    (void)state;
    static const int32_t tokens[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const int32_t cuts[2] = {4, 9}, late[1] = {11};
    struct forest forest = {0};
    assert_int_equal(forest_add(&forest, tokens, 0, NULL, 0), -1);
    const int64_t a = forest_add(&forest, tokens, 4, NULL, 0);
    assert_int_equal(forest_add(&forest, tokens, 9, cuts, 1), a + 1);
    assert_int_equal(forest_add(&forest, tokens, 12, cuts, 2), a + 2);
    assert_int_equal(forest.rows, 12);
    assert_int_equal(forest.nodes[2].position, 9);
    assert_int_equal(forest.nodes[2].depth, 2);
    /* The same tokens behind other ones, and cut otherwise, are other segments. */
    assert_int_equal(forest_add(&forest, tokens + 4, 5, NULL, 0), 3);
    assert_int_equal(forest.nodes[3].parent, -1);
    assert_int_equal(forest_add(&forest, tokens, 11, late, 1), 4);
    assert_int_equal(forest.rows, 12 + 5 + 11);
    forest_clear(&forest);
    assert_int_equal(forest_add(&forest, tokens, 4, NULL, 0), 0);
    forest_free(&forest);
}

struct problem {
    struct model *model;
    struct model_run *run;
    struct dialogue_batch dialogue;
};

static double token_weight(int64_t i)
{
    return uniform_at(3, (uint32_t)i) - 0.3;
}

/* Sum over reply tokens of weight * log-probability; and its gradient by the logits (host). */
static double loss_of_run(struct problem *p, float *dlogits)
{
    const int64_t m = p->dialogue.reply_begin[REPLIES];
    float *device;
    CHECK(model_run_logits(p->run, &device));
    float *logits = host_of(model_queue(p->model), device, m * VOCABULARY);
    double loss = 0;
    for (int64_t i = 0; i < m; i++) {
        const float *row = logits + i * VOCABULARY;
        const int32_t target = p->dialogue.reply_tokens[i];
        double sum = 0;
        for (int v = 0; v < VOCABULARY; v++) sum += exp((double)row[v]);
        loss += token_weight(i) * (row[target] - log(sum));
        for (int v = 0; dlogits && v < VOCABULARY; v++)
            dlogits[i * VOCABULARY + v] =
                (float)(token_weight(i) * ((v == target ? 1.0 : 0.0) - exp((double)row[v]) / sum));
    }
    free(logits);
    return loss;
}

static double loss_now(void *context)
{
    struct problem *p = context;
    CHECK(model_refresh(p->model));
    CHECK(model_forward(p->run, &p->dialogue.batch, MODEL_KEEP_NOTHING, 0));
    return loss_of_run(p, NULL);
}

/* The gradient (device) of that loss, onto zeros. */
static void gradient_compute(struct problem *p, enum model_keep keep, float *gradients,
                             const struct model_watermark *watermark)
{
    struct queue *q = model_queue(p->model);
    const int64_t m = p->dialogue.reply_begin[REPLIES];
    const size_t bytes = (size_t)(m * VOCABULARY) * sizeof(float);
    float *dlogits = device_new(q, bytes), *host = malloc(bytes);
    assert_non_null(host);
    CHECK(model_forward(p->run, &p->dialogue.batch, keep, 0));
    loss_of_run(p, host);
    q->op->upload(q, dlogits, host, bytes);
    q->op->zero(q, gradients, (size_t)model_parameters(p->model)->size * sizeof(float));
    CHECK(model_run_head_backward(p->run, 0, m, dlogits, gradients));
    CHECK(model_backward(p->run, NULL, gradients, watermark));
    CHECK(q->op->synchronize(q));
    free(host);
    q->op->release(q, dlogits);
}

static void gradients_match_finite_differences(void **state)
{
    (void)state;
    struct queue *first = queue_new(1);
    const int begin = first->on_host ? 0 : 2; /* the kinds that have most parts; the shim is slow */
    first->op->destroy(first);
    for (int kind = begin; kind < 4; kind++) {
        struct queue *q = queue_new(2);
        struct problem p = {.model = small_model(q, kind, kind % 2)};
        struct parameters *parameters = model_parameters(p.model);
        const int64_t size = parameters->size;
        CHECK(model_run_create(p.model, &p.run));
        dialogue_batch_fill(&p.dialogue);
        float *gradients = device_new(q, (size_t)size * sizeof(float));
        gradient_compute(&p, MODEL_KEEP_ALL, gradients, NULL);
        float *host = host_of(q, gradients, size);
        check_gradient(parameters, host, loss_now, &p);
        CHECK(model_refresh(p.model));

        /* Layers computed again: the same bits. */
        gradient_compute(&p, MODEL_KEEP_INPUTS, gradients, NULL);
        float *again = host_of(q, gradients, size);
        check_bits(again, host, size, "the gradient of layers computed again", kind);

        /* What was said to be final was: the final norm (behind it the head), each layer, all. */
        struct promises promises = {.q = q, .parameters = parameters, .gradients = gradients};
        gradient_compute(&p, MODEL_KEEP_ALL, gradients,
                         &(struct model_watermark){promise_note, &promises});
        promises_check(&promises, 5);
        free(host);
        free(again);
        q->op->release(q, gradients);
        model_run_destroy(p.run);
        model_destroy(p.model);
        q->op->destroy(q);
    }
}

struct critic_problem {
    struct value_model *critic;
    struct dialogue_batch dialogue;
};
static const float dvalues[HISTORIES] = {1.0f, -0.5f, 0.75f, 2.0f, -1.25f};

static double value_loss_now(void *context)
{
    struct critic_problem *p = context;
    float values[HISTORIES];
    double loss = 0;
    CHECK(value_model_refresh(p->critic));
    CHECK(value_model_forward(p->critic, &p->dialogue.batch, MODEL_KEEP_NOTHING, values));
    for (int i = 0; i < HISTORIES; i++) loss += (double)dvalues[i] * values[i];
    return loss;
}

static void the_critic_reads_the_last_token_of_each_history(void **state)
{
    (void)state;
    struct queue *q = queue_new(2);
    struct model *policy = small_model(q, 3, false);
    struct critic_problem p;
    float values[HISTORIES], alone;
    dialogue_batch_fill(&p.dialogue);
    CHECK(value_model_create(q, model_shape(policy), true, &p.critic));
    CHECK(value_model_start_from(p.critic, policy));
    CHECK(value_model_forward(p.critic, &p.dialogue.batch, MODEL_KEEP_NOTHING, values));
    for (int h = 0; h < HISTORIES; h++) assert_true(values[h] == 0.0f);
    struct parameters *parameters = value_model_parameters(p.critic);
    assert_null(parameters_find(parameters, "lm_head.weight"));
    parameters_stir(parameters, 11);
    CHECK(value_model_refresh(p.critic));
    const struct model_limits limits = {.histories = HISTORIES,
                                        .history_tokens = 48,
                                        .longest_history = 17,
                                        .cuts = 2,
                                        .keep = MODEL_KEEP_ALL};
    struct counted_queue counted;
    float *gradients = device_new(q, (size_t)parameters->size * sizeof(float));
    CHECK(value_model_reserve(p.critic, &limits));
    allocations_count(q, &counted);
    CHECK(value_model_forward(p.critic, &p.dialogue.batch, MODEL_KEEP_ALL, values));
    CHECK(value_model_backward(p.critic, dvalues, gradients, NULL));
    assert_int_equal(allocations_counted(q, &counted), 0);
    float *host = host_of(q, gradients, parameters->size);
    check_gradient(parameters, host, value_loss_now, &p);
    CHECK(value_model_refresh(p.critic));
    for (int h = 0; h < HISTORIES; h++) {
        const int32_t begin[2] = {0, p.dialogue.history_begin[h + 1] - p.dialogue.history_begin[h]};
        const int32_t cuts[2] = {0, p.dialogue.cut_begin[h + 1] - p.dialogue.cut_begin[h]};
        const struct model_batch one = {.histories = 1,
                                        .history_begin = begin,
                                        .history_tokens =
                                            p.dialogue.history_tokens + p.dialogue.history_begin[h],
                                        .cut_begin = cuts,
                                        .cuts = p.dialogue.cuts + p.dialogue.cut_begin[h]};
        CHECK(value_model_forward(p.critic, &one, MODEL_KEEP_NOTHING, &alone));
        check_bits(&alone, &values[h], 1, "a history's value alone", h);
    }
    free(host);
    q->op->release(q, gradients);
    value_model_destroy(p.critic);
    model_destroy(policy);
    q->op->destroy(q);
}

static void a_reserved_run_allocates_no_more(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct problem p = {.model = small_model(q, 2, false)};
    struct counted_queue counted;
    dialogue_batch_fill(&p.dialogue);
    CHECK(model_run_create(p.model, &p.run));
    const struct model_limits limits = {.histories = HISTORIES,
                                        .history_tokens = 48,
                                        .longest_history = 17,
                                        .replies = REPLIES,
                                        .reply_tokens = 25,
                                        .longest_reply = 6,
                                        .cuts = 2,
                                        .capture_layers = CAPTURED,
                                        .keep = MODEL_KEEP_ALL};
    CHECK(model_run_reserve(p.run, &limits));
    allocations_count(q, &counted);
    CHECK(model_forward(p.run, &p.dialogue.batch, MODEL_KEEP_ALL, CAPTURED));
    assert_int_equal(allocations_counted(q, &counted), 0);
    model_run_destroy(p.run);
    model_destroy(p.model);
    q->op->destroy(q);
}

static void a_sequence_beyond_the_context_is_refused(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = small_model(q, 0, true);
    struct model_run *run;
    static int32_t tokens[65];
    const int32_t history[2] = {0, 62}, fits[2] = {0, 3}, beyond[2] = {0, 4}, owner[1] = {0};
    CHECK(model_run_create(model, &run));
    struct model_batch batch = {.histories = 1,
                                .history_begin = history,
                                .history_tokens = tokens,
                                .replies = 1,
                                .reply_begin = fits,
                                .reply_tokens = tokens,
                                .reply_history = owner};
    CHECK(model_forward(run, &batch, MODEL_KEEP_NOTHING, 0));
    batch.reply_begin = beyond;
    status s = model_forward(run, &batch, MODEL_KEEP_NOTHING, 0);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "context of 64"));
    status_free(s);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forest_computes_what_is_shared_once),
        cmocka_unit_test(a_forest_has_the_bits_of_its_pairs),
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(the_critic_reads_the_last_token_of_each_history),
        cmocka_unit_test(a_reserved_run_allocates_no_more),
        cmocka_unit_test(a_sequence_beyond_the_context_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
