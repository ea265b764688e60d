/* Full gradients of T5 against finite differences, replies sharing their histories. */
#include "src/model/slots.h"
#include "tests/model/model_test.h"

struct problem {
    struct model *model;
    struct model_run *run;
    struct tiny_batch tiny;
};

/* The weight of token i in the loss. */
static double token_weight(int64_t i)
{
    return uniform_at(3, (uint32_t)i) - 0.3;
}

/* Sum over reply tokens of weight * log-probability, and 0.1 * sum of squares of the
 * encoder's output; and their gradients when dlogits is given (host [m, vocabulary]). */
static double loss_of_run(struct problem *p, float *dlogits, float *dencoder)
{
    struct queue *q = model_queue(p->model);
    int64_t vocabulary = model_shape(p->model)->vocabulary, m = p->tiny.reply_begin[5];
    int64_t encoder_size = p->tiny.history_begin[4] * model_shape(p->model)->width;
    float *device;
    CHECK(model_run_logits(p->run, &device));
    float *logits = host_of(q, device, m * vocabulary);
    float *encoder = host_of(q, model_run_hidden(p->run), encoder_size);
    double loss = 0;
    for (int64_t i = 0; i < m; i++) {
        const float *row = logits + i * vocabulary;
        double sum = 0;
        for (int64_t v = 0; v < vocabulary; v++) sum += exp((double)row[v]);
        loss += token_weight(i) * (row[p->tiny.reply_tokens[i]] - log(sum));
        for (int64_t v = 0; dlogits && v < vocabulary; v++)
            dlogits[i * vocabulary + v] =
                (float)(token_weight(i) *
                        ((v == p->tiny.reply_tokens[i] ? 1.0 : 0.0) - exp((double)row[v]) / sum));
    }
    for (int64_t i = 0; i < encoder_size; i++) {
        loss += 0.01 * encoder[i] * encoder[i];
        if (dencoder) dencoder[i] = 0.02f * encoder[i];
    }
    free(logits);
    free(encoder);
    return loss;
}

static double loss_now(void *context)
{
    struct problem *p = context;
    CHECK(model_refresh(p->model));
    CHECK(model_forward(p->run, &p->tiny.batch, false, 0));
    return loss_of_run(p, NULL, NULL);
}

static void gradients_match(bool gated_untied, bool summary, int32_t slots)
{
    struct queue *q = queue_new(2);
    struct problem p = {.model = tiny_model(q, gated_untied)};
    if (slots) CHECK(model_add_slots(&p.model, slots, true, 5));
    CHECK(model_run_create(p.model, &p.run));
    tiny_batch_fill(&p.tiny);
    if (summary) tiny_batch_summarize(&p.tiny, slots);
    const struct parameters *parameters = model_parameters(p.model);
    size_t bytes = (size_t)parameters->size * sizeof(float);
    const int64_t m = p.tiny.reply_begin[5];
    size_t logits = (size_t)(m * model_shape(p.model)->vocabulary);
    size_t encoder = (size_t)(p.tiny.history_begin[4] * model_shape(p.model)->width);
    float *gradients = device_new(q, bytes);
    float *dlogits = device_new(q, logits * sizeof(float));
    float *dencoder = device_new(q, encoder * sizeof(float));
    float *host_dlogits = malloc(logits * sizeof(float));
    float *host_dencoder = malloc(encoder * sizeof(float));
    assert_true(host_dlogits && host_dencoder);
    CHECK(model_forward(p.run, &p.tiny.batch, true, 0));
    loss_of_run(&p, host_dlogits, host_dencoder);
    q->op->upload(q, dlogits, host_dlogits, logits * sizeof(float));
    q->op->upload(q, dencoder, host_dencoder, encoder * sizeof(float));
    CHECK(model_run_head_backward(p.run, 0, m, dlogits, gradients));
    CHECK(model_backward(p.run, dencoder, gradients, NULL));
    float *host = host_of(q, gradients, parameters->size);
    check_gradient(model_parameters(p.model), host, loss_now, &p);

    /* Gradients are added to: a second pass doubles them. */
    CHECK(model_refresh(p.model));
    CHECK(model_forward(p.run, &p.tiny.batch, true, 0));
    CHECK(model_run_head_backward(p.run, 0, m, dlogits, gradients));
    CHECK(model_backward(p.run, dencoder, gradients, NULL));
    float *twice = host_of(q, gradients, parameters->size);
    for (int64_t i = 0; i < parameters->size; i++)
        assert_true(fabsf(twice[i] - 2 * host[i]) <= 1e-4f + 1e-4f * fabsf(host[i]));

    free(host);
    free(twice);
    free(host_dlogits);
    free(host_dencoder);
    q->op->release(q, gradients);
    q->op->release(q, dlogits);
    q->op->release(q, dencoder);
    model_run_destroy(p.run);
    model_destroy(p.model);
    q->op->destroy(q);
}

static void gradients_of_a_tied_relu_model_match_finite_differences(void **state)
{
    (void)state;
    gradients_match(false, false, 0);
}

static void gradients_of_an_untied_gated_model_match_finite_differences(void **state)
{
    (void)state;
    gradients_match(true, false, 0);
}

static void gradients_through_turns_that_were_cut_match_finite_differences(void **state)
{
    (void)state;
    gradients_match(true, true, 0);
}

static void gradients_through_learned_slots_match_finite_differences(void **state)
{
    (void)state;
    gradients_match(true, true, 3);
}

/* Log-probabilities of the tiny batch's 22 tokens and the gradients of their weighted sum, with
 * the head in chunks of `most` rows (0: its own). */
static void pass_run(struct model_run *run, struct model *model, enum model_keep keep, int64_t most,
                     float **logp, float **gradients)
{
    enum { M = 22 };
    struct queue *q = model_queue(model);
    const int64_t vocabulary = model_shape(model)->vocabulary, size = model_parameters(model)->size;
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    float weights[M];
    for (int64_t i = 0; i < M; i++) weights[i] = (float)token_weight(i);
    float *device = device_new(q, 3 * M * sizeof(float)), *lse = device + M, *dlogp = lse + M;
    float *sum = device_new(q, (size_t)size * sizeof(float));
    q->op->upload(q, dlogp, weights, sizeof weights);
    model_run_limit_head(run, most);
    CHECK(model_forward(run, &tiny.batch, keep, 0));
    CHECK(model_run_logp(run, 0.9f, device, NULL, NULL, lse));
    const int64_t step = model_run_head_rows(run);
    assert_int_equal(step, most ? most : M);
    for (int64_t first = 0; first < M; first += step) {
        const int64_t rows = M - first < step ? M - first : step;
        real *dlogits = model_run_dlogits(run);
        q->op->softmax_loss_backward(q, dlogits, model_run_head_forward(run, first, rows),
                                     lse + first, model_run_targets(run) + first, dlogp + first,
                                     0.9f, 0.0f, NULL, rows, vocabulary);
        CHECK(model_run_head_backward(run, first, rows, dlogits, sum));
    }
    CHECK(model_backward(run, model_run_hidden(run), sum, NULL));
    *logp = host_of(q, device, M);
    *gradients = host_of(q, sum, size);
    q->op->release(q, device);
    q->op->release(q, sum);
}

static void the_head_in_chunks_gives_what_it_gives_in_one_piece(void **state)
{
    (void)state;
    for (int gated_untied = 0; gated_untied < 2; gated_untied++) {
        struct queue *q = queue_new(2);
        struct model *model = tiny_model(q, gated_untied);
        struct model_run *run;
        float *logp, *gradients, *chunked_logp, *chunked;
        CHECK(model_run_create(model, &run));
        pass_run(run, model, MODEL_KEEP_ALL, 0, &logp, &gradients);
        pass_run(run, model, MODEL_KEEP_ALL, 5, &chunked_logp, &chunked);
        const struct parameters *parameters = model_parameters(model);
        const char *head = gated_untied ? "lm_head.weight" : "shared.weight";
        check_bits(chunked_logp, logp, 22, "log-probability", 0);
        for (int64_t i = 0; i < parameters->count; i++) {
            const struct parameter *one = &parameters->list[i];
            const float *got = chunked + one->offset, *want = gradients + one->offset;
            if (strcmp(one->name, head) != 0) {
                check_bits(got, want, one->count, one->name, 0);
                continue;
            }
            /* The head's own is a sum over tokens, added up in another order: fp32 rounding of 22
             * terms below 4. */
            for (int64_t e = 0; e < one->count; e++) assert_true(fabsf(got[e] - want[e]) < 1e-5f);
        }
        free(logp);
        free(gradients);
        free(chunked_logp);
        free(chunked);
        model_run_destroy(run);
        model_destroy(model);
        q->op->destroy(q);
    }
}

static void layers_run_again_give_the_gradients_of_kept_ones_bit_for_bit(void **state)
{
    (void)state;
    for (int gated_untied = 0; gated_untied < 2; gated_untied++) {
        struct queue *q = queue_new(2);
        struct model *model = tiny_model(q, gated_untied);
        struct model_run *run;
        float *logp[2], *gradients[2];
        CHECK(model_run_create(model, &run));
        pass_run(run, model, MODEL_KEEP_ALL, 0, &logp[0], &gradients[0]);
        pass_run(run, model, MODEL_KEEP_INPUTS, 0, &logp[1], &gradients[1]);
        check_bits(logp[1], logp[0], 22, "log-probability", 0);
        const struct parameters *parameters = model_parameters(model);
        for (int64_t i = 0; i < parameters->count; i++) {
            const struct parameter *one = &parameters->list[i];
            check_bits(gradients[1] + one->offset, gradients[0] + one->offset, one->count,
                       one->name, 0);
        }
        for (int i = 0; i < 2; i++) {
            free(logp[i]);
            free(gradients[i]);
        }
        model_run_destroy(run);
        model_destroy(model);
        q->op->destroy(q);
    }
}

/* Gradients of the tiny batch, for tests that ask what a backward pass does on its way. */
static void backward_run(struct model_run *run, struct queue *q, float *gradients,
                         const struct model_watermark *watermark)
{
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    CHECK(model_forward(run, &tiny.batch, true, 1));
    CHECK(model_run_head_backward(run, 0, 22, model_run_head_forward(run, 0, 22), gradients));
    CHECK(model_backward(run, model_run_hidden(run), gradients, watermark));
    CHECK(q->op->synchronize(q));
}

static void gradients_behind_the_watermark_do_not_change(void **state)
{
    (void)state;
    for (int gated_untied = 0; gated_untied < 2; gated_untied++) {
        struct queue *q = queue_new(1);
        struct model *model = tiny_model(q, gated_untied);
        struct model_run *run;
        CHECK(model_run_create(model, &run));
        const struct parameters *parameters = model_parameters(model);
        float *gradients = device_new(q, (size_t)parameters->size * sizeof(float));
        struct promises promises = {.q = q, .parameters = parameters, .gradients = gradients};
        backward_run(run, q, gradients, &(struct model_watermark){promise_note, &promises});
        const int64_t last = parameters_find(parameters, "decoder.final_layer_norm.weight")->offset;
        assert_int_equal(promises.offset[0], last);
        /* Four layers in all, two final norms, and the embedding. */
        promises_check(&promises, 7);
        q->op->release(q, gradients);
        model_run_destroy(run);
        model_destroy(model);
        q->op->destroy(q);
    }
}

static void a_reserved_run_allocates_no_more(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = tiny_model(q, true);
    struct model_run *run;
    struct tiny_batch tiny;
    struct counted_queue counted;
    tiny_batch_fill(&tiny);
    CHECK(model_run_create(model, &run));
    float *gradients = device_new(q, (size_t)model_parameters(model)->size * sizeof(float));
    const struct model_limits limits = {.histories = 4,
                                        .history_tokens = 21,
                                        .longest_history = 11,
                                        .replies = 5,
                                        .reply_tokens = 22,
                                        .longest_reply = 8,
                                        .capture_layers = 2,
                                        .keep = true};
    CHECK(model_run_reserve(run, &limits));
    allocations_count(q, &counted);
    backward_run(run, q, gradients, NULL);
    CHECK(model_forward(run, &tiny.batch, false, 2));
    tiny.batch.histories = tiny.batch.replies = 1;
    CHECK(model_forward(run, &tiny.batch, true, 0));
    CHECK(model_run_head_backward(run, 0, 4, model_run_head_forward(run, 0, 4), gradients));
    CHECK(model_backward(run, NULL, gradients, NULL));
    assert_int_equal(allocations_counted(q, &counted), 0);
    q->op->release(q, gradients);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

static void backward_without_kept_activations_is_refused(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = tiny_model(q, false);
    struct model_run *run;
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    CHECK(model_run_create(model, &run));
    CHECK(model_forward(run, &tiny.batch, false, 0));
    float *values = model_parameters(model)->values;
    status s = model_backward(run, model_run_hidden(run), values, NULL);
    assert_int_equal(status_code(s), STATUS_INTERNAL);
    status_free(s);
    tiny.history_tokens[0] = 23;
    s = model_forward(run, &tiny.batch, false, 0);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "token 23"));
    status_free(s);
    /* A part of the head's rows is not enough. */
    tiny.history_tokens[0] = 2;
    CHECK(model_forward(run, &tiny.batch, true, 0));
    CHECK(model_run_head_backward(run, 0, 4, model_run_head_forward(run, 0, 4), values));
    s = model_backward(run, NULL, values, NULL);
    assert_int_equal(status_code(s), STATUS_INTERNAL);
    assert_non_null(strstr(status_message(s), "4 of 22"));
    status_free(s);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_tied_relu_model_match_finite_differences),
        cmocka_unit_test(gradients_of_an_untied_gated_model_match_finite_differences),
        cmocka_unit_test(gradients_through_turns_that_were_cut_match_finite_differences),
        cmocka_unit_test(gradients_through_learned_slots_match_finite_differences),
        cmocka_unit_test(the_head_in_chunks_gives_what_it_gives_in_one_piece),
        cmocka_unit_test(layers_run_again_give_the_gradients_of_kept_ones_bit_for_bit),
        cmocka_unit_test(gradients_behind_the_watermark_do_not_change),
        cmocka_unit_test(a_reserved_run_allocates_no_more),
        cmocka_unit_test(backward_without_kept_activations_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
